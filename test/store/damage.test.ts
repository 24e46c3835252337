import assert from 'node:assert/strict'
import { DamagedError } from '../../src/model/index.ts'
import { decodeStatement, openStore, type Store, type StoreOptions } from '../../src/store/index.ts'
import { engineOf, entriesOf, flipBit, flipped, memoryKeys } from '../support/faulty-engine.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { copyAll, openTestSite, reading, testRandom, testSigner, type TestNode } from '../support/store.ts'

const t0 = 1_700_000_000_000_000
const random = testRandom(11)

type Entries = Awaited<ReturnType<typeof entriesOf>>

function amendment(sensor: string, time: number, value: number): Parameters<Store['amend']>[0] {
  const { sensor: id, fields } = reading(sensor, time, { t: value })
  return { sensor: id, time, fields, create: true }
}

/** A site whose documents are of every kind and form. */
async function openSource(): Promise<TestNode[]> {
  const clock = new ManualClock(t0 + 1_000_000)
  const nodes = (await openTestSite(2, { clock })) as [TestNode, TestNode]
  const [a, b] = nodes
  for (let i = 0; i < 40; i++)
    await a.store.append(
      [reading('sealed/1', t0 + i, { t: i, x: Buffer.from(random.bytes(900)).toString('hex').slice(0, 1000) })],
      { flush: true },
    )
  for (let i = 0; i < 40; i++)
    await a.store.append(
      [reading('sealed/2', t0 + i, { x: Buffer.from(random.bytes(900)).toString('hex').slice(0, 1000) })],
      { flush: true },
    )
  await a.store.sealOpen()
  for (let i = 0; i < 3; i++)
    await a.store.append([reading('open/1', t0 + i * 2_700_000_000_000, { t: i })], { flush: true })
  await b.store.append([reading('open/1', t0, { t: 9 })], { flush: true })
  await a.store.amend(amendment('open/1', t0 + 2_700_000_000_000, 5))
  await a.store.setPolicy({ pattern: 'sealed/**' as never, group: 'cold' as never })
  await a.store.setCatalog({ pattern: '**' as never, units: { t: 'Cel' } })
  await copyAll(b, a)
  await copyAll(a, b)
  clock.advance(11 * 60_000)
  await b.store.amend(amendment('open/1', t0 + 2 * 2_700_000_000_000, 7))
  await new Promise((resolve) => setImmediate(resolve))
  await copyAll(b, a)
  return nodes
}

interface Answers {
  readonly digest: string
  readonly content: string
  readonly totals: Awaited<ReturnType<Store['totals']>>
  readonly records: unknown[]
  readonly sensors: unknown[]
  readonly span: unknown
  readonly policy: unknown
  readonly bytes: readonly string[]
}

/** Everything a store can be asked for. */
async function ask(store: Store): Promise<Answers> {
  const records = await Array.fromAsync(store.query())
  const sensors = await Array.fromAsync(store.sensors())
  await using snapshot = await store.snapshot()
  const bytes: string[] = []
  for await (const { id, seal } of snapshot.documents()) {
    const { changes } = await snapshot.changesSince(id, [])
    bytes.push(id, ...changes.map((chunk) => Buffer.from(chunk).toString('base64')))
    const signed = seal === undefined ? undefined : await snapshot.seal(id)
    const parts = signed === undefined ? [] : decodeStatement(signed.statement).parts
    for (const i of parts.keys()) bytes.push((await snapshot.sealedPart(id, i)).length.toString())
  }
  return {
    digest: await store.digest(),
    content: await store.content(),
    totals: await store.totals(),
    records,
    sensors,
    span: await store.span(),
    policy: await store.policy(),
    bytes,
  }
}

/** What reconciliation sees: fingerprint of the whole and the items it is the sum of. */
async function settledOf(store: Store): Promise<unknown> {
  await using snapshot = await store.snapshot()
  const { count, sum } = await snapshot.fingerprint({})
  const items = await Array.fromAsync(snapshot.settled({}))
  const split = await snapshot.split({}, 2)
  return {
    count,
    sum: Buffer.from(sum).toString('hex'),
    items: items.map(({ id, hash }) => [id, Buffer.from(hash).toString('hex')]),
    split,
  }
}

describe('a damaged store', () => {
  let source: TestNode[]
  let entries: Entries
  let right: Answers
  let settled: unknown

  before(async () => {
    source = await openSource()
    const [a, b] = source as [TestNode, TestNode]
    // The store that is damaged is that of b as of a restart: all of its documents are also on a.
    await b.store.close()
    const reopened = await openStore(b.options)
    await copyAll({ ...b, store: reopened }, a)
    await copyAll(a, { ...b, store: reopened })
    await reopened.side.put('peer/seen/x', { at: 1 })
    await reopened.setImportMark('file')
    right = await ask(reopened)
    settled = await settledOf(reopened)
    entries = await entriesOf(b.options.engine)
    await reopened.close()
    assert.equal(await a.store.digest(), right.digest)
  })
  after(async () => {
    await source[0]?.store.close()
  })

  async function openDamaged(key: string, bit: number): Promise<{ node: TestNode; logs: string[] }> {
    const logs: string[] = []
    const engine = await engineOf(
      entries.map(([name, value]) => [name, name === key ? flipped(value, bit % (value.length * 8)) : value]),
    )
    const options: StoreOptions = {
      engine,
      clock: new ManualClock(t0 + 900_000_000),
      random: testRandom(bit),
      signer: testSigner(1),
      log: (level, message, fields) => {
        if (level !== 'info') logs.push(`${message} ${JSON.stringify(fields)}`)
      },
    }
    return { node: { options, signer: testSigner(1), store: await openStore(options) }, logs }
  }

  it('has values of every kind', () => {
    const letters = new Set(entries.map(([key]) => key.split('\0')[0]))
    for (const letter of ['meta', 'order', 'd', 'c', 's', 'p', 'i', 'a', 'f', 'm', 'w', 'I', 'x'])
      assert.ok(letters.has(letter), letter)
  })

  it('answers rightly or names the damage, whichever bit of whichever value is flipped, and is whole again after a refill', async () => {
    const [a] = source as [TestNode]
    for (const [key, value] of entries) {
      if (key === 'meta') continue
      const bit = random.bytes(4).reduce((sum, byte) => sum * 256 + byte, 0) % (value.length * 8)
      const where = `${JSON.stringify(key)} bit ${bit}`
      const { node, logs } = await openDamaged(key, bit)
      const { store } = node
      const answers: Partial<Answers> = await ask(store).catch((error: unknown) => {
        // A part of a chunk is asked for alone: there is no other answer than an error.
        assert.ok(error instanceof DamagedError, `${where}: ${String(error)}`)
        return {}
      })
      const seen = await settledOf(store)
      const damage = await store.damage()
      const named = damage.length > 0 || logs.some((line) => line.includes('damaged'))
      for (const [name, answer] of Object.entries(answers))
        if (!named) assert.deepEqual(answer, right[name as keyof Answers], `${where}: ${name} is silently wrong`)
      if (!named) assert.deepEqual(seen, settled, `${where}: fingerprints are silently wrong`)
      // What is derived is made anew; it takes no document out of use.
      if ('iafwxIo'.includes(key[0] as string)) {
        assert.deepEqual(damage, [], where)
        assert.deepEqual(answers, right, where)
        assert.deepEqual(seen, settled, where)
      }
      await store.scrub()
      if ('dcsp'.includes(key[0] as string)) assert.equal((await store.damage()).length, 1, where)

      await store.members.add(a.store.members.keys().map((name) => a.store.members.get(name) as Uint8Array))
      await copyAll(a, node)
      assert.deepEqual(await store.damage(), [], where)
      assert.deepEqual(await ask(store), right, where)
      assert.deepEqual((await store.scrub()).damaged, [], where)
      await store.append([reading('open/1', t0, { t: 9 }), reading('new', t0, { t: 1 })], { flush: true })
      const { records } = await store.totals()
      assert.equal(records, right.totals.records + 1, where)
      await store.close()
      const again = await openStore(node.options)
      assert.equal((await again.totals()).records, records, where)
      assert.deepEqual((await again.scrub()).damaged, [], where)
      await again.close()
    }
  })

  it('does not open when what says what it is is damaged', async () => {
    await assert.rejects(openDamaged('meta', 40), DamagedError)
  })

  it('notices damage that happens while it is open, in rows and in bytes, and is refilled', async () => {
    const [a] = source as [TestNode]
    const { node } = await openDamaged('meta-that-is-not-there', 0)
    const { store } = node
    const { engine } = node.options
    await ask(store)
    for (const letter of ['d', 'c', 's', 'p'])
      for (const key of await memoryKeys(engine, letter)) await flipBit(engine, key, 13)
    await store.scrub()
    assert.equal((await store.damage()).length, right.totals.documents)
    assert.deepEqual(await store.totals(), { records: 0, documents: 0, bytes: 0 })
    assert.deepEqual(await Array.fromAsync(store.query()), [])
    assert.deepEqual(await Array.fromAsync(store.sensors()), [])
    await copyAll(a, node)
    assert.deepEqual(await ask(store), right)
    assert.deepEqual(await settledOf(store), settled)
    await store.close()
  })

  it('writes the journal it is writing anew from memory: it needs no peer for it', async () => {
    for (const how of ['read', 'append', 'close'] as const) {
      const [node] = (await openTestSite(1)) as [TestNode]
      const { store } = node
      for (let i = 0; i < 5; i++) await store.append([reading('s', t0 + i, { t: i })], { flush: true })
      const digest = await store.digest()
      const { engine } = node.options
      const keys = [...(await memoryKeys(engine, 'c')), ...(how === 'append' ? await memoryKeys(engine, 'd') : [])]
      for (const key of keys) await flipBit(engine, key, 5)
      assert.equal((await store.scrub()).damaged.length, 1)
      if (how === 'append') await store.append([reading('s', t0 + 5, { t: 5 })], { flush: true })
      if (how === 'read') await until(async () => (await store.damage()).length === 0)
      const count = how === 'append' ? 6 : 5
      if (how !== 'close') {
        assert.equal((await Array.fromAsync(store.query())).length, count)
        assert.equal((await store.totals()).records, count)
        if (how === 'read') assert.equal(await store.digest(), digest)
      }
      await store.close()
      const again = await openStore(node.options)
      assert.deepEqual(await again.damage(), [])
      assert.equal((await Array.fromAsync(again.query())).length, count)
      assert.deepEqual((await again.scrub()).damaged, [])
      assert.equal((await again.totals()).records, count)
      await again.close()
    }
  })

  it('takes a journal that this run has rotated back from a peer when it is damaged', async () => {
    const [a, b] = (await openTestSite(2)) as [TestNode, TestNode]
    for (let i = 0; i < 5; i++) await a.store.append([reading('s', t0 + i, { t: i })], { flush: true })
    await a.store.sealOpen()
    await copyAll(a, b)
    const digest = await a.store.digest()
    for (const key of await memoryKeys(a.options.engine, 'p')) await flipBit(a.options.engine, key, 50)
    assert.equal((await a.store.scrub()).damaged.length, 1)
    await copyAll(b, a)
    assert.equal(await a.store.digest(), digest)
    assert.equal((await Array.fromAsync(a.store.query())).length, 5)
    for (const { store } of [a, b]) await store.close()
  })

  it('refuses an edit of a damaged document instead of waiting for itself, and takes it after the refill', async () => {
    const [a] = source as [TestNode]
    const { node } = await openDamaged('meta-that-is-not-there', 0)
    const { store, options } = node
    const edit = amendment('open/1', t0 + 2_700_000_000_000, 6)
    const day = new Date(edit.time / 1000).toISOString().slice(0, 10)
    for (const letter of ['c', 'd'])
      for (const key of await memoryKeys(options.engine, letter))
        if (key.includes(day)) {
          await flipBit(options.engine, key, 21)
          await assert.rejects(store.amend(edit), DamagedError, key)
          await copyAll(a, node)
        }
    await store.amend(edit)
    for (const key of await memoryKeys(options.engine, 'c'))
      if (key.includes('catalog.1')) await flipBit(options.engine, key, 21)
    const place = { pattern: '**' as never, place: 'barn' }
    await using fresh = await reopened(node)
    await assert.rejects(fresh.setCatalog(place), DamagedError)
    await copyAll(a, { ...node, store: fresh })
    await fresh.setCatalog(place)
    await copyAll({ ...node, store: fresh }, a)
    assert.equal(await a.store.digest(), await fresh.digest())
  })

  it('makes damaged index and fingerprint rows anew when they are read', async () => {
    const { node } = await openDamaged('meta-that-is-not-there', 0)
    const { store, options } = node
    const derived = async (): Promise<Entries> =>
      (await entriesOf(options.engine)).filter(([key]) => /^[if]\0/.test(key))
    const sound = await derived()
    for (const [key] of sound) await flipBit(options.engine, key, 33)
    assert.deepEqual(await ask(store), right)
    assert.deepEqual(await settledOf(store), settled)
    assert.deepEqual(await derived(), sound)
    assert.deepEqual(await store.damage(), [])
    await store.close()
  })

  it('does not remember a summary that lacks what was damaged when it was made', async () => {
    const [a] = source as [TestNode]
    const { node } = await openDamaged('meta-that-is-not-there', 0)
    const { store, options } = node
    await copyAll(a, node)
    for (const key of await memoryKeys(options.engine, 'c'))
      if (key.includes('journal.')) await flipBit(options.engine, key, 99)
    const whole = await Array.fromAsync(a.store.sensors())
    assert.notDeepEqual(await Array.fromAsync(store.sensors()), whole)
    assert.equal((await store.damage()).length, 1)
    await copyAll(a, node)
    assert.deepEqual(await Array.fromAsync(store.sensors()), whole)
    await store.close()
  })

  it('keeps what only it has of a damaged document: undamaged changes that connect to the refill', async () => {
    for (const letter of ['c', 'd']) {
      const [a, b] = (await openTestSite(2)) as [TestNode, TestNode]
      await a.store.append([reading('s', t0, { t: 0 }), reading('s', t0 + 1, { t: 0 })], { flush: true })
      await a.store.amend(amendment('s', t0, 1))
      await copyAll(a, b)
      await b.store.amend(amendment('s', t0 + 1, 2))
      await copyAll(b, a)
      // Only a has these: readings, and an amendment on top of b's.
      await a.store.append([reading('s', t0 + 2, { t: 0 })], { flush: true })
      await a.store.append([reading('s', t0 + 3, { t: 0 })], { flush: true })
      await a.store.amend(amendment('s', t0 + 2, 3))
      const [digest, totals] = [await a.store.digest(), await a.store.totals()]
      // A crash, so that the journal is of an earlier run and not sealed.
      const engine = await engineOf(await entriesOf(a.options.engine))
      await a.store.close()
      await engine.open()
      const keys = await memoryKeys(engine, letter)
      for (const key of keys) if (letter === 'd' || key.endsWith('00000001')) await flipBit(engine, key, 77)
      await engine.close()
      const options = { ...a.options, engine, random: testRandom(3) }
      const again: TestNode = { ...a, options, store: await openStore(options) }
      await again.store.scrub()
      assert.equal((await again.store.damage()).length, 2)
      await copyAll(b, again)
      assert.deepEqual(await again.store.damage(), [])
      assert.equal(await again.store.digest(), digest, letter)
      assert.deepEqual(await again.store.totals(), totals)
      assert.deepEqual((await again.store.scrub()).damaged, [])
      await copyAll(again, b)
      assert.equal(await b.store.digest(), digest)
      await again.store.close()
      await b.store.close()
    }
  })

  it('keeps a document whose damage only an earlier moment shows', async () => {
    const [a] = source as [TestNode]
    const { node } = await openDamaged('meta-that-is-not-there', 0)
    const { store, options } = node
    for (const key of await memoryKeys(options.engine, 'c')) await flipBit(options.engine, key, 9)
    await using before = await store.snapshot()
    await store.scrub()
    await copyAll(a, node)
    const digest = await store.digest()
    for await (const { id } of before.documents()) {
      const { changes } = await before.changesSince(id, [])
      // What it once read as absent stays absent in it.
      assert.equal((await before.state(id)) === undefined, changes.length === 0)
    }
    assert.deepEqual(await store.damage(), [])
    assert.equal(await store.digest(), digest)
    await store.close()
  })
})

/** The store of a node after a restart: nothing of it is in memory. */
async function reopened({ store, options }: TestNode): Promise<Store> {
  await store.close()
  return await openStore({ ...options, random: testRandom(999) })
}

/** Lets everything that is under way go on until something holds. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (await holds()) return
    await new Promise((resolve) => setImmediate(resolve))
  }
  throw new Error('it never came to hold')
}
