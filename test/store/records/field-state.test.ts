import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import {
  nodeIdOf,
  parseFieldName,
  qualities,
  sameValue,
  type NodeId,
  type Quality,
  type Value,
} from '../../../src/model/index.ts'
import type { AmendmentEntry } from '../../../src/store/records/amendment-entry.ts'
import { fieldState, type FieldState, type NodeReading } from '../../../src/store/records/field-state.ts'
import type { MergeRule } from '../../../src/store/types.ts'

const nodes: NodeId[] = [1, 2, 3].map((n) => nodeIdOf(new Uint8Array(32).fill(n))).sort()
const [a, b, c] = nodes as [NodeId, NodeId, NodeId]
const field = parseFieldName('t')

const reading = (value: Value, node: NodeId = a, quality: Quality = 'good', unit?: string): NodeReading => ({
  value,
  node,
  quality,
  ...(unit !== undefined && { unit }),
})
const amend = (
  value: Value,
  by: NodeId,
  at: number,
  over: NodeReading[] = [],
  clears: AmendmentEntry['clears'] = [],
): AmendmentEntry => ({
  amendment: {
    value,
    quality: 'good',
    by,
    at,
    over: over.map(({ value, quality, node }) => ({ value, quality, node })),
  },
  clears,
})
const remove = (by: NodeId, at: number, over: NodeReading[] = []): AmendmentEntry => ({
  amendment: { removed: true, by, at, over: over.map(({ value, quality, node }) => ({ value, quality, node })) },
  clears: [],
})
const note = (by: NodeId, at: number): AmendmentEntry => ({ amendment: { note: 'hm', by, at, over: [] }, clears: [] })
const state = (
  readings: NodeReading[],
  entries: AmendmentEntry[] = [],
  whole: AmendmentEntry[] = [],
  rule: MergeRule = 'default',
): FieldState => fieldState(field, readings, entries, whole, rule)

describe('field state', () => {
  it('shows one reading that several nodes appended without conflict, whatever its type', () => {
    const { view } = state([reading(21, b, 'good', 'Cel'), reading(21n, a), reading(21, b, 'good', 'Cel')])
    assert.deepEqual(view, {
      field,
      shown: { value: 21, quality: 'good', unit: 'Cel', type: 'float' },
      removed: false,
      readings: [{ value: 21, quality: 'good', unit: 'Cel', nodes: [a, b], covered: false }],
      amendments: [],
    })
  })

  it('names every pair that can meet', () => {
    const one = reading(1)
    const two = reading(2, b)
    const kind = (...given: Parameters<typeof state>): unknown => state(...given).view.conflict
    assert.equal(kind([one, two]), 'reading/reading')
    assert.equal(kind([one, reading(1, b, 'bad')]), 'reading/reading')
    assert.equal(kind([one], [amend(5, a, 1, [one]), amend(6, b, 1, [one])]), 'amend/amend')
    assert.equal(kind([one], [amend(5, a, 1, [one]), remove(b, 1, [one])]), 'amend/remove')
    assert.equal(kind([one, two], [amend(5, a, 1, [one])]), 'reading/amend')
    assert.equal(kind([one, two], [remove(a, 1, [one])]), 'reading/remove')
    assert.equal(kind([one], [], [remove(b, 1)]), 'reading/remove')
    assert.equal(kind([one, two], [amend(5, a, 1, [one]), remove(b, 1, [one])]), 'amend/remove')
    assert.equal(kind([one, two], [amend(5, a, 1, [one, two])]), undefined)
    assert.equal(kind([one], [amend(5, a, 1, [one]), amend(5n, b, 9, [one])]), undefined)
    assert.equal(kind([one], [remove(a, 1, [one]), remove(b, 1, [one])]), undefined)
  })

  it('lets an amendment cover the readings it saw and equal ones, nothing else', () => {
    const { view } = state([reading(1), reading(1n, b), reading(2, c)], [amend(5, a, 1, [reading(1)])])
    assert.deepEqual(
      view.readings.map(({ value, covered }) => [value, covered]),
      [
        [1, true],
        [2, false],
      ],
    )
    assert.equal(view.conflict, 'reading/amend')
    assert.equal(view.shown?.value, 5)
  })

  it('has no conflict when a reading arrives that says what an amendment already states', () => {
    const { view } = state([reading(5, b)], [amend(5, a, 1)])
    assert.equal(view.conflict, undefined)
  })

  it('takes a note on readings for no statement', () => {
    const { view, notes } = state([reading(1)], [note(b, 4)])
    assert.equal(view.conflict, undefined)
    assert.equal(view.shown?.value, 1)
    assert.equal(view.readings[0]?.covered, false)
    assert.equal(notes.length, 1)
    assert.equal(view.amendments.length, 1)
  })

  it('removes with the record unless the field was written by the same act or by someone who saw the removal', () => {
    const whole = remove(a, 7)
    assert.equal(state([], [amend(5, b, 3)], [whole]).view.conflict, 'amend/remove')
    assert.equal(state([], [amend(5, b, 8, [], [{ by: a, at: 7 }])], [whole]).view.conflict, undefined)
    assert.equal(state([], [amend(5, b, 8, [], [{ by: b, at: 7 }])], [whole]).view.conflict, 'amend/remove')
    const removed = state([reading(1)], [remove(a, 7, [reading(1)])], [whole]).view
    assert.equal(removed.removed, true)
    assert.equal(removed.conflict, undefined)
    assert.equal(removed.amendments.length, 1)
  })

  it('picks by the default rule: amendment, value, quality, lowest node, smaller value', () => {
    const pick = (readings: NodeReading[], entries: AmendmentEntry[] = []): unknown => {
      const { view } = state(readings, entries)
      return view.removed ? 'removed' : view.shown?.value
    }
    assert.equal(pick([reading(1)], [amend(9, c, 1)]), 9)
    assert.equal(pick([reading(1)], [amend(9, c, 1), remove(a, 1)]), 9)
    assert.equal(pick([reading(1)], [remove(a, 1)]), 'removed')
    assert.equal(pick([reading(1, a, 'uncertain'), reading(9, c, 'good')]), 9)
    assert.equal(pick([reading(1, c), reading(9, a)]), 9)
    assert.equal(pick([reading(9, a), reading(1, a)]), 1)
  })

  it('shows nothing under `manual` until one thing is left', () => {
    const both = [reading(1), reading(2, b)]
    const { view } = state(both, [], [], 'manual')
    assert.equal(view.shown, undefined)
    assert.equal(view.removed, false)
    assert.equal(view.conflict, 'reading/reading')
    assert.equal(state(both, [amend(5, a, 1, both)], [], 'manual').view.shown?.value, 5)
  })

  const values = fc.constantFrom<Value>(0, -0, 0n, 1, 1n, 1.5, true, 'x', '1')
  const nodeArbitrary = fc.constantFrom(...nodes)
  const qualityArbitrary = fc.constantFrom(...qualities)
  // Decoded entries have the ordinary prototype; so have these.
  const plain = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
    fc.record(model, { noNullPrototype: true })
  const readingArbitrary = plain({
    value: values,
    quality: qualityArbitrary,
    unit: fc.constantFrom(undefined, 'Cel', 'K'),
    node: nodeArbitrary,
  })
  const act = { by: nodeArbitrary, at: fc.nat(3) }
  const over = fc.array(plain({ value: values, quality: qualityArbitrary, node: nodeArbitrary }), { maxLength: 3 })
  const amendmentArbitrary = fc.oneof(
    plain({ ...act, over, value: values, quality: qualityArbitrary }),
    plain({ ...act, over, removed: fc.constant(true as const) }),
    plain({ ...act, over: fc.constant([]), note: fc.constant('n') }),
  )
  const entryArbitrary: fc.Arbitrary<AmendmentEntry> = plain({
    amendment: amendmentArbitrary,
    clears: fc.array(plain(act), { maxLength: 2 }),
  })
  const inputs = plain({
    readings: fc.array(readingArbitrary, { maxLength: 6 }),
    entries: fc.array(entryArbitrary, { maxLength: 4 }),
    whole: fc.array(
      plain(act).map(({ by, at }) => remove(by, at)),
      { maxLength: 2 },
    ),
    rule: fc.constantFrom<MergeRule>('default', 'manual'),
  })

  it('is the same in whatever order and however often its parts come', () => {
    const again = <T>(items: readonly T[]): fc.Arbitrary<T[]> =>
      fc
        .tuple(fc.shuffledSubarray([...items], { minLength: items.length }), fc.shuffledSubarray([...items]))
        .map(([all, some]) => [...some, ...all])
    const cases = inputs.chain((input) =>
      plain({
        input: fc.constant(input),
        other: fc.record({ readings: again(input.readings), entries: again(input.entries), whole: again(input.whole) }),
      }),
    )
    fc.assert(
      fc.property(cases, ({ input, other }) => {
        const one = state(input.readings, input.entries, input.whole, input.rule)
        const two = state(other.readings, other.entries, other.whole, input.rule)
        assert.deepEqual(two, one)
        assert.equal(JSON.stringify(two, text), JSON.stringify(one, text))
      }),
      { numRuns: 1_000 },
    )
  })

  it('hides no reading and no amendment without a trace', () => {
    fc.assert(
      fc.property(inputs, ({ readings, entries, whole, rule }) => {
        const { view, things } = state(readings, entries, whole, rule)
        for (const given of readings) {
          const listed = view.readings.find(
            (item) => sameValue(item.value, given.value) && item.quality === given.quality,
          )
          assert.ok(listed !== undefined && listed.nodes.includes(given.node))
          const named = view.amendments.some(({ over }) =>
            over.some((seen) => sameValue(seen.value, given.value) && seen.quality === given.quality),
          )
          assert.equal(listed.covered && !named, false)
          const said = things.some(
            (thing) =>
              thing.kind !== 'removal' && sameValue(thing.value, given.value) && thing.quality === given.quality,
          )
          assert.ok(listed.covered || said, 'an uncovered reading is one of the things that are shown or in conflict')
        }
        for (const { amendment } of entries) {
          assert.ok(view.amendments.some(({ by, at }) => by === amendment.by && at === amendment.at))
          if (amendment.removed === true) assert.ok(things.some((thing) => thing.kind === 'removal'))
        }
        assert.equal(view.conflict !== undefined, things.length > 1)
      }),
      { numRuns: 1_000 },
    )
  })
})

/** −0, ints and floats apart, which JSON alone would not tell. */
function text(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : Object.is(value, -0) ? '-0' : value
}
