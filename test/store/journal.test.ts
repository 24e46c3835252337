import assert from 'node:assert/strict'
import { limits, parseDocumentId, type DocumentId, type Reading } from '../../src/model/index.ts'
import { decodeStatement, openStore, type DocumentState, type Store } from '../../src/store/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { copyAll, openTestSite, reading, testRandom, type TestNode } from '../support/store.ts'

const t0 = 1_700_000_000_000_000
const random = testRandom(3)
const text = (): string => Buffer.from(random.bytes(510)).toString('hex')

async function journals(store: Store): Promise<DocumentState[]> {
  await using snapshot = await store.snapshot()
  const states = await Array.fromAsync(snapshot.documents())
  return states.filter(({ id }) => id.startsWith('journal.'))
}

async function openOne(clock: ManualClock = new ManualClock(t0)): Promise<{ node: TestNode; clock: ManualClock }> {
  const [node] = (await openTestSite(1, { clock })) as [TestNode]
  return { node, clock }
}

/** Lets what is under way come to its next wait. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('journals', () => {
  it('are rotated and sealed at their limit of changes', async function () {
    this.timeout(120_000)
    const { node } = await openOne()
    for (let i = 0; i < limits.journalChanges + 1; i++)
      await node.store.append([reading('s', t0 + i, { t: i })], { flush: true })
    const [first, second, ...more] = (await journals(node.store)).sort((a, b) => b.records - a.records)
    assert.equal(more.length, 0)
    assert.deepEqual([first?.records, first?.settled, typeof first?.seal], [limits.journalChanges, true, 'string'])
    assert.deepEqual([second?.records, second?.settled, second?.seal], [1, false, undefined])
    assert.equal((await node.store.totals()).records, limits.journalChanges + 1)
    let shown = 0
    for await (const record of node.store.query()) assert.equal(record.time, t0 + shown++)
    assert.equal(shown, limits.journalChanges + 1)
    await node.store.close()
  })

  it('are rotated at their limit of bytes and of age', async () => {
    const { node, clock } = await openOne()
    const big = (i: number): Reading[] =>
      Array.from({ length: 300 }, (_, j) => reading(`s/${j}`, t0 + i, { a: text(), b: text() }))
    for (let i = 0; (await journals(node.store)).length < 2; i++) {
      assert.ok(i < 30)
      await node.store.append(big(i), { flush: true })
    }
    const sealed = (await journals(node.store)).find(({ seal }) => seal !== undefined)
    assert.ok((sealed?.bytes ?? 0) >= limits.journalBytes)
    assert.ok((sealed?.bytes ?? 0) < limits.journalBytes + limits.batchBytes)
    clock.advance(limits.journalAgeMs)
    await node.store.append(big(100), { flush: true })
    await node.store.append(big(101), { flush: true })
    const all = await journals(node.store)
    assert.deepEqual(
      all.map(({ seal }) => seal !== undefined).toSorted((a, b) => Number(a) - Number(b)),
      [false, true, true],
    )
    await node.store.close()
  })

  it('wait for the interval of their lane, for enough readings, or for nothing', async () => {
    const { node, clock } = await openOne()
    const { store } = node
    await store.setPolicy({ pattern: 'hot/**' as never, group: 'hot' as never, lane: 'critical' })
    const done: string[] = []
    const append = (name: string, readings: Reading[], options = {}): Promise<unknown> =>
      store.append(readings, options).then(() => done.push(name))
    const slow = append('slow', [reading('s', t0, { a: 1 })])
    const hot = append('hot', [reading('hot/1', t0, { a: 1 })])
    await settle()
    clock.advance(49)
    await settle()
    assert.deepEqual([done, (await journals(store)).length], [[], 0])
    clock.advance(1)
    await settle()
    assert.deepEqual(done, ['hot'])
    clock.advance(1_949)
    await settle()
    assert.deepEqual(done, ['hot'])
    clock.advance(1)
    await settle()
    assert.deepEqual(done, ['hot', 'slow'])
    await append(
      'many',
      Array.from({ length: limits.flushReadings }, (_, i) => reading('s', t0 + 1 + i, { a: 1 })),
    )
    await append('now', [reading('s', t0 + 9_999, { a: 1 })], { flush: true })
    const waiting = append('flushed', [reading('s', t0 + 99_999, { a: 1 })])
    await settle()
    await store.flush()
    await waiting
    assert.deepEqual(done, ['hot', 'slow', 'many', 'now', 'flushed'])
    const closing = append('closed', [reading('s', t0 + 999_999, { a: 1 })])
    await settle()
    await store.close()
    await closing
    await Promise.all([slow, hot])
    assert.equal(done.at(-1), 'closed')
  })

  it('take appends of one moment in one change, and the following ones without a lost wake-up', async () => {
    const { node } = await openOne()
    await Promise.all(
      Array.from({ length: 50 }, (_, i) => node.store.append([reading(`s/${i}`, t0, { a: 1 })], { flush: true })),
    )
    const [state] = await journals(node.store)
    assert.ok((state?.tips[0]?.seq ?? 0) <= 3, `${state?.tips[0]?.seq} changes`)
    // Each next append is asked for in the very turn in which the one before became durable.
    const chain = async (sensor: string): Promise<void> => {
      for (let i = 0; i < 200; i++) await node.store.append([reading(sensor, t0 + 1 + i, { a: i })], { flush: true })
    }
    await Promise.all([chain('s/1'), chain('s/2'), chain('s/3')])
    assert.equal((await node.store.totals()).records, 650)
    await node.store.close()
  })

  it('never cut an append that fits one flush in two, and hold one of any size', async () => {
    const { node } = await openOne()
    const { store } = node
    const sizes = [4_000, 3_000, 2_000, 5_000, 1, 12_000, 4_999]
    const told: number[] = []
    store.onChange(({ changes, state }) => {
      if (changes !== undefined) told.push(state.records)
    })
    await Promise.all(
      sizes.map((size, n) =>
        store.append(
          Array.from({ length: size }, (_, i) => reading(`s/${n}`, t0 + i, { a: i })),
          { flush: true },
        ),
      ),
    )
    assert.equal((await store.totals()).records, 31_000)
    // Each boundary of a small append is a boundary of a flush or lies within one.
    const flushes = told.map((total, i) => [told[i - 1] ?? 0, total] as const)
    let start = 0
    for (const size of sizes) {
      const end = start + size
      if (size <= limits.batchReadings)
        assert.ok(
          flushes.some(([from, to]) => from <= start && end <= to),
          `${start}–${end} of ${told.join()}`,
        )
      start = end
    }
    for (const [from, to] of flushes) assert.ok(to - from <= limits.batchReadings)
    await store.close()
  })

  it('hold one flush of more fields than a batch has series', async () => {
    const { node } = await openOne()
    const fields = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`f${i}`, i]))
    const readings = Array.from({ length: 500 }, (_, i) => reading(`s/${i}`, t0, fields))
    assert.equal((await node.store.append(readings, { flush: true })).appended, 500)
    assert.ok(((await journals(node.store))[0]?.tips[0]?.seq ?? 0) >= 2)
    assert.equal((await node.store.totals()).records, 500)
    await node.store.close()
  })

  it('are sealed by a clean stop and while appends come in, losing none of them', async () => {
    const { node } = await openOne()
    const appends = Array.from({ length: 40 }, (_, i) =>
      node.store.append([reading('s', t0 + i, { a: i })], { flush: i % 3 === 0 }),
    )
    const seals = [node.store.sealOpen(), node.store.sealOpen()]
    for (let i = 40; i < 60; i++) appends.push(node.store.append([reading('s', t0 + i, { a: i })], { flush: true }))
    seals.push(node.store.sealOpen())
    await Promise.all([...appends, ...seals, node.store.flush()])
    assert.equal((await Array.fromAsync(node.store.query())).length, 60)
    await node.store.close()
    const again = await openStore(node.options)
    assert.ok((await journals(again)).every(({ seal, settled }) => seal !== undefined && settled))
    assert.equal((await Array.fromAsync(again.query())).length, 60)
    assert.deepEqual((await again.scrub()).damaged, [])
    await again.close()
  })

  it('say in their seal what they hold', async () => {
    const { node } = await openOne()
    const month = 2_678_400_000_000
    await node.store.append(
      Array.from({ length: 10 }, (_, i) => reading('s', t0 + i * month, { a: i, ...(i % 2 === 0 ? { b: 'x' } : {}) })),
      { flush: true },
    )
    await node.store.append([reading('s', t0 + 1, { a: 5n })], { flush: true })
    await node.store.sealOpen()
    await using snapshot = await node.store.snapshot()
    const [state] = await journals(node.store)
    const seal = await snapshot.seal(state?.id as DocumentId)
    const statement = decodeStatement(seal?.statement as Uint8Array)
    assert.equal(
      statement.index.reduce((sum, row) => sum + row.count, 0),
      11,
    )
    assert.deepEqual(statement.series.map(({ field, type, count }) => `${field} ${type} ${count}`).toSorted(), [
      'a float 10',
      'a int 1',
      'b string 5',
    ])
    assert.equal(statement.tip.records, 11)
    await node.store.close()
  })

  it('of a crashed run are sealed once a peer has confirmed them, or after a day alone', async () => {
    for (const alone of [false, true]) {
      const clock = new ManualClock(t0)
      const [node, peer] = (await openTestSite(2, { clock })) as [TestNode, TestNode]
      await node.store.append([reading('s', t0, { a: 1 })], { flush: true })
      await copyAll(node, peer)
      // The crash: the engine is closed under the store, which seals nothing.
      await node.options.engine.close()
      await node.store.close().catch(() => undefined)
      const options = { ...node.options, random: testRandom(77) }
      const again: TestNode = { ...node, options, store: await openStore(options) }
      const [open] = await journals(again.store)
      assert.equal(open?.seal, undefined)
      await again.store.sealLeftOpen(() => false)
      assert.equal((await journals(again.store))[0]?.seal, undefined)
      await again.store.append([reading('s', t0 + 1, { a: 1 })], { flush: true })
      if (alone) clock.advance(limits.sealAloneMs)
      await again.store.sealLeftOpen((id) => !alone && id === open?.id)
      const states = await journals(again.store)
      assert.notEqual(states.find(({ id }) => id === open?.id)?.seal, undefined)
      const own = states.find(({ id }) => id !== open?.id)
      assert.equal(own?.seal, undefined)
      const runs = states.map(({ id }) => parseDocumentId(id)).map((parsed) => parsed.kind === 'journal' && parsed.run)
      assert.equal(new Set(runs).size, 2)
      const actors = states.flatMap(({ tips }) => tips.map(({ actor }) => actor))
      assert.equal(new Set(actors).size, 2)
      // The peer has the same state as changes: it seals it without asking for a part.
      await using snapshot = await again.store.snapshot()
      const seal = await snapshot.seal(open?.id as DocumentId)
      const never = (): Promise<never> => Promise.reject(new Error('asked for a part'))
      await peer.store.receiveSealed(seal as never, never, node.signer.node)
      await copyAll(again, peer)
      assert.equal(await peer.store.digest(), await again.store.digest())
      await again.store.close()
      await peer.store.close()
    }
  })
})
