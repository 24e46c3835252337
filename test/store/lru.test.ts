import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Lru } from '../../src/store/lru.ts'

describe('lru', () => {
  it('holds no more than its limit but for a single heavier value, and lets go of each value exactly once', () => {
    const steps = fc.array(
      fc.record({
        action: fc.constantFrom('set', 'set', 'get', 'delete', 'clear'),
        key: fc.constantFrom('a', 'b', 'c', 'd'),
        weight: fc.integer({ min: 0, max: 12 }),
      }),
    )
    fc.assert(
      fc.property(steps, (list) => {
        const limit = 10
        const left = new Map<number, number>()
        const lru = new Lru<number>(limit, (value) => left.set(value, (left.get(value) ?? 0) + 1))
        const inside = new Map<number, { key: string; weight: number }>()
        for (const [value, { action, key, weight }] of list.entries()) {
          if (action === 'set') {
            lru.set(key, value, weight)
            inside.set(value, { key, weight })
          } else if (action === 'delete') lru.delete(key)
          else if (action === 'clear') lru.clear()
          else assert.equal(lru.get(key), [...inside].findLast(([, entry]) => entry.key === key)?.[0])
          for (const gone of left.keys()) inside.delete(gone)
          const weights = [...inside.values()].map((entry) => entry.weight)
          const total = weights.reduce((sum, each) => sum + each, 0)
          assert.ok(total <= limit || weights.filter((each) => each > 0).length === 1, weights.join())
          for (const times of left.values()) assert.equal(times, 1)
        }
      }),
    )
  })

  it('lets go of the value used longest ago first', () => {
    const left: string[] = []
    const lru = new Lru<string>(2, (value) => left.push(value))
    lru.set('a', 'a', 1)
    lru.set('b', 'b', 1)
    lru.get('a')
    lru.set('c', 'c', 1)
    lru.set('d', 'd', 1)
    assert.deepEqual(left, ['b', 'a'])
  })
})
