/** Readings that exercise every mode of the batch codec. */
import * as fc from 'fast-check'
import type { FieldName, FieldReading, Quality, Reading, SensorId, Value } from '../../../src/model/index.ts'

const sensors = ['greenhouse-1/air', 'greenhouse-1/soil', 'barn/äther', 'm', 'urn:dev:mac:0024befffe804ff1', 'Hof/北-3']
const fieldNames = ['temperature', 'humidity', 'T', 'x.y-z_1', 'Accelerometer1RMS', 'count']
const units = ['Cel', '%RH', 'Grad Öchsle', 'V']

const bits = new Float64Array(1)
const words = new Uint32Array(bits.buffer)

const anyFloat = fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff)).map(([low, high]) => {
  words[0] = low
  words[1] = high
  return Number.isFinite(bits[0]) ? (bits[0] as number) : -0
})
const oddFloat = fc.constantFrom(
  0,
  -0,
  5e-324,
  -2.2250738585072014e-308,
  Number.MAX_VALUE,
  -Number.MAX_VALUE,
  2 ** 53,
  2 ** 53 - 1,
  -(2 ** 52) - 1,
  0.1 + 0.2,
  74.93588199999998,
  1e22,
  1e23,
  1e-22,
  Math.fround(5.827),
  5.827000141143799,
  123456789012.37,
)
const decimal = (digits: number): fc.Arbitrary<number> =>
  fc.integer({ min: -30_000, max: 30_000 }).map((n) => n / 10 ** digits)
const floats: readonly fc.Arbitrary<number>[] = [
  decimal(0),
  decimal(1),
  decimal(2),
  decimal(3).map(Math.fround),
  fc.integer({ min: 0, max: 400 }).map((n) => n * 0.0625),
  fc.constantFrom(1, 59.93, 60, 250.5, 1_000_000),
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  anyFloat,
  oddFloat,
  fc.oneof({ weight: 20, arbitrary: decimal(2) }, { weight: 1, arbitrary: oddFloat }),
  fc.constant(21.5),
]
const others: readonly fc.Arbitrary<Value>[] = [
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -1000n, max: 1000n }).map((n) => n * 100n),
  fc.constantFrom(0n, 2n ** 52n, -(2n ** 52n), 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)),
  fc.boolean(),
  fc.constant(true),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom('open', 'closed', '', 'öffnet', '\ufeffmark', 'a'.repeat(1024)),
]
const value: fc.Arbitrary<Value> = fc.oneof(...floats, ...others)
const quality: fc.Arbitrary<Quality | undefined> = fc.constantFrom(undefined, undefined, 'good', 'uncertain', 'bad')

function field(name: string, value: Value, quality: Quality | undefined, unit: string | undefined): FieldReading {
  return {
    field: name as FieldName,
    value,
    ...(quality === undefined ? {} : { quality }),
    ...(unit === undefined ? {} : { unit }),
  }
}

/** Sensors, times, fields, types, units and qualities at random. */
const wild: fc.Arbitrary<Reading> = fc
  .record({
    sensor: fc.constantFrom(...sensors),
    time: fc.oneof(
      fc.integer({ min: 0, max: 7_258_118_399_999_999 }),
      fc.constantFrom(0, 7_258_118_399_999_999, 1_763_600_000_000_000),
      fc.nat(100).map((n) => 1_763_600_000_000_000 + n * 1_000_000),
    ),
    fields: fc.uniqueArray(
      fc.tuple(
        fc.constantFrom(...fieldNames),
        value,
        quality,
        fc.option(fc.constantFrom(...units), { nil: undefined }),
      ),
      { minLength: 1, selector: ([name]) => name },
    ),
  })
  .map(({ sensor, time, fields }) => ({
    sensor: sensor as SensorId,
    time,
    fields: fields.map(([name, value, quality, unit]) => field(name, value, quality, unit)),
  }))

/** Columns as sensors give them: one kind of value each, regular times, now and then a field missing. */
const tame: fc.Arbitrary<Reading[]> = fc
  .record({
    rows: fc.integer({ min: 1, max: 300 }),
    sensors: fc.subarray(sensors, { minLength: 1 }),
    columns: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom(...fieldNames),
        kind: fc.nat(floats.length + others.length - 1),
        unit: fc.option(fc.constantFrom(...units), { nil: undefined }),
        missing: fc.constantFrom(0, 0, 0.1, 0.7),
        doubtful: fc.constantFrom(0, 0, 1, 0.2),
      }),
      { minLength: 1, selector: ({ name }) => name },
    ),
    stepUs: fc.constantFrom(1_000_000, 1000, 1, 60_000_000),
    jitterUs: fc.constantFrom(0, 5000, 7_000_000),
    pool: fc.array(fc.tuple(...[...floats, ...others].map((each) => fc.array(each, { minLength: 8, maxLength: 8 }))), {
      minLength: 1,
      maxLength: 1,
    }),
    seed: fc.nat(),
  })
  .map(({ rows, sensors, columns, stepUs, jitterUs, pool, seed }) => {
    let state = seed
    const random = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
    const kinds = pool[0] as Value[][]
    return Array.from({ length: rows }, (_, row): Reading => {
      const present = columns.filter(({ missing }) => random() >= missing)
      return {
        sensor: sensors[row % sensors.length] as SensorId,
        time: 1_763_600_000_000_000 + row * stepUs + Math.floor(random() * jitterUs),
        fields: (present.length === 0 ? columns.slice(0, 1) : present).map(({ name, kind, unit, doubtful }) =>
          field(
            name,
            (kinds[kind] as Value[])[Math.floor(random() * 8)] as Value,
            random() < doubtful ? 'uncertain' : undefined,
            unit,
          ),
        ),
      }
    })
  })

/** What `encodeBatch` may be given. */
export const batches: fc.Arbitrary<Reading[]> = fc.oneof(fc.array(wild, { minLength: 1, maxLength: 40 }), tame)

/** What decoding gives: fields by name, quality left out when good. */
export function normalized(readings: readonly Reading[]): Reading[] {
  return readings.map(({ sensor, time, fields }) => ({
    sensor,
    time,
    fields: fields
      .map(({ field: name, value, quality, unit }) =>
        field(name, value, quality === 'good' ? undefined : quality, unit),
      )
      .sort((a, b) => (a.field < b.field ? -1 : 1)),
  }))
}

/** Two fields at 1 Hz with some ms of jitter, as a greenhouse gives them. */
export function greenhouse(count: number): Reading[] {
  let state = 7
  const random = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
  let temperature = 2134
  let humidity = 5520
  return Array.from({ length: count }, (_, i) => {
    temperature += Math.floor(random() * 11) - 5
    humidity += Math.floor(random() * 11) - 5
    return {
      sensor: 'greenhouse-1/air' as SensorId,
      time: 1_763_600_000_000_000 + i * 1_000_000 + Math.floor(random() * 5) * 1000,
      fields: [
        { field: 'temperature' as FieldName, value: temperature / 100, unit: 'Cel' },
        { field: 'humidity' as FieldName, value: humidity / 100, unit: '%RH' },
      ],
    }
  })
}
