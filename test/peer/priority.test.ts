import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { catalogId, defaultGroup, journalId, makeRunId, policyId, type DocumentId } from '../../src/model/index.ts'
import { Heap } from '../../src/peer/heap.ts'
import { comparePriorities, priorityOf } from '../../src/peer/priority.ts'
import { testIdentity } from './site.ts'

const { node } = testIdentity(1)

function journal(startMs: number, number: number): DocumentId {
  return journalId(defaultGroup, node, makeRunId(startMs, new Uint8Array(4)), number)
}

describe('order of transfers', () => {
  it('is policy and catalog, then what is open, then the past, newest first', () => {
    const now = Date.UTC(2026, 0, 2)
    const wanted = [
      priorityOf(policyId, false),
      priorityOf(catalogId, true),
      priorityOf(journal(now + 1000, 1), false),
      priorityOf(`amendments.1/default/s/2026-01-02` as DocumentId, false),
      priorityOf(journal(now - 1000, 1), false),
      priorityOf(journal(now + 1000, 12), true),
      priorityOf(journal(now + 1000, 2), true),
      priorityOf(journal(now - 1000, 99), true),
    ]
    const sorted = wanted.toReversed().sort(comparePriorities)
    assert.deepEqual(new Set(sorted.slice(0, 2).map(({ id }) => id)), new Set([policyId, catalogId]))
    assert.deepEqual(
      sorted.slice(2).map(({ id }) => id),
      wanted.slice(2).map(({ id }) => id),
    )
  })
})

describe('heap', () => {
  it('gives what was pushed in order, whatever the order of pushes and pops', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.integer())), (steps) => {
        const heap = new Heap<number>((a, b) => a - b)
        const model: number[] = []
        for (const step of steps) {
          if (step !== null) {
            heap.push(step)
            model.push(step)
            model.sort((a, b) => a - b)
          } else assert.equal(heap.pop(), model.shift())
          assert.equal(heap.size, model.length)
        }
      }),
    )
  })
})
