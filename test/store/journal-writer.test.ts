import assert from 'node:assert/strict'
import { catalogId, defaultGroup, makeRunId, type Reading } from '../../src/model/index.ts'
import { Database } from '../../src/store/database.ts'
import { DocumentWriter } from '../../src/store/document-writer.ts'
import { Ledger } from '../../src/store/ledger.ts'
import { foundSite, openMembersSet } from '../../src/store/members.ts'
import { OrderClock } from '../../src/store/order.ts'
import { newEngine } from '../support/faulty-engine.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { reading, testRandom, testSigner } from '../support/store.ts'

const t0 = 1_700_000_000_000_000

async function openWriter(): Promise<{ writer: DocumentWriter; ledger: Ledger; database: Database }> {
  const signer = testSigner(0)
  const { site, entry } = foundSite(signer, 'node-0')
  const members = await openMembersSet({ site, load: async function* () {}, save: async () => undefined })
  await members.add([entry])
  const clock = new ManualClock(t0)
  const random = testRandom(1)
  const database = await Database.open(newEngine())
  const ledger = new Ledger({
    database,
    members,
    clock,
    random,
    order: new OrderClock(clock, 0),
    run: makeRunId(t0 / 1000, random.bytes(4)),
    signer,
    log: () => undefined,
    keepActors: false,
  })
  return { writer: new DocumentWriter(ledger), ledger, database }
}

const one = (time: number): Reading[] => [reading('s', t0 + time, { a: 1 })]

describe('journal writer', () => {
  it('misses no append that is made in the turn in which the one before became durable, or in any of the next', async () => {
    const { writer, ledger, database } = await openWriter()
    for (let turns = 0; turns < 12; turns++) {
      await writer.append(defaultGroup, 'normal', one(2 * turns), true)
      for (let i = 0; i < turns; i++) await Promise.resolve()
      await writer.append(defaultGroup, 'normal', one(2 * turns + 1), true)
    }
    assert.equal((await ledger.totals.value()).records, 24)
    writer.abandon()
    await database.close()
  })

  it('makes no change of an edit that puts what stands there already', async () => {
    const { writer, ledger, database } = await openWriter()
    const edit = (value: string): ReturnType<typeof writer.edit> =>
      writer.edit(catalogId, async () => new Map([['k', value]]))
    await edit('a')
    const { heads } = await edit('b')
    assert.deepEqual((await edit('b')).heads, heads)
    assert.equal((await edit('c')).tips[0]?.seq, 3)
    assert.equal((await ledger.totals.value()).records, 3)
    await using snapshot = await writer.snapshot()
    assert.equal((await snapshot.changesSince(catalogId, [])).changes.length, 3)
    assert.equal((await snapshot.shared(catalogId)).get('k')?.[0]?.value, 'c')
    writer.abandon()
    ledger.shared.close()
    await database.close()
  })

  it('goes on after a listener to its changes has thrown: the change has happened', async () => {
    const { writer, ledger, database } = await openWriter()
    ledger.onChange(() => {
      throw new Error('a listener that fails')
    })
    await writer.append(defaultGroup, 'normal', one(0), true)
    await writer.append(defaultGroup, 'normal', one(1), true)
    assert.deepEqual((await ledger.totals.value()).records, 2)
    assert.equal(ledger.open.size, 1)
    writer.abandon()
    await database.close()
  })

  it('gives up a journal that this run has not begun itself: a clone may have', async () => {
    const { writer, ledger, database } = await openWriter()
    await writer.append(defaultGroup, 'normal', one(0), true)
    const clone = new DocumentWriter(ledger)
    await clone.append(defaultGroup, 'normal', one(1), true)
    await clone.append(defaultGroup, 'normal', one(2), true)
    await writer.append(defaultGroup, 'normal', one(3), true)
    assert.equal(ledger.open.size, 2)
    assert.equal((await ledger.totals.value()).records, 4)
    for (const each of [writer, clone]) each.abandon()
    await database.close()
  })
})
