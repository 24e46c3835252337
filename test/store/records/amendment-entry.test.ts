import assert from 'node:assert/strict'
import { encode, Tagged } from 'cborg'
import * as fc from 'fast-check'
import {
  InvalidInputError,
  LimitError,
  limits,
  nodeIdOf,
  parseFieldName,
  qualities,
  type NodeId,
  type Value,
} from '../../../src/model/index.ts'
import {
  decodeEntry,
  encodeEntry,
  entryKey,
  parseKey,
  type AmendmentEntry,
} from '../../../src/store/records/amendment-entry.ts'

const node: NodeId = nodeIdOf(new Uint8Array(32).fill(7))

const values: fc.Arbitrary<Value> = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer().map(Number),
  fc.constantFrom(0, -0, 21, 2 ** 53, 1e300),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.boolean(),
  fc.string({ maxLength: 40, unit: 'grapheme' }),
)
const nodes = fc.integer({ min: 0, max: 5 }).map((n) => nodeIdOf(new Uint8Array(32).fill(n)))
const acts = fc.record(
  { by: nodes, at: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }) },
  { noNullPrototype: true },
)
const texts = fc.record(
  {
    note: fc.string({ minLength: 1, maxLength: 50 }),
    why: fc.string({ minLength: 1, maxLength: 50 }),
    user: fc.string({ minLength: 1, maxLength: 20 }),
  },
  { requiredKeys: [], noNullPrototype: true },
)
const seen = fc.record(
  { value: values, quality: fc.constantFrom(...qualities), node: nodes },
  { noNullPrototype: true },
)
const statements = fc.oneof(
  fc.record({ value: values, quality: fc.constantFrom(...qualities) }, { noNullPrototype: true }),
  fc.constant({ removed: true } as const),
)
const entries: fc.Arbitrary<AmendmentEntry> = fc
  .tuple(statements, texts, acts, fc.array(seen, { maxLength: 5 }), fc.array(acts, { maxLength: 3 }))
  .map(([statement, texts, act, over, clears]) => ({ amendment: { ...statement, ...texts, ...act, over }, clears }))

const plain = { value: 1.5, quality: 'good', over: [], by: node, at: 5n }

describe('amendment entry', () => {
  it('comes back exactly as it was, floats as floats and integers as integers', () => {
    fc.assert(
      fc.property(entries, (entry) => {
        assert.deepEqual(decodeEntry(encodeEntry(entry)), entry)
      }),
    )
  })

  it('keeps 21, 21.0 and -0 apart', () => {
    const back = (value: Value): Value | undefined =>
      decodeEntry(encodeEntry({ amendment: { value, quality: 'good', over: [], by: node, at: 1 }, clears: [] }))
        .amendment.value
    assert.equal(back(21), 21)
    assert.equal(back(21n), 21n)
    assert.ok(Object.is(back(-0), -0))
  })

  const refused: Record<string, unknown> = {
    'a value without quality': { value: 1.5, over: [], by: node, at: 5n },
    'a removal with a value': { ...plain, removed: true },
    'nothing stated and no note': { over: [], by: node, at: 5n },
    'a note that covers readings': { note: 'x', over: [[node, 1.5, 'good']], by: node, at: 5n },
    'an unknown part': { ...plain, colour: 'red' },
    'a tag': { ...plain, value: new Tagged(1, 5) },
    'bytes as value': { ...plain, value: new Uint8Array(3) },
    'an author that is no node': { ...plain, by: 'me' },
    'a negative order': { ...plain, at: -1n },
    'an order that is a float': { ...plain, at: 5.5 },
    'a list of the wrong width': { ...plain, over: [[node, 1.5]] },
    'a long note': { ...plain, note: 'x'.repeat(limits.noteChars + 1) },
    'a deep nest': { ...plain, over: [[[[[1]]]]] },
    'a list at the top': [1],
  }
  for (const [what, map] of Object.entries(refused))
    it(`refuses ${what}`, () => {
      const bytes = encode(map, { float64: true })
      assert.throws(
        () => decodeEntry(bytes),
        (error) => error instanceof InvalidInputError || error instanceof LimitError,
      )
    })

  it('refuses another encoding of the same entry', () => {
    const entry: AmendmentEntry = { amendment: { removed: true, over: [], by: node, at: 5 }, clears: [] }
    const bytes = encodeEntry(entry)
    assert.deepEqual(decodeEntry(bytes), entry)
    // The order 5 in two bytes instead of one.
    const at = bytes.lastIndexOf(5)
    const longer = Buffer.concat([bytes.subarray(0, at), Uint8Array.of(0x18, 5), bytes.subarray(at + 1)])
    assert.throws(() => decodeEntry(longer), InvalidInputError)
  })

  it('never fails other than by refusing, whatever the bytes', () => {
    const base = encodeEntry({ amendment: { value: 'abc', quality: 'bad', over: [], by: node, at: 5 }, clears: [] })
    const survives = (bytes: Uint8Array): void => {
      try {
        decodeEntry(bytes)
      } catch (error) {
        assert.ok(error instanceof InvalidInputError || error instanceof LimitError, String(error))
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), survives))
    fc.assert(
      fc.property(fc.nat(base.length - 1), fc.nat(255), (index, byte) => {
        const bytes = Uint8Array.from(base)
        bytes[index] = byte
        survives(bytes)
      }),
    )
    survives(new Uint8Array(limits.entryBytes).fill(0x81))
  })

  it('beyond its limit is refused with the limit named', () => {
    const over = Array.from({ length: 5 }, (_, i) => ({
      value: `${i}${'x'.repeat(1_000)}`,
      quality: 'good' as const,
      node,
    }))
    assert.throws(
      () => encodeEntry({ amendment: { removed: true, over, by: node, at: 1 }, clears: [] }),
      (error) => error instanceof LimitError && error.message.includes(String(limits.entryBytes)),
    )
  })

  it('has a key of time and field, and no other text is one', () => {
    assert.deepEqual(parseKey(entryKey(17, parseFieldName('t.1'))), { time: 17, field: 't.1' })
    assert.deepEqual(parseKey('0|*'), { time: 0, field: '*' })
    for (const key of [
      '',
      '17',
      '17|',
      '|t',
      '017|t',
      '-1|t',
      '1e3|t',
      '17|a b',
      '17|**',
      '17|t|u',
      '9999999999999999|t',
    ])
      assert.throws(() => parseKey(key), InvalidInputError, key)
  })
})
