import assert from 'node:assert/strict'
import type { DocumentId } from '../../src/model/index.ts'
import { openStore, type RecordView, type Store, type StoreSnapshot } from '../../src/store/index.ts'
import { flipBit, memoryKeys } from '../support/faulty-engine.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { copyAll, openTestSite, reading, type TestNode } from '../support/store.ts'

const t0 = 1_700_000_000_000_000

const edit = (time: number, value: number, sensor = 's'): Parameters<Store['amend']>[0] => {
  const { sensor: id, fields } = reading(sensor, time, { t: value })
  return { sensor: id, time, fields }
}

/** All that a snapshot holds: states and bytes. */
async function dump(snapshot: StoreSnapshot): Promise<unknown[]> {
  const all: unknown[] = []
  for await (const state of snapshot.documents()) {
    const { changes, tips } = await snapshot.changesSince(state.id, [])
    const seal = await snapshot.seal(state.id)
    all.push([
      state,
      changes.map((chunk) => Buffer.from(chunk).toString('hex')),
      tips,
      seal === undefined ? [] : Buffer.from(await snapshot.sealedPart(state.id, 0)).toString('hex'),
    ])
  }
  const { count, sum } = await snapshot.fingerprint({})
  all.push(count, Buffer.from(sum).toString('hex'), await Array.fromAsync(snapshot.openDocuments()))
  return all
}

describe('a moment of the store', () => {
  it('stays as it was, whatever is appended, edited, sealed, received or taken out of use after it', async () => {
    const clock = new ManualClock(t0)
    const [a, b] = (await openTestSite(2, { clock })) as [TestNode, TestNode]
    const { store } = a
    await store.append([reading('s', t0, { t: 1 }), reading('s', t0 + 1, { t: 1 })], { flush: true })
    await store.amend(edit(t0, 2))
    await b.store.append([reading('other', t0, { t: 1 })], { flush: true })
    await copyAll(b, a)
    const events: (() => Promise<unknown>)[] = [
      () => store.append([reading('s', t0 + 2, { t: 1 })], { flush: true }),
      async () => store.amend(edit(t0, 3)),
      () => store.sealOpen(),
      () => store.append([reading('s', t0 + 3, { t: 1 })], { flush: true }),
      () => b.store.append([reading('other', t0 + 1, { t: 1 })], { flush: true }).then(() => copyAll(b, a)),
      () => b.store.sealOpen().then(() => copyAll(b, a)),
      async () => store.remove({ sensor: edit(t0, 0).sensor, time: t0 + 1 }),
      async () => {
        for (const key of await memoryKeys(a.options.engine, 'c'))
          if (key.includes('amendments')) await flipBit(a.options.engine, key, 50)
        await store.scrub()
        assert.equal((await store.damage()).length, 1)
      },
    ]
    const moments: { snapshot: StoreSnapshot; seen: unknown[] }[] = []
    for (const event of events) {
      const snapshot = await store.snapshot()
      moments.push({ snapshot, seen: await dump(snapshot) })
      await event()
      // Caches move on between two looks at a moment.
      await Array.fromAsync(store.query())
      for (const { snapshot: earlier, seen } of moments) assert.deepEqual(await dump(earlier), seen)
    }
    for (const { snapshot } of moments) await snapshot[Symbol.asyncDispose]()
    await a.store.close()
    await b.store.close()
  })

  it('is what a query shows from its first record to its last', async () => {
    const [node] = (await openTestSite(1)) as [TestNode]
    const { store } = node
    const month = 2_678_400_000_000
    for (let i = 0; i < 24; i++) await store.append([reading('s', t0 + i * month, { t: i })], { flush: true })
    await store.amend(edit(t0 + 20 * month, -20))
    const expected = await Array.fromAsync(store.query())
    const shown: RecordView[] = []
    for await (const record of store.query()) {
      shown.push(record)
      if (shown.length === 1) {
        await store.append([reading('s', t0 + 30 * month, { t: 0 }), reading('s', t0 + 21 * month + 5, { t: 0 })], {
          flush: true,
        })
        await store.amend(edit(t0 + 20 * month, 5))
        await store.amend(edit(t0 + 22 * month, 5))
        await store.sealOpen()
      }
      if (shown.length === 10) await Array.fromAsync(store.query())
    }
    assert.deepEqual(shown, expected)
    assert.equal((await Array.fromAsync(store.query())).length, 26)
    await store.close()
  })

  it('shows every one of many shared documents rightly, read and written at the same time by more than are kept open', async () => {
    const [a, b] = (await openTestSite(2)) as [TestNode, TestNode]
    const sensors = Array.from({ length: 60 }, (_, i) => `s/${i}`)
    await a.store.append(
      sensors.flatMap((sensor) => [reading(sensor, t0, { t: 1 })]),
      { flush: true },
    )
    await copyAll(a, b)
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        sensors.map(async (sensor) => {
          const { sensor: id } = edit(t0, 0, sensor)
          const record = await a.store.record(id, t0)
          await a.store.amend({ ...edit(t0, round * 100, sensor), seen: record?.seen as string })
          assert.equal((await a.store.record(id, t0))?.fields[0]?.shown?.value, round * 100)
        }),
      )
      await Promise.all([copyAll(a, b), ...sensors.map((sensor) => b.store.record(edit(t0, 0, sensor).sensor, t0))])
    }
    assert.deepEqual(await a.store.damage(), [])
    assert.deepEqual(await b.store.damage(), [])
    assert.equal(await b.store.content(), await a.store.content())
    await a.store.close()
    await b.store.close()
  })

  it('gives the changes behind any tips, and everything where a tip is not of its history', async () => {
    const [node] = (await openTestSite(1)) as [TestNode]
    const { store } = node
    for (let i = 0; i < 6; i++) await store.append([reading('s', t0 + i, { t: i })], { flush: true })
    for (const sealed of [false, true]) {
      if (sealed) await store.sealOpen()
      await using snapshot = await store.snapshot()
      const [state] = await Array.fromAsync(snapshot.documents())
      const id = state?.id as DocumentId
      const { changes } = await snapshot.changesSince(id, [])
      assert.equal(changes.length, 6)
      const { readChangeHeader } = await import('../../src/store/change.ts')
      for (const [i, chunk] of changes.entries()) {
        const { actor, seq, hash } = readChangeHeader(chunk)
        const since = await snapshot.changesSince(id, [{ actor, seq, hash }])
        assert.deepEqual(since.changes, changes.slice(i + 1))
        assert.equal(since.tips.length, i === 5 ? 0 : 1)
        for (const strange of [
          { actor, seq, hash: '00'.repeat(32) as never },
          { actor, seq: seq + 1000, hash },
          { actor, seq: 0, hash },
          { actor: 'ff'.repeat(24) as never, seq, hash },
        ])
          assert.equal((await snapshot.changesSince(id, [strange])).changes.length, 6)
      }
      assert.equal((await snapshot.changesSince('journal.1/none' as never, [])).changes.length, 0)
    }
    await store.close()
    const again = await openStore(node.options)
    await again.close()
  })

  it('says no to a part that does not exist, without taking the journal for damaged', async () => {
    const [node] = (await openTestSite(1)) as [TestNode]
    const { store } = node
    await store.append([reading('s', t0, { t: 1 })], { flush: true })
    await store.sealOpen()
    await using snapshot = await store.snapshot()
    const [state] = await Array.fromAsync(snapshot.documents())
    for (const index of [1, -1, 0.5, Number.NaN])
      await assert.rejects(snapshot.sealedPart(state?.id as DocumentId, index), /there is no part/)
    assert.deepEqual(await store.damage(), [])
    assert.equal((await snapshot.state(state?.id as DocumentId))?.records, 1)
    await store.close()
  })
})
