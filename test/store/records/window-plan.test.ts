import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { slices, type TimeRange } from '../../../src/store/records/window-plan.ts'

const extents = fc.array(
  fc
    .record({ first: fc.nat(10_000), length: fc.nat(5_000), count: fc.integer({ min: 1, max: 1_000 }) })
    .map(({ first, length, count }) => ({ first, last: first + length, count })),
  { maxLength: 10 },
)
const ranges = fc
  .record({ from: fc.nat(10_000), length: fc.nat(20_000) })
  .map(({ from, length }) => ({ from, to: from + length }))

describe('window plan', () => {
  it('covers all there is once, in order, in pieces that hold no more than asked', () => {
    fc.assert(
      fc.property(
        extents,
        ranges,
        fc.integer({ min: 1, max: 500 }),
        fc.boolean(),
        (given, range, target, descending) => {
          const pieces: TimeRange[] = [...slices(range, given, target, descending)]
          const ordered = descending ? pieces.toReversed() : pieces
          for (const [i, piece] of ordered.entries()) {
            assert.ok(piece.from >= range.from && piece.to <= range.to && piece.from < piece.to)
            const before = ordered[i - 1]
            if (before !== undefined) assert.ok(before.to <= piece.from)
            const held = given.reduce((sum, { first, last, count }) => {
              const shared = Math.min(piece.to - 1, last) - Math.max(piece.from, first) + 1
              return sum + (count * Math.max(0, shared)) / (last - first + 1)
            }, 0)
            assert.ok(held <= target + 1e-6 || piece.to - piece.from === 1)
          }
          for (const { first, last } of given)
            for (const time of [first, last, Math.floor((first + last) / 2)])
              if (time >= range.from && time < range.to)
                assert.equal(pieces.filter((piece) => time >= piece.from && time < piece.to).length, 1)
        },
      ),
      { numRuns: 1_000 },
    )
  })
})
