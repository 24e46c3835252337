import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import {
  typeOf,
  LimitError,
  limits,
  qualities,
  type FieldName,
  type Quality,
  type Reading,
  type SensorId,
  type TimeUs,
  type Value,
} from '../../../src/model/index.ts'
import {
  decodeBatch,
  decodeColumns,
  encodeBatch,
  summarizeBatch,
  type BatchFilter,
} from '../../../src/store/batch-codec/index.ts'
import type { SeriesSummary } from '../../../src/store/index.ts'
import { batches, greenhouse, normalized } from './batches.ts'

const filters: fc.Arbitrary<BatchFilter> = fc
  .record({
    sensors: fc.option(fc.constantFrom('greenhouse-1/air', 'm', 'nobody'), { nil: undefined }),
    from: fc.option(fc.nat(400), { nil: undefined }),
    to: fc.option(fc.nat(400), { nil: undefined }),
    fields: fc.option(fc.subarray(['temperature', 'T', 'count', 'none']), { nil: undefined }),
  })
  .map(({ sensors, from, to, fields }) => ({
    ...(sensors === undefined ? {} : { sensors: (sensor: SensorId) => (sensor as string) !== sensors }),
    ...(from === undefined ? {} : { from: 1_763_600_000_000_000 + from * 500_000 }),
    ...(to === undefined ? {} : { to: 1_763_600_000_000_000 + to * 500_000 }),
    ...(fields === undefined ? {} : { fields: new Set(fields as FieldName[]) }),
  }))

function filtered(readings: readonly Reading[], { sensors, from, to, fields }: BatchFilter): Reading[] {
  return readings
    .filter(({ sensor, time }) => (sensors?.(sensor) ?? true) && time >= (from ?? 0) && time < (to ?? Infinity))
    .map((reading) => ({ ...reading, fields: reading.fields.filter(({ field }) => fields?.has(field) ?? true) }))
    .filter((reading) => reading.fields.length > 0)
}

/** Rows of (reading, sensor, time, field, unit, value, quality) in one order, from readings. */
function cells(readings: readonly Reading[]): unknown[][] {
  return readings.flatMap(({ sensor, time, fields }) =>
    fields.map(({ field, value, quality, unit }) => [sensor, time, field, unit, value, quality ?? 'good']),
  )
}

/** JSON with the properties in one order. */
function canonical(each: object): string {
  return JSON.stringify(each, ['sensor', 'field', 'type', 'unit', 'first', 'last', 'count'])
}

describe('batch codec', () => {
  it('gives back every reading exactly, in order', () => {
    fc.assert(
      fc.property(batches, (readings) => {
        // Strict deep equality tells -0 from 0 and 1 from 1n.
        assert.deepStrictEqual(decodeBatch(encodeBatch(readings)), normalized(readings))
      }),
      { numRuns: 1000 },
    )
  })

  it('filters as filtering the decoded readings does, also by columns', () => {
    fc.assert(
      fc.property(batches, filters, (readings, filter) => {
        const bytes = encodeBatch(readings)
        const expected = filtered(normalized(readings), filter)
        assert.deepStrictEqual(decodeBatch(bytes, filter), expected)
        const found: { at: number; cell: unknown[] }[] = []
        for (const column of decodeColumns(bytes, filter)) {
          assert.equal(column.values.length, column.times.length)
          for (let i = 0; i < column.times.length; i++) {
            const raw = column.values[i] as Value
            const value = column.type === 'bool' ? raw === 1 : raw
            assert.equal(typeOf(value), column.type)
            const quality = qualities[column.qualities?.[i] ?? 0] as Quality
            found.push({
              at: column.readings[i] as number,
              cell: [column.sensor, column.times[i], column.field, column.unit, value, quality],
            })
          }
        }
        found.sort((a, b) => a.at - b.at || ((a.cell[2] as string) < (b.cell[2] as string) ? -1 : 1))
        assert.deepStrictEqual(
          found.map(({ cell }) => cell),
          cells(expected),
        )
      }),
      { numRuns: 500 },
    )
  })

  it('summarizes what decoding finds', () => {
    fc.assert(
      fc.property(batches, (readings) => {
        const summary = summarizeBatch(encodeBatch(readings))
        assert.equal(summary.readings, readings.length)
        const sensors = new Map<string, { sensor: SensorId; first: TimeUs; last: TimeUs; count: number }>()
        const series = new Map<string, SeriesSummary>()
        const widen = <T extends { first: TimeUs; last: TimeUs; count: number }>(there: T | undefined, fresh: T): T =>
          there === undefined
            ? fresh
            : {
                ...there,
                first: Math.min(there.first, fresh.first),
                last: Math.max(there.last, fresh.last),
                count: there.count + 1,
              }
        for (const { sensor, time, fields } of readings) {
          const span = { first: time, last: time, count: 1 }
          sensors.set(sensor, widen(sensors.get(sensor), { sensor, ...span }))
          for (const { field, value, unit } of fields) {
            const type = typeOf(value)
            const key = JSON.stringify([sensor, field, type, unit])
            series.set(
              key,
              widen(series.get(key), { sensor, field, type, ...(unit === undefined ? {} : { unit }), ...span }),
            )
          }
        }
        const byKey = <T extends object>(all: Iterable<T>): string[] => [...all].map((each) => canonical(each)).sort()
        assert.deepEqual(byKey(summary.sensors), byKey(sensors.values()))
        assert.deepEqual(byKey(summary.series), byKey(series.values()))
      }),
      { numRuns: 500 },
    )
  })

  it('gives the same bytes for the same readings', () => {
    fc.assert(
      fc.property(batches, (readings) => {
        assert.deepEqual(encodeBatch(readings), encodeBatch(structuredClone(readings)))
      }),
      { numRuns: 100 },
    )
  })

  it('keeps 60 two-field readings, names and all, below 2.4 bytes a reading', () => {
    assert.ok(encodeBatch(greenhouse(60)).length <= 144)
  })

  it('keeps as many readings and fields as the limits allow', () => {
    const many = greenhouse(limits.batchReadings)
    assert.deepStrictEqual(decodeBatch(encodeBatch(many)), normalized(many))
    const wide: Reading[] = Array.from({ length: 200 }, (_, i) => ({
      sensor: `s-${i}` as SensorId,
      time: 1_000_000 * i,
      fields: Array.from({ length: limits.fieldsPerRecord }, (_, f) => ({ field: `f${f}` as FieldName, value: i * f })),
    }))
    const bytes = encodeBatch(wide)
    assert.deepStrictEqual(decodeBatch(bytes), normalized(wide))
    // Columns with streams of their own: one can be read without the others.
    const fields = new Set(['f7' as FieldName])
    assert.deepStrictEqual(decodeBatch(bytes, { fields }), filtered(normalized(wide), { fields }))
  })

  it('keeps readings that all have other fields', () => {
    const readings: Reading[] = Array.from({ length: 500 }, (_, i) => ({
      sensor: `node/${i % 7}` as SensorId,
      time: 5_000_000_000 - i,
      fields: [{ field: `field-${i}` as FieldName, value: i % 2 === 0 ? i : `text ${i}` }],
    }))
    assert.deepStrictEqual(decodeBatch(encodeBatch(readings)), normalized(readings))
  })

  it('refuses more than the limits allow', () => {
    const [reading] = greenhouse(1) as [Reading]
    const text = (length: number): Reading => ({
      ...reading,
      fields: [{ field: 'state' as FieldName, value: 'x'.repeat(length) }],
    })
    const manySeries = Array.from({ length: 5000 }, (_, i) => ({
      sensor: `s${i}` as SensorId,
      time: i,
      fields: Array.from({ length: 14 }, (_, f) => ({ field: `f${f}` as FieldName, value: f })),
    }))
    const faults: Reading[][] = [
      [],
      Array.from({ length: limits.batchReadings + 1 }, () => reading),
      [text(limits.stringBytes + 1)],
      [{ ...reading, sensor: 'x'.repeat(limits.sensorChars + 1) as SensorId }],
      manySeries,
    ]
    for (const fault of faults) assert.throws(() => encodeBatch(fault), LimitError)
  })
})
