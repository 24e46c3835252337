import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createBackup, listBackups, restoreBackup, verifyBackups, type Vault } from '../../src/backup/index.ts'
import {
  DamagedError,
  InvalidInputError,
  NotFoundError,
  parseSensorPattern,
  systemClock,
} from '../../src/model/index.ts'
import { createStore, issueCertificate, openStore } from '../../src/store/index.ts'
import { copyAll, memoryEngine, openTestSite, testRandom, testSigner, type TestNode } from '../support/store.ts'
import {
  amend,
  appendMany,
  backUp,
  emptyStore,
  filesOf,
  plainVault,
  restore,
  scratch,
  stateOf,
  temporaryFolder,
} from './vault-site.ts'

describe('backup', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let vault: Vault
  let nodes: TestNode[]
  let a: TestNode
  let b: TestNode

  beforeEach(async () => {
    folder = await temporaryFolder()
    vault = await plainVault(folder.path)
    nodes = await openTestSite(2)
    ;[a, b] = nodes as [TestNode, TestNode]
  })
  afterEach(async () => {
    for (const { store } of nodes) await store.close()
    await folder.remove()
  })

  async function requireRestored(
    expected: readonly string[],
    digest: string,
    content: string,
    id?: string,
  ): Promise<void> {
    await using store = await restore(vault, id)
    assert.deepEqual(await stateOf(store), expected)
    assert.equal(await store.digest(), digest)
    assert.equal(await store.content(), content)
    assert.equal(store.node, undefined)
  }

  it('restores every moment of a chain right across appending, sealing, amending and new members', async () => {
    const moments: { id: string; state: string[]; digest: string; content: string; kind: string }[] = []
    const take = async (kind?: 'full' | 'incremental' | 'differential'): Promise<void> => {
      const { backup, leftOut } = await backUp(a, vault, { kind })
      assert.deepEqual(leftOut, [])
      assert.equal(backup.records, (await a.store.totals()).records)
      moments.push({
        id: backup.id,
        kind: backup.kind,
        state: await stateOf(a.store),
        digest: await a.store.digest(),
        content: await a.store.content(),
      })
    }
    await take()
    await appendMany(a, 'greenhouse/air', 0, 300)
    await appendMany(b, 'cellar/door', 0, 200)
    await a.store.setPolicy({ pattern: parseSensorPattern('cellar/**'), rules: { temperature: 'manual' } })
    await copyAll(b, a)
    await take()
    await appendMany(a, 'greenhouse/air', 300, 100)
    await amend(a, 'greenhouse/air', 5, 21.5)
    await take()
    await a.store.sealOpen()
    await amend(a, 'greenhouse/air', 6, 22.5)
    await take()
    const newcomer = testSigner(9)
    await a.store.members.add([
      issueCertificate(a.signer, a.store.members, { node: newcomer.node, name: 'new', role: 'reader' }),
    ])
    await copyAll(a, b)
    await amend(b, 'greenhouse/air', 5, 19)
    await amend(a, 'greenhouse/air', 5, 23)
    await copyAll(b, a)
    await appendMany(a, 'greenhouse/air', 400, 50)
    await take()
    await take('full')
    await appendMany(a, 'greenhouse/air', 500, 50)
    await take('differential')
    await amend(a, 'greenhouse/air', 500, 1)
    await take('differential')
    await take()
    assert.deepEqual(
      moments.map(({ kind }) => kind),
      [
        'full',
        'incremental',
        'incremental',
        'incremental',
        'incremental',
        'full',
        'differential',
        'differential',
        'incremental',
      ],
    )
    for (const { id, state, digest, content } of moments) await requireRestored(state, digest, content, id)
    const last = moments.at(-1) as (typeof moments)[number]
    await requireRestored(last.state, last.digest, last.content)
    {
      await using store = await restore(vault)
      assert.equal(store.members.digest(), a.store.members.digest())
    }
    const report = await verifyBackups(vault, { scratch })
    assert.deepEqual(report.problems, [])
    assert.deepEqual(report.unreferenced, [])
    assert.ok(report.ok && report.backups.every(({ restored, ok }) => restored && ok))
    assert.equal(report.backups.length, moments.length)
  })

  it('is one consistent moment while writes go on', async () => {
    await appendMany(a, 'greenhouse/air', 0, 500, 5)
    const stop = new AbortController()
    const writing = (async (): Promise<void> => {
      for (let n = 500; !stop.signal.aborted; n++) {
        await appendMany(a, 'greenhouse/air', n, 1)
        // In memory a write never waits for the event loop, and nothing else would run.
        await nextTurn()
      }
    })()
    const { backup } = await backUp(a, vault)
    await appendMany(a, 'greenhouse/air', 9_000, 1)
    stop.abort()
    await writing
    assert.ok(backup.records < (await a.store.totals()).records)
    await using store = await restore(vault)
    assert.equal((await store.totals()).records, backup.records)
  })

  it('names what it holds in the list, and which backup continues which', async () => {
    await appendMany(a, 'greenhouse/air', 0, 100)
    const { backup: full } = await backUp(a, vault)
    await appendMany(a, 'greenhouse/air', 100, 10)
    const { backup: incremental } = await backUp(a, vault)
    await appendMany(b, 'cellar/door', 0, 20)
    const { backup: other } = await backUp(b, vault)
    const { backups, unreadable } = await listBackups(vault)
    assert.deepEqual(unreadable, [])
    assert.deepEqual(
      backups.map(({ id, node, kind, parent, counter, records, complete }) => ({
        id,
        node,
        kind,
        parent,
        counter,
        records,
        complete,
      })),
      [
        { id: full.id, node: a.signer.node, kind: 'full', parent: undefined, counter: 1, records: 100, complete: true },
        {
          id: incremental.id,
          node: a.signer.node,
          kind: 'incremental',
          parent: full.id,
          counter: 2,
          records: 110,
          complete: true,
        },
        { id: other.id, node: b.signer.node, kind: 'full', parent: undefined, counter: 1, records: 20, complete: true },
      ],
    )
    await vault.storage.delete(full.file)
    assert.deepEqual(
      (await listBackups(vault)).backups.map(({ complete }) => complete),
      [false, true],
    )
  })

  it('never stores a sealed journal again, whoever had backed it up', async () => {
    await appendMany(a, 'greenhouse/air', 0, 4_000, 400)
    await a.store.sealOpen()
    const first = await backUp(a, vault)
    await copyAll(a, b)
    const second = await backUp(b, vault)
    const third = await backUp(a, vault, { kind: 'full' })
    const alone = await backUp(a, vault, { independent: true })
    assert.ok(second.backup.addedBytes < first.backup.addedBytes / 4, `${second.backup.addedBytes} bytes`)
    assert.ok(third.backup.addedBytes < first.backup.addedBytes / 4, `${third.backup.addedBytes} bytes`)
    assert.ok(alone.backup.addedBytes > first.backup.addedBytes * 0.9, `${alone.backup.addedBytes} bytes`)
    // Independent: nothing of the others is needed.
    const keep = new Set((await verifyBackups(vault)).backups.map(({ backup }) => backup.file))
    for (const { backup } of [first, second, third]) {
      keep.delete(backup.file)
      await vault.storage.delete(backup.file)
    }
    const { unreferenced } = await verifyBackups(vault)
    for (const { file } of unreferenced) await vault.storage.delete(file)
    assert.ok(unreferenced.length > 0 && keep.size === 1)
    await requireRestored(await stateOf(a.store), await a.store.digest(), await a.store.content())
  })

  it('continues a backup that knows more than the store: what a node restored to an earlier moment does', async () => {
    await appendMany(a, 'greenhouse/air', 0, 100)
    await amend(a, 'greenhouse/air', 1, 1)
    const early = await backUp(a, vault)
    await appendMany(a, 'greenhouse/air', 100, 10)
    await amend(a, 'greenhouse/air', 2, 2)
    await a.store.sealOpen()
    await appendMany(a, 'greenhouse/soil', 0, 10)
    await backUp(a, vault)
    await using store = await restore(vault, early.backup.id)
    const again = await backUp({ ...a, store }, vault)
    assert.equal(again.backup.kind, 'incremental')
    assert.equal(again.backup.counter, 3)
    await requireRestored(await stateOf(store), await store.digest(), await store.content())
    const report = await verifyBackups(vault, { scratch })
    assert.deepEqual(report.problems, [])
    assert.ok(report.backups.every(({ restored }) => restored))
  })

  it('names the whole of a document whose history is not the one the parent has', async () => {
    // A clone that kept its actor: what must not happen, but must not spoil the vault either.
    const [clone] = (await openTestSite(1, { store: { unsafeKeepActors: true } })) as [TestNode]
    nodes.push(clone)
    await appendMany(clone, 'greenhouse/air', 0, 10)
    await amend(clone, 'greenhouse/air', 1, 1)
    const early = await backUp(clone, vault)
    await amend(clone, 'greenhouse/air', 2, 2)
    await backUp(clone, vault)
    const engine = memoryEngine()
    const { store: restored } = await restoreBackup({
      vault,
      backupId: early.backup.id,
      create: (site, members) => createStore({ engine, clock: systemClock, random: testRandom(3) }, { site, members }),
    })
    await restored.close()
    const options = { ...clone.options, engine, random: testRandom(4) }
    const again: TestNode = { ...clone, options, store: await openStore(options) }
    nodes.push(again)
    await amend(again, 'greenhouse/air', 3, 3)
    await amend(again, 'greenhouse/air', 4, 4)
    const { backup } = await backUp(again, vault)
    assert.equal(backup.kind, 'incremental')
    await requireRestored(await stateOf(again.store), await again.store.digest(), await again.store.content())
  })

  it('adds little for little: an incremental after one per cent more', async () => {
    await appendMany(a, 'greenhouse/air', 0, 20_000, 500)
    const full = await backUp(a, vault)
    await appendMany(a, 'greenhouse/air', 20_000, 200)
    const more = await backUp(a, vault)
    assert.equal(more.backup.kind, 'incremental')
    assert.ok(
      more.backup.addedBytes < full.backup.addedBytes * 0.05,
      `${more.backup.addedBytes} of ${full.backup.addedBytes}`,
    )
  })

  it('chooses the newest backup of several nodes and says which others there were', async () => {
    await appendMany(a, 'greenhouse/air', 0, 10)
    await backUp(a, vault)
    await appendMany(b, 'cellar/door', 0, 10)
    const { backup } = await backUp(b, vault, {
      clock: { ...systemClock, nowUs: () => systemClock.nowUs() + 1_000_000 },
    })
    const restored = await restoreBackup({ vault, create: emptyStore })
    await restored.store.close()
    assert.equal(restored.backup.id, backup.id)
    assert.deepEqual(
      restored.others.map(({ node }) => node),
      [a.signer.node],
    )
  })

  it('does not take an older backup for the newest by guess', async () => {
    await appendMany(a, 'greenhouse/air', 0, 10)
    const first = await backUp(a, vault)
    await appendMany(a, 'greenhouse/air', 10, 10)
    const second = await backUp(a, vault)
    const bytes = Buffer.from((await vault.storage.get(second.backup.file, 1e6)) as Uint8Array)
    bytes[100] = (bytes[100] as number) ^ 1
    await vault.storage.delete(second.backup.file)
    await vault.storage.put(second.backup.file, bytes)
    await assert.rejects(restore(vault), (error: Error) => {
      assert.ok(error instanceof DamagedError)
      assert.ok(error.message.includes(second.backup.file) && error.message.includes(first.backup.id), error.message)
      return true
    })
    await assert.rejects(restore(vault, second.backup.id), DamagedError)
    await using older = await restore(vault, first.backup.id.slice(0, 6))
    assert.equal((await older.totals()).records, 10)
    // The next one continues what is whole.
    const third = await backUp(a, vault)
    assert.equal(third.backup.parent, first.backup.id)
    assert.equal(third.backup.counter, 3)
  })

  it('makes a full one, saying why, when the chain to continue has lost a file', async () => {
    await appendMany(a, 'greenhouse/air', 0, 100)
    await backUp(a, vault)
    const [pack] = [...(await filesOf(vault, 'packs/')).keys()]
    await vault.storage.delete(pack as string)
    await assert.rejects(backUp(a, vault, { kind: 'incremental' }), InvalidInputError)
    const again = await backUp(a, vault)
    assert.equal(again.backup.kind, 'full')
    assert.match(again.because ?? '', /is missing/)
    await requireRestored(await stateOf(a.store), await a.store.digest(), await a.store.content())
  })

  it('asks for what is there: no backup, no such backup, no parent', async () => {
    await assert.rejects(restore(vault), NotFoundError)
    await assert.rejects(backUp(a, vault, { kind: 'incremental' }), InvalidInputError)
    await backUp(a, vault)
    await assert.rejects(restore(vault, 'ffff'), InvalidInputError)
    await assert.rejects(backUp(a, vault, { kind: 'incremental', independent: true }), InvalidInputError)
  })

  it('stops when told, and what it stored is reused by the next one', async () => {
    await appendMany(a, 'greenhouse/air', 0, 10_000, 500)
    await a.store.sealOpen()
    await appendMany(a, 'greenhouse/air', 10_000, 500)
    const stopping = new AbortController()
    const reason = new Error('stopped by the test')
    const stopped = createBackup({
      store: a.store,
      vault,
      signer: a.signer,
      clock: systemClock,
      random: testRandom(1),
      packBytes: 4_096,
      signal: stopping.signal,
      onProgress: () => stopping.abort(reason),
    })
    await assert.rejects(stopped, reason)
    const left = await filesOf(vault, 'packs/')
    assert.ok(left.size > 0)
    const leftBytes = [...left.values()].reduce((sum, bytes) => sum + bytes, 0)
    assert.deepEqual((await listBackups(vault)).backups, [])
    const { backup } = await backUp(a, vault)
    assert.ok(backup.addedBytes < leftBytes / 4, `${backup.addedBytes} bytes after ${leftBytes}`)
    assert.equal((await verifyBackups(vault, { scratch })).ok, true)
    await requireRestored(await stateOf(a.store), await a.store.digest(), await a.store.content())
  })

  it('keeps records that were damaged at the source as the parent has them', async () => {
    await appendMany(a, 'greenhouse/air', 0, 100)
    await a.store.sealOpen()
    await appendMany(a, 'greenhouse/soil', 0, 10)
    const before = await backUp(a, vault)
    // What a damaged value on disk reads as: the document is gone from the snapshot and listed as damage.
    const { store } = a
    const sealed = (await (async () => {
      await using snapshot = await store.snapshot()
      for await (const { id, seal } of snapshot.documents()) if (seal !== undefined) return id
    })()) as never
    const damagedStore = {
      site: store.site,
      members: store.members,
      policy: () => store.policy(),
      totals: () => store.totals(),
      damage: async () => [{ document: sealed, reason: 'a flipped bit', at: 0 }],
      snapshot: async () => {
        const snapshot = await store.snapshot()
        return Object.assign(Object.create(snapshot) as typeof snapshot, {
          [Symbol.asyncDispose]: () => snapshot[Symbol.asyncDispose](),
          documents: async function* () {
            for await (const state of snapshot.documents()) if (state.id !== sealed) yield state
          },
          changesSince: snapshot.changesSince.bind(snapshot),
          seal: snapshot.seal.bind(snapshot),
        })
      },
    }
    await appendMany(a, 'greenhouse/soil', 10, 10)
    const after = await backUp(a, vault, { store: damagedStore })
    assert.deepEqual(after.leftOut, [sealed])
    assert.equal(after.backup.records, before.backup.records + 10)
    await requireRestored(await stateOf(a.store), await a.store.digest(), await a.store.content())
    const full = await backUp(a, vault, { store: damagedStore, kind: 'full' })
    assert.equal(full.backup.records, 20)
    assert.equal(full.backup.leftOut, 1)
  })
})
