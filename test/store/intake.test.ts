import assert from 'node:assert/strict'
import fc from 'fast-check'
import { DiskFullError, InvalidInputError, limits, type Reading, type Value } from '../../src/model/index.ts'
import { openStore, type Store } from '../../src/store/index.ts'
import { flipBit, memoryKeys, newEngine, slowEngine } from '../support/faulty-engine.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { copyAll, openTestSite, reading, testRandom, type TestNode } from '../support/store.ts'

const t0 = 1_700_000_000_000_000

async function openOne(): Promise<TestNode> {
  const [node] = (await openTestSite(1, { clock: new ManualClock(t0) })) as [TestNode]
  return node
}

const append = (store: Store, readings: readonly Reading[]): ReturnType<Store['append']> =>
  store.append(readings, { flush: true })

/** What the journals hold, as text, duplicates included. */
async function held(store: Store): Promise<string[]> {
  const shown: string[] = []
  for await (const { sensor, time, fields } of store.query())
    for (const { field, readings } of fields)
      for (const { value } of readings) shown.push(`${sensor} ${time} ${field} ${String(value)}`)
  return shown.sort()
}

describe('intake', () => {
  it('leaves out what this node has appended before: in one call, across calls, across a restart, late or not', async () => {
    const node = await openOne()
    const r = (time: number, value: Value): Reading => reading('s', t0 + time, { a: value })
    assert.deepEqual(await append(node.store, [r(1, 1), r(1, 1), r(3, 1)]), { appended: 2, duplicates: 1 })
    assert.deepEqual(await append(node.store, [r(3, 1)]), { appended: 0, duplicates: 1 })
    assert.deepEqual(await append(node.store, [r(2, 1), r(4, 1)]), { appended: 2, duplicates: 0 })
    assert.deepEqual(await append(node.store, [r(2, 1n), r(4, 2)]), { appended: 1, duplicates: 1 })
    const flushed = node.store.append([r(5, 1)])
    const twice = node.store.append([r(5, 1)])
    await node.store.flush()
    assert.deepEqual([(await flushed).appended, (await twice).duplicates], [1, 1])
    const before = await held(node.store)
    await node.store.close()
    const again = await openStore({ ...node.options, random: testRandom(9) })
    assert.deepEqual(await append(again, [r(1, 1), r(2, 1), r(3, 1), r(4, 2), r(5, 1)]), { appended: 0, duplicates: 5 })
    assert.deepEqual(await held(again), before)
    await again.close()
  })

  it('knows its own readings in a restored store, and where the mark of a sensor is damaged', async () => {
    const [a] = (await openTestSite(1)) as [TestNode]
    const readings = [reading('s', t0, { a: 1 }), reading('s', t0 + 1, { a: 1 })]
    await append(a.store, readings)
    // The same identity on an empty disk, filled by its own documents.
    const [restored] = (await openTestSite(1, { seed: 50 })) as [TestNode]
    await copyAll(a, restored)
    assert.deepEqual(await append(restored.store, readings), { appended: 0, duplicates: 2 })
    await a.store.close()
    await restored.store.close()
    const { engine } = a.options
    await engine.open()
    for (const key of await memoryKeys(engine, 'w')) await flipBit(engine, key, 3)
    await engine.close()
    const again = await openStore({ ...a.options, random: testRandom(9) })
    assert.deepEqual(await append(again, readings), { appended: 0, duplicates: 2 })
    assert.deepEqual(await append(again, [reading('s', t0 + 2, { a: 1 })]), { appended: 1, duplicates: 0 })
    await again.close()
  })

  it('holds each value once, whatever is appended concurrently in whatever pieces', async () => {
    const readings = fc.array(
      fc.record({
        sensor: fc.constantFrom('s/1', 's/2'),
        time: fc.integer({ min: 0, max: 4 }),
        field: fc.constantFrom('a', 'b'),
        value: fc.integer({ min: 0, max: 1 }),
      }),
      { minLength: 1, maxLength: 5 },
    )
    const calls = fc.array(fc.record({ readings, flush: fc.boolean(), wait: fc.boolean() }), { maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(calls, async (list) => {
        const node = await openOne()
        const expected = new Set<string>()
        let fields = 0
        const pending: Promise<{ appended: number; duplicates: number }>[] = []
        for (const { readings: some, flush, wait } of list) {
          for (const { sensor, time, field, value } of some) expected.add(`${sensor} ${t0 + time} ${field} ${value}`)
          fields += some.length
          pending.push(
            node.store.append(
              some.map(({ sensor, time, field, value }) => reading(sensor, t0 + time, { [field]: value })),
              { flush },
            ),
          )
          if (wait) await node.store.flush()
        }
        while (await Promise.race([Promise.all(pending).then(() => false), turn().then(() => true)]))
          await node.store.flush()
        const results = await Promise.all(pending)
        const sum = (of: 'appended' | 'duplicates'): number => results.reduce((n, result) => n + result[of], 0)
        assert.equal(sum('appended') + sum('duplicates'), fields)
        assert.equal(sum('appended'), expected.size)
        assert.deepEqual(await held(node.store), [...expected].sort())
        assert.equal((await node.store.totals()).records, expected.size)
        await node.store.close()
      }),
      { numRuns: 60 },
    )
  })

  it('puts sensors into the journals of their groups, as the policy says at each append', async () => {
    const node = await openOne()
    const { store } = node
    await append(store, [reading('x/1', t0, { a: 1 })])
    await store.setPolicy({ pattern: 'x/**' as never, group: 'warm' as never })
    await append(store, [reading('x/1', t0 + 1, { a: 1 }), reading('y', t0, { a: 1 })])
    assert.deepEqual(await append(store, [reading('x/1', t0, { a: 1 })]), { appended: 0, duplicates: 1 })
    await using snapshot = await store.snapshot()
    const counts = (await Array.fromAsync(snapshot.documents()))
      .filter(({ id }) => id.startsWith('journal.'))
      .map(({ id, records }) => [id.split('/')[1], records])
    assert.deepEqual(counts, [
      ['default', 2],
      ['warm', 1],
    ])
    assert.equal((await held(store)).length, 3)
    await store.close()
  })

  it('stops at the low-water mark of the disk, goes on with reads and edits, and takes in again when there is room', async () => {
    let free = limits.diskLowBytes
    let asked = 0
    const clock = new ManualClock(t0)
    const freeBytes = async (): Promise<number> => {
      asked++
      return free
    }
    const [node] = (await openTestSite(1, { clock, store: { freeBytes } })) as [TestNode]
    const { store } = node
    await append(store, [reading('s', t0, { a: 1 })])
    free--
    clock.advance(999)
    await append(store, [reading('s', t0 + 1, { a: 1 })])
    clock.advance(1)
    await assert.rejects(append(store, [reading('s', t0 + 2, { a: 1 })]), DiskFullError)
    await assert.rejects(append(store, [reading('s', t0 + 2, { a: 1 })]), DiskFullError)
    assert.equal(asked, 2)
    assert.equal((await held(store)).length, 2)
    const { sensor, fields } = reading('s', t0, { a: 2 })
    await store.amend({ sensor, time: t0, fields })
    free = limits.diskLowBytes
    clock.advance(1_000)
    assert.equal((await append(store, [reading('s', t0 + 2, { a: 1 })])).appended, 1)
    await store.close()
  })

  it('refuses a whole call for one reading that is none, and appends nothing of it', async () => {
    const node = await openOne()
    for (const wrong of [
      reading('s', t0, { a: Number.NaN }),
      reading('s', t0, {}),
      reading('s', -1, { a: 1 }),
      reading('s', t0 + 0.5, { a: 1 }),
    ])
      await assert.rejects(append(node.store, [reading('s', t0, { a: 1 }), wrong]), InvalidInputError)
    assert.deepEqual(await append(node.store, []), { appended: 0, duplicates: 0 })
    assert.deepEqual(await held(node.store), [])
    await node.store.close()
  })

  it('waits while too much waits, and stops waiting when it is told to', async () => {
    const clock = new ManualClock(t0)
    const disk = slowEngine(newEngine())
    const [node] = (await openTestSite(1, { clock, engine: () => disk.engine })) as [TestNode]
    disk.hold()
    const count = limits.queuedReadings + 5 * limits.batchReadings
    const many = Array.from({ length: count }, (_, i) => reading('s', t0 + i, { a: i }))
    const first = node.store.append(many)
    for (let i = 0; i < 10; i++) await turn()
    const abort = new AbortController()
    const second = node.store.append([reading('t', t0, { a: 1 })], { signal: abort.signal, flush: true })
    abort.abort(new Error('told to stop'))
    await assert.rejects(second, /told to stop/)
    const third = node.store.append([reading('u', t0, { a: 1 })], { flush: true })
    const progress = { done: false }
    void third.then(() => (progress.done = true))
    for (let i = 0; i < 10; i++) {
      clock.advance(5)
      await turn()
    }
    assert.equal(progress.done, false)
    disk.release()
    while (!progress.done) {
      clock.advance(5)
      await turn()
    }
    assert.equal((await first).appended, count)
    assert.equal((await node.store.totals()).records, count + 1)
    await node.store.close()
  })
})

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
