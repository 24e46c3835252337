import assert from 'node:assert/strict'
import {
  DiskFullError,
  limits,
  parseGroupName,
  parseFieldName,
  parseSensorId,
  parseSensorPattern,
  usPerDay,
} from '../../src/model/index.ts'
import { foundSite, issueAdoption, moveStore, openStore } from '../../src/store/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { copyAll, openTestSite, reading, testSigner, type TestNode } from '../support/store.ts'

const t0 = 1_700_000_000_000_000

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  return Array.fromAsync(items)
}

async function close(nodes: readonly TestNode[]): Promise<void> {
  for (const { store } of nodes) await store.close()
}

describe('store', () => {
  it('shows what was appended, once it is durable, also after it was opened again', async () => {
    const [node] = (await openTestSite(1)) as [TestNode]
    const readings = Array.from({ length: 1500 }, (_, i) =>
      reading('a/b', t0 + i * 1e6, { t: 20 + i / 10, n: BigInt(i) }),
    )
    assert.deepEqual(await node.store.append(readings, { flush: true }), { appended: 1500, duplicates: 0 })
    const shown = await collect(node.store.query())
    assert.equal(shown.length, 1500)
    assert.deepEqual(
      shown[3]?.fields.map(({ field, shown: s }) => [field, s?.value]),
      [
        ['n', 3n],
        ['t', 20.3],
      ],
    )
    const digest = await node.store.digest()
    const content = await node.store.content()
    await node.store.close()
    const again = await openStore(node.options)
    assert.equal(await again.digest(), digest)
    assert.equal(await again.content(), content)
    assert.deepEqual(await again.totals(), { records: 1500, documents: 1, bytes: (await again.totals()).bytes })
    await again.close()
  })

  it('leaves out what this node has already appended, and keeps another value as a conflict', async () => {
    const [node] = (await openTestSite(1)) as [TestNode]
    const first = [reading('s', t0, { a: 1, b: 2 }), reading('s', t0 + 1, { a: 1 })]
    await node.store.append(first, { flush: true })
    assert.deepEqual(await node.store.append(first, { flush: true }), { appended: 0, duplicates: 3 })
    assert.deepEqual(await node.store.append([reading('s', t0, { a: 1, b: 3 })], { flush: true }), {
      appended: 1,
      duplicates: 1,
    })
    const [record] = await collect(node.store.query({ onlyConflicts: true }))
    assert.equal(record?.fields.find(({ field }) => field === 'b')?.conflict, 'reading/reading')
    await close([node])
  })

  it('keeps two appends of one reading at the same moment from doubling it', async () => {
    const [node] = (await openTestSite(1)) as [TestNode]
    const one = [reading('s', t0, { a: 1 })]
    const results = await Promise.all([1, 2, 3].map(() => node.store.append(one, { flush: true })))
    assert.equal(
      results.reduce((sum, { appended }) => sum + appended, 0),
      1,
    )
    await close([node])
  })

  it('holds the same records and digest on a node that received the documents, sealed or not', async () => {
    for (const sealed of [false, true]) {
      const [a, b, c] = (await openTestSite(3)) as [TestNode, TestNode, TestNode]
      await a.store.append(
        Array.from({ length: 100 }, (_, i) => reading('s/1', t0 + i * usPerDay, { t: i })),
        { flush: true },
      )
      await a.store.append(
        Array.from({ length: 100 }, (_, i) => reading('s/2', t0 + i, { t: i, x: 'text', y: i % 2 === 0 })),
        { flush: true },
      )
      await b.store.append([reading('s/1', t0, { t: 99 })], { flush: true })
      if (sealed) await a.store.sealOpen()
      await copyAll(a, b)
      await copyAll(b, a)
      await copyAll(b, c)
      for (const other of [b, c]) {
        assert.equal(await other.store.digest(), await a.store.digest())
        assert.equal(await other.store.content(), await a.store.content())
        assert.deepEqual(await collect(other.store.query()), await collect(a.store.query()))
      }
      assert.equal((await collect(c.store.query({ onlyConflicts: true }))).length, 1)
      await close([a, b, c])
    }
  })

  it('flushes appends that were called before, however far they have got', async () => {
    const [node] = (await openTestSite(1)) as [TestNode]
    const appended = node.store.append([reading('s', t0, { a: 1 })])
    await node.store.flush()
    assert.equal((await collect(node.store.query())).length, 1)
    await appended
    await close([node])
  })

  it('takes nothing more from peers below the low-water mark of the disk, and goes on when there is room', async () => {
    let free = 0
    const clock = new ManualClock(t0)
    const [a] = (await openTestSite(1)) as [TestNode]
    await a.store.append([reading('s', t0, { a: 1 })], { flush: true })
    const [b] = (await openTestSite(1, { clock, store: { freeBytes: async () => free } })) as [TestNode]
    await assert.rejects(copyAll(a, b), DiskFullError)
    await a.store.sealOpen()
    await assert.rejects(copyAll(a, b), DiskFullError)
    free = 2 * limits.diskLowBytes
    clock.advance(1_000)
    await copyAll(a, b)
    assert.equal(await a.store.digest(), await b.store.digest())
    await close([a, b])
  })

  it('keeps its records when it is moved to another site, and its policy only when told', async () => {
    for (const keepPolicy of [true, false]) {
      const [node] = (await openTestSite(1)) as [TestNode]
      await node.store.append([reading('s', t0, { a: 1 })], { flush: true })
      await node.store.setPolicy({ pattern: parseSensorPattern('s'), group: parseGroupName('cold') })
      const adoptedSite = node.store.site
      const adoptedEntries = node.store.members.keys().flatMap((key) => node.store.members.get(key) ?? [])
      await node.store.close()
      const signer = testSigner(7)
      const { site, entry } = foundSite(signer, 'new')
      const moved = await moveStore({ ...node.options, signer }, { site, members: [entry], keepPolicy })
      await moved.members.add(issueAdoption(signer, moved.members, { adoptedSite, adoptedEntries }))
      assert.equal(moved.site, site)
      assert.equal((await moved.policy()).entries.length, keepPolicy ? 1 : 0)
      assert.equal((await collect(moved.query())).length, 1)
      assert.deepEqual((await moved.scrub()).damaged, [])
      await moved.close()
    }
  })

  it('tells the types that the catalog sets for a sensor', async () => {
    const [node] = (await openTestSite(1)) as [TestNode]
    await node.store.setCatalog({ pattern: parseSensorPattern('a/**'), types: { n: 'int', open: 'bool' } })
    await node.store.setCatalog({ pattern: parseSensorPattern('a/b'), types: { n: 'string' } })
    assert.deepEqual({ ...(await node.store.fieldTypes(parseSensorId('a/b'))) }, { n: 'string', open: 'bool' })
    assert.deepEqual({ ...(await node.store.fieldTypes(parseSensorId('b'))) }, {})
    await close([node])
  })

  it('merges corrections made apart and loses none', async () => {
    const [a, b] = (await openTestSite(2)) as [TestNode, TestNode]
    await a.store.append([reading('s', t0, { t: 1 }), reading('s', t0 + 1, { t: 1 })], { flush: true })
    await copyAll(a, b)
    const sensor = parseSensorId('s')
    const field = parseFieldName('t')
    await a.store.amend({ sensor, time: t0, fields: [{ field, value: 5 }] })
    await b.store.amend({ sensor, time: t0, fields: [{ field, value: 6 }] })
    await b.store.remove({ sensor, time: t0 + 1 })
    await copyAll(a, b)
    await copyAll(b, a)
    assert.equal(await a.store.digest(), await b.store.digest())
    assert.equal(await a.store.content(), await b.store.content())
    const record = await a.store.record(sensor, t0)
    assert.equal(record?.fields[0]?.conflict, 'amend/amend')
    await b.store.resolve({
      sensor,
      time: t0,
      field,
      choice: { value: 6 },
      ...(record === undefined ? {} : { seen: record.seen }),
    })
    await copyAll(b, a)
    assert.equal((await a.store.record(sensor, t0))?.fields[0]?.shown?.value, 6)
    assert.equal((await a.store.record(sensor, t0))?.fields[0]?.conflict, undefined)
    assert.equal(await a.store.record(sensor, t0 + 1), undefined)
    await close([a, b])
  })
})
