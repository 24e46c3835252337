import assert from 'node:assert/strict'
import { parse } from 'csv-parse/sync'
import * as fc from 'fast-check'
import {
  parseFieldName,
  parseNodeId,
  nodeIdOf,
  parseSensorId,
  typeOf,
  type NodeId,
  type Quality,
  type Value,
} from '../../../src/model/index.ts'
import { formatRecordsCsv, numberText } from '../../../src/gateway/formats/index.ts'
import type { Amendment, FieldView, RecordView } from '../../../src/store/index.ts'

const nodes = [1, 2].map((n) => parseNodeId(nodeIdOf(new Uint8Array(32).fill(n)))) as [NodeId, NodeId]

function reading(value: Value, quality: Quality = 'good', covered = false, unit?: string): FieldView['readings'][0] {
  return { value, quality, nodes, covered, ...(unit === undefined ? {} : { unit }) }
}

function shown(value: Value, quality: Quality = 'good', unit?: string): FieldView {
  return {
    field: parseFieldName('t'),
    shown: { value, quality, type: typeOf(value), ...(unit === undefined ? {} : { unit }) },
    removed: false,
    readings: [reading(value, quality, false, unit)],
    amendments: [],
  }
}

async function print(...fields: FieldView[]): Promise<string> {
  const record: RecordView = { sensor: parseSensorId('a/b'), time: 1_500_000, fields, seen: '' }
  return (
    await collect(
      formatRecordsCsv(
        (async function* () {
          yield record
        })(),
      ),
    )
  ).join('')
}

async function linesOf(...fields: FieldView[]): Promise<string[]> {
  return (await print(...fields)).trimEnd().split('\n').slice(1)
}

describe('gateway/formats/csv-output', () => {
  it('prints a header and a line for each field', async () => {
    assert.equal(
      await print(shown(21.5, 'bad', 'Cel'), { ...shown(true), field: parseFieldName('ok') }),
      'sensor,time,field,value,unit,quality,conflict\na/b,1970-01-01T00:00:01.500Z,t,21.5,Cel,bad,\na/b,1970-01-01T00:00:01.500Z,ok,true,,good,\n',
    )
  })

  it('prints the header alone where there are no records', async () => {
    const none = formatRecordsCsv((async function* (): AsyncIterable<RecordView> {})())
    assert.deepEqual(await collect(none), ['sensor,time,field,value,unit,quality,conflict\n'])
  })

  it('prints every value that is left in a conflict, smallest first, and no covered one', async () => {
    const view: FieldView = {
      ...shown(3),
      conflict: 'reading/amend',
      readings: [reading(10), reading(3, 'bad'), reading(3), reading(99, 'good', true), reading('x')],
      amendments: [
        amendment({ value: 3n }),
        amendment({ value: -1 }),
        amendment({ removed: true }),
        amendment({ note: 'seen' }),
      ],
    }
    const expected = ['-1,,good', '3,,good', '3,,bad', '10,,good', 'x,,good', ',,removed'].map(
      (rest) => `a/b,1970-01-01T00:00:01.500Z,t,${rest},reading/amend`,
    )
    assert.deepEqual(await linesOf(view), expected)
    const turned = { ...view, readings: [...view.readings].reverse(), amendments: [...view.amendments].reverse() }
    assert.deepEqual(await linesOf(turned), expected)
  })

  it('prints a removed field only when the record shows it', async () => {
    const { shown: _, ...gone } = shown(1)
    assert.deepEqual(await linesOf({ ...gone, removed: true }), ['a/b,1970-01-01T00:00:01.500Z,t,,,removed,'])
  })

  it('prints numbers that read back exactly, floats beyond 2^53 never like ints', () => {
    for (const [value, text] of [
      [-0, '-0'],
      [0.1, '0.1'],
      [2 ** 53, '9.007199254740992e+15'],
      [1e20, '1e+20'],
      [5e-324, '5e-324'],
      [9007199254740993n, '9007199254740993'],
    ] as const)
      assert.equal(numberText(value), text)
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        assert.ok(Object.is(Number(numberText(value)), value))
        assert.ok(Number.isSafeInteger(value) || !/^-?\d+$/.test(numberText(value)))
      }),
    )
  })

  it('quotes text so that any RFC 4180 reader gives it back', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r', ' ', 'é', ';') }), async (text) => {
        const rows = parse(await print(shown(text)), { record_delimiter: '\n' })
        assert.equal(rows[1]?.[3], text)
        assert.equal(rows.length, 2)
      }),
    )
  })
})

function amendment(given: Partial<Amendment>): Amendment {
  return { by: nodes[0], at: 1, over: [], ...given }
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
