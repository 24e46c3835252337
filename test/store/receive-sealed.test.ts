import assert from 'node:assert/strict'
import { decode, encode } from 'cborg'
import { limits, RefusedError, StorageError, type DocumentId } from '../../src/model/index.ts'
import { decodeStatement, openStore, type SignedSeal, type StoreSnapshot } from '../../src/store/index.ts'
import { encodeStatement } from '../../src/store/rows.ts'
import { sealMessage } from '../../src/store/signing.ts'
import type { SealStatement } from '../../src/store/types.ts'
import { failingEngine, flipBit, flipped, fsyncFailed, memoryKeys } from '../support/faulty-engine.ts'
import { Forger, journalOf } from '../support/forger.ts'
import {
  copyAll,
  memoryEngine,
  openTestSite,
  reading,
  testRandom,
  testSigner,
  type TestNode,
} from '../support/store.ts'

const t0 = 1_700_000_000_000_000
const random = testRandom(5)
const text = (): string => Buffer.from(random.bytes(500)).toString('hex')

/** Fills a journal of `node` so that its chunk has several parts. */
async function appendLong(node: TestNode, flushes = 100): Promise<void> {
  for (let i = 0; i < flushes; i++)
    await node.store.append(
      Array.from({ length: 4 }, (_, j) => reading(`s/${j}`, t0 + i, { t: i * 0.1, x: text() })),
      { flush: true },
    )
}

interface Sealed {
  readonly a: TestNode
  readonly b: TestNode
  readonly id: DocumentId
  readonly seal: SignedSeal
  readonly statement: SealStatement
  readonly snapshot: StoreSnapshot
  readonly part: (index: number) => Promise<Uint8Array>
}

/** Node a with one sealed journal of several parts, and node b without it. */
async function openSealed(options: { readonly prefix?: boolean } = {}): Promise<Sealed> {
  const [a, b] = (await openTestSite(2)) as [TestNode, TestNode]
  if (options.prefix === true) {
    await appendLong(a, 5)
    await copyAll(a, b)
  }
  await appendLong(a)
  await a.store.sealOpen()
  const snapshot = await a.store.snapshot()
  const [state] = await Array.fromAsync(snapshot.documents())
  const id = state?.id as DocumentId
  const seal = (await snapshot.seal(id)) as SignedSeal
  const statement = decodeStatement(seal.statement)
  assert.ok(statement.parts.length > 2)
  return { a, b, id, seal, statement, snapshot, part: (index) => snapshot.sealedPart(id, index) }
}

async function closeAll({ a, b, snapshot }: Sealed): Promise<void> {
  await snapshot[Symbol.asyncDispose]()
  await a.store.close()
  await b.store.close()
}

async function assertSame(a: TestNode, b: TestNode): Promise<void> {
  assert.equal(await b.store.digest(), await a.store.digest())
  assert.equal(await b.store.content(), await a.store.content())
  assert.deepEqual(await b.store.totals(), await a.store.totals())
}

function resigned(
  signer: { sign(message: Uint8Array): Uint8Array },
  seal: SignedSeal,
  statement: SealStatement,
): SignedSeal {
  const bytes = encodeStatement(statement)
  return { ...seal, statement: bytes, signature: signer.sign(sealMessage(bytes)) }
}

describe('receiving sealed journals', () => {
  it('stores one by parts, as it is on the node that sealed it, and asks for nothing twice', async () => {
    const sealed = await openSealed()
    const { a, b, seal, statement, part } = sealed
    const result = await b.store.receiveSealed(seal, part, a.signer.node)
    assert.deepEqual([result.stored, result.missing, result.state.records], [statement.tip.seq, false, 400])
    await assertSame(a, b)
    const never = (): Promise<never> => Promise.reject(new Error('asked for a part again'))
    assert.equal((await b.store.receiveSealed(seal, never, a.signer.node)).stored, 0)
    await b.store.close()
    const again = { ...b, store: await openStore(b.options) }
    await assertSame(a, again)
    assert.deepEqual(await again.store.scrub(), { documents: 1, damaged: [] })
    await closeAll({ ...sealed, b: again })
  })

  it('goes on after an interruption at any part without asking again for what came', async () => {
    const sealed = await openSealed()
    const { a, b, seal, statement, part } = sealed
    for (let stop = 0; stop < statement.parts.length; stop++) {
      const asked: number[] = []
      const cut = (index: number): Promise<Uint8Array> => {
        asked.push(index)
        return index === stop ? Promise.reject(new Error('the connection broke')) : part(index)
      }
      await assert.rejects(b.store.receiveSealed(seal, cut, a.signer.node), /connection broke/)
      assert.deepEqual(asked, stop === 0 ? [0] : [stop - 1, stop])
      assert.equal((await b.store.totals()).documents, 0)
    }
    const asked: number[] = []
    await b.store.receiveSealed(seal, (index) => (asked.push(index), part(index)), a.signer.node)
    assert.deepEqual(asked, [statement.parts.length - 1])
    await assertSame(a, b)
    assert.deepEqual(
      (await memoryKeys(b.options.engine)).filter((key) => key.startsWith('P')),
      [],
    )
    await closeAll(sealed)
  })

  it('asks again for a part whose kept copy was damaged on disk', async () => {
    const sealed = await openSealed()
    const { a, b, seal, part } = sealed
    const cut = (index: number): Promise<Uint8Array> =>
      index === 2 ? Promise.reject(new Error('the connection broke')) : part(index)
    await assert.rejects(b.store.receiveSealed(seal, cut, a.signer.node))
    for (const key of (await memoryKeys(b.options.engine)).filter((k) => k.startsWith('P')))
      await flipBit(b.options.engine, key, 4321)
    await b.store.receiveSealed(seal, part, a.signer.node)
    await assertSame(a, b)
    await closeAll(sealed)
  })

  it('refuses a wrong part and then takes the right one', async () => {
    const sealed = await openSealed()
    const { a, b, seal, part } = sealed
    const wrong: ((bytes: Uint8Array) => Uint8Array)[] = [
      (bytes) => flipped(bytes, 77),
      (bytes) => bytes.subarray(1),
      (bytes) => Buffer.concat([bytes, Buffer.of(0)]),
      () => new Uint8Array(0),
    ]
    for (const spoil of wrong) {
      const spoiled = async (index: number): Promise<Uint8Array> => (index === 1 ? spoil(await part(1)) : part(index))
      await assert.rejects(b.store.receiveSealed(seal, spoiled, a.signer.node), RefusedError)
      assert.equal((await b.store.totals()).documents, 0)
    }
    await b.store.receiveSealed(seal, part, a.signer.node)
    await assertSame(a, b)
    await closeAll(sealed)
  })

  it('refuses seals that are not signed by the writer, not signed at all, or say what cannot be', async () => {
    const sealed = await openSealed()
    const { a, b, seal, statement, part, id } = sealed
    const index = statement.index[0] as SealStatement['index'][number]
    const series = statement.series[0] as SealStatement['series'][number]
    const faults: SignedSeal[] = [
      { ...seal, signature: flipped(seal.signature, 3) },
      { ...seal, tipSignature: flipped(seal.tipSignature, 3) },
      { ...seal, signature: new Uint8Array(0) },
      { ...seal, statement: flipped(seal.statement, 200) },
      { ...seal, statement: new Uint8Array(0) },
      { ...seal, statement: encode({}) },
      { ...seal, statement: encode([...(decode(seal.statement) as unknown[]).with(0, 2)]) },
      resigned(b.signer, seal, statement),
      resigned(testSigner(77), seal, statement),
      ...(
        [
          { document: journalOf(b.signer) },
          { document: 'catalog.1' as DocumentId },
          { document: '../x' as DocumentId },
          { length: statement.length + limits.sealPartBytes },
          { length: limits.sealedBytes + 1 },
          { parts: statement.parts.slice(1) },
          { tip: { ...statement.tip, seq: statement.tip.seq + 1 } },
          { tip: { ...statement.tip, hash: '00'.repeat(32) as never } },
          { index: [{ ...index, sensor: 's\0x' as never }] },
          { index: [{ ...index, sensor: '' as never }] },
          { index: [{ ...index, month: '2023-11\0' }] },
          { index: [{ ...index, month: '1999-01' }] },
          { index: [{ ...index, first: index.last + 1 }] },
          { index: [{ ...index, count: 0 }] },
          { series: [{ ...series, field: 'a b' as never }] },
          { series: [{ ...series, type: 'map' as never }] },
        ] satisfies Partial<SealStatement>[]
      ).map((change) => resigned(a.signer, seal, { ...statement, ...change })),
    ]
    for (const [n, fault] of faults.entries()) {
      await assert.rejects(b.store.receiveSealed(fault, part, a.signer.node), RefusedError, `fault ${n}`)
      assert.deepEqual(await memoryKeys(b.options.engine, 'd'), [])
    }
    assert.equal((await b.store.receiveSealed(seal, part, a.signer.node)).state.id, id)
    await closeAll(sealed)
  })

  it('ignores a seal over less than is held, and discards no change', async () => {
    const [a, b] = (await openTestSite(2)) as [TestNode, TestNode]
    const writer = testSigner(1)
    const journal = new Forger(writer, journalOf(writer)).flush([reading('s', t0, { a: 1 })])
    const first = journal.handle.save()
    const tip = { ...journal.tip(), records: 1, bytes: 10 }
    await a.store.receive(journal.set(), writer.node)
    journal.flush([reading('s', t0 + 1, { a: 2 })])
    await a.store.receive(journal.set(1), writer.node)
    const { partHash } = await import('../../src/store/journal-contents.ts')
    const month = { sensor: reading('s', t0, { a: 1 }).sensor, month: '2023-11', first: t0, last: t0, count: 1 }
    const statement = encodeStatement({
      document: journal.id,
      tip,
      length: first.length,
      parts: [partHash(first)],
      series: [],
      index: [month],
      order: t0,
    })
    const seal = { statement, signature: writer.sign(sealMessage(statement)), tipSignature: tip.signature }
    const digest = await a.store.digest()
    assert.equal((await a.store.receiveSealed(seal, async () => first, writer.node)).stored, 0)
    assert.equal(await a.store.digest(), digest)
    // The other way round: sealed first, then the change that the seal does not cover.
    await b.store.receiveSealed(seal, async () => first, writer.node)
    assert.equal((await b.store.receive(journal.set(1), writer.node)).stored, 1)
    assert.equal(await b.store.digest(), digest)
    assert.equal(await b.store.content(), await a.store.content())
    assert.equal((await Array.fromAsync(b.store.query())).length, 2)
    assert.deepEqual(await memoryKeys(b.options.engine, 's'), [])
    assert.deepEqual(await memoryKeys(b.options.engine, 'p'), [])
    assert.deepEqual((await b.store.scrub()).damaged, [])
    await using snapshot = await b.store.snapshot()
    assert.equal((await snapshot.state(journal.id))?.settled, false)
    assert.equal((await snapshot.fingerprint({})).count, 0)
    for (const { store } of [a, b]) await store.close()
  })

  it('seals what it holds as changes without asking for a part, also when damaged changes have to be fetched', async () => {
    const sealed = await openSealed()
    const { a, b, seal, snapshot, id, part } = sealed
    await b.store.receive(await snapshot.changesSince(id, []), a.signer.node)
    const never = (): Promise<never> => Promise.reject(new Error('asked for a part'))
    const result = await b.store.receiveSealed(seal, never, a.signer.node)
    assert.equal(result.stored, 0)
    assert.ok(result.state.seal !== undefined)
    await assertSame(a, b)
    const [, , c] = (await openTestSite(3)) as [TestNode, TestNode, TestNode]
    await c.store.receive(await snapshot.changesSince(id, []), a.signer.node)
    const [change] = await memoryKeys(c.options.engine, 'c')
    await flipBit(c.options.engine, change as string, 999)
    await c.store.receiveSealed(seal, part, a.signer.node)
    await assertSame(a, c)
    assert.deepEqual(await c.store.damage(), [])
    await c.store.close()
    await closeAll(sealed)
  })

  it('continues a beginning it held as changes, and refuses one that is not its beginning', async () => {
    const sealed = await openSealed({ prefix: true })
    const { a, b, seal, part, statement, id } = sealed
    assert.equal((await b.store.receiveSealed(seal, part, a.signer.node)).stored, statement.tip.seq - 5)
    await assertSame(a, b)

    const [, , c] = (await openTestSite(3)) as [TestNode, TestNode, TestNode]
    const fork = new Forger(a.signer, id, { actor: statement.tip.actor })
    fork.flush([reading('s', t0, { a: 1 })])
    await c.store.receive(fork.set(), a.signer.node)
    const digest = await c.store.digest()
    await assert.rejects(c.store.receiveSealed(seal, part, a.signer.node), /clone or rollback/)
    assert.equal(await c.store.digest(), digest)
    await c.store.close()
    await closeAll(sealed)
  })

  it('stores nothing of a journal when the write fails', async () => {
    const sealed = await openSealed()
    const { a, seal, part } = sealed
    let fail = false
    const engine = failingEngine(memoryEngine(), () => (fail ? { error: fsyncFailed() } : undefined))
    const [, c] = (await openTestSite(2, { engine: (n) => (n === 1 ? engine : memoryEngine()) })) as [
      TestNode,
      TestNode,
    ]
    fail = true
    await assert.rejects(c.store.receiveSealed(seal, part, a.signer.node), StorageError)
    await c.store.close()
    fail = false
    const again = { ...c, store: await openStore(c.options) }
    assert.equal((await again.store.totals()).documents, 0)
    await again.store.receiveSealed(seal, part, a.signer.node)
    await assertSame(a, again)
    await again.store.close()
    await closeAll(sealed)
  })
})
