import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { createHash } from 'node:crypto'
import {
  nodeIdOf,
  parseFieldName,
  parseSensorId,
  qualities,
  type FieldReading,
  type NodeId,
  type Value,
} from '../../../src/model/index.ts'
import type { AmendmentEntry } from '../../../src/store/records/amendment-entry.ts'
import { contentLine, ContentSum, plainContentLine } from '../../../src/store/records/content-line.ts'
import { fieldStates, type RecordInput, type SourcedReading } from '../../../src/store/records/record-view.ts'

const a: NodeId = nodeIdOf(new Uint8Array(32).fill(1))
const b: NodeId = nodeIdOf(new Uint8Array(32).fill(2))
const sensor = parseSensorId('greenhouse-1/air')
const time = 1_700_000_000_000_000
const options = { ruleOf: () => 'default' as const }

const appended = (node: NodeId, values: Record<string, Value>): SourcedReading => ({
  nodes: [node],
  reading: {
    sensor,
    time,
    fields: Object.entries(values).map(([field, value]): FieldReading => ({ field: parseFieldName(field), value })),
  },
})
const linesOf = (input: RecordInput): string[] =>
  fieldStates(input, options).map((state) => contentLine(sensor, time, state))
const sumOf = (lines: readonly string[]): string => {
  const sum = new ContentSum()
  for (const line of lines) sum.add(line)
  return sum.hex()
}

/** The record of the test vector. */
const amended: AmendmentEntry = {
  amendment: {
    value: 'open',
    quality: 'uncertain',
    over: [{ value: 'shut', quality: 'good', node: a }],
    by: b,
    at: 1_700_000_100_000_001,
    user: 'Zoë',
    why: 'seen "open"\ton site',
  },
  clears: [],
}
const noted: AmendmentEntry = {
  amendment: { note: 'calibrated', over: [], by: a, at: 1_700_000_200_000_000 },
  clears: [],
}
const removed: AmendmentEntry = {
  amendment: { removed: true, over: [{ value: 3n, quality: 'good', node: a }], by: a, at: 1_700_000_300_000_000 },
  clears: [],
}
const vector: RecordInput = {
  sensor,
  time,
  readings: [
    appended(a, { count: 3n, door: 'shut', rain: -0, t: 21 }),
    appended(b, { count: 4n, rain: 0, t: 21.5 }),
    appended(b, { t: 21n }),
  ],
  entries: new Map([
    [parseFieldName('door'), [amended]],
    [parseFieldName('rain'), [noted]],
    [parseFieldName('count'), [removed]],
  ]),
}

describe('content digest', () => {
  const page = readFileSync(new URL('../../../docs/content-digest.md', import.meta.url), 'utf8')

  it('is as its page defines it: lines and sum of the test vector', () => {
    const [, block] = /```text\n([^`]*)```/.exec(page) ?? []
    const expected = (block ?? '').trimEnd().split('\n')
    assert.equal(expected.length, 5)
    assert.deepEqual([...linesOf(vector), sumOf(linesOf(vector))], expected)
  })

  it('sums the hashes modulo 2^256 in any order', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: 50 }), (lines) => {
        const digests = lines.map((line) => BigInt(`0x${createHash('sha256').update(line).digest('hex')}`))
        const sum = digests.reduce((sum, digest) => sum + digest, 0n) % 2n ** 256n
        assert.equal(sumOf(lines), sum.toString(16).padStart(64, '0'))
        assert.equal(sumOf(lines.toReversed()), sumOf(lines))
      }),
    )
  })

  it('writes a lone reading as everything else', () => {
    const values = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.boolean(),
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('"', '\\', '\u2028', '\n', '\u007f'),
    )
    fc.assert(
      fc.property(values, fc.constantFrom(...qualities), (value, quality) => {
        const field = parseFieldName('t')
        const reading = { sensor, time, fields: [{ field, value, quality }] }
        const [state] = fieldStates({ sensor, time, readings: [{ reading, nodes: [a] }] }, options)
        assert.ok(state !== undefined)
        assert.equal(plainContentLine(sensor, time, field, value, quality, a), contentLine(sensor, time, state))
      }),
    )
  })
})
