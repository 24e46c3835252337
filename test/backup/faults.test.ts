import assert from 'node:assert/strict'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import {
  listBackups,
  openDirectoryStorage,
  openVault,
  verifyBackups,
  type Vault,
  type VaultStorage,
} from '../../src/backup/index.ts'
import { StorageError } from '../../src/model/index.ts'
import { openTestSite, type TestNode } from '../support/store.ts'
import { injectFaults } from './fault-harness.ts'
import {
  amend,
  appendMany,
  backUp,
  encryptedVault,
  filesOf,
  plainVault,
  restore,
  scratch,
  temporaryFolder,
} from './vault-site.ts'

describe('damaged vault', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>

  beforeEach(async () => {
    folder = await temporaryFolder()
  })
  afterEach(async () => folder.remove())

  for (const [kind, make] of [
    ['encrypted', encryptedVault],
    ['unencrypted', plainVault],
  ] as const)
    it(`${kind}: each fault is reported with file and backup, and nothing wrong is restored`, async () => {
      const run = await injectFaults(await make(folder.path), 20, 1)
      assert.deepEqual(run.failures, [])
      assert.ok(run.refused > 0 && run.exact > 0)
    })

  it('says how many records are lost with a file, and leaves the other backups in peace', async () => {
    const vault = await plainVault(folder.path)
    const [a] = (await openTestSite(1)) as [TestNode]
    await appendMany(a, 'greenhouse/air', 0, 200)
    await a.store.sealOpen()
    const first = await backUp(a, vault)
    const packs = new Set((await filesOf(vault, 'packs/')).keys())
    await appendMany(a, 'greenhouse/air', 200, 70)
    const second = await backUp(a, vault)
    const [pack] = [...(await filesOf(vault, 'packs/')).keys()].filter((name) => !packs.has(name))
    await vault.storage.delete(pack as string)
    const report = await verifyBackups(vault, { scratch })
    assert.deepEqual(
      report.backups.map(({ backup, ok, restored }) => [backup.id, ok, restored]),
      [
        [first.backup.id, true, true],
        [second.backup.id, false, false],
      ],
    )
    assert.deepEqual(report.problems, [
      { file: pack, what: report.problems[0]?.what, backups: [second.backup.id], records: 270 },
    ])
    await a.store.close()
  })

  it('gives damage of documents in records: only those of the damaged part', async () => {
    const vault = await plainVault(folder.path)
    const [a] = (await openTestSite(1)) as [TestNode]
    await appendMany(a, 'greenhouse/air', 0, 200)
    await a.store.sealOpen()
    await appendMany(a, 'greenhouse/air', 200, 50)
    const { backup } = await backUp(a, vault)
    const [pack] = [...(await filesOf(vault, 'packs/')).keys()] as [string]
    const bytes = Buffer.from((await vault.storage.get(pack, 1e8)) as Uint8Array)
    // The first part is the sealed journal's.
    bytes[60] = (bytes[60] as number) ^ 1
    await vault.storage.delete(pack)
    await vault.storage.put(pack, bytes)
    const { problems } = await verifyBackups(vault, { scratch })
    assert.deepEqual(
      problems.map(({ file, backups, records }) => ({ file, backups, records })),
      [{ file: pack, backups: [backup.id], records: 200 }],
    )
    await a.store.close()
  })

  it('reports damage in bytes that no record needs, and restores all the same', async () => {
    const vault = await plainVault(folder.path)
    const [a] = (await openTestSite(1)) as [TestNode]
    await appendMany(a, 'greenhouse/air', 0, 200)
    const { backup } = await backUp(a, vault)
    const [[pack, size]] = [...(await filesOf(vault, 'packs/'))] as [[string, number]]
    const original = (await vault.storage.get(pack, 1e8)) as Uint8Array
    // Header, salt, directory, and the directory's length.
    for (const at of [7, 20, size - 40, size - 1]) {
      const bytes = Uint8Array.from(original)
      bytes[at] = (bytes[at] as number) ^ 1
      await vault.storage.delete(pack)
      await vault.storage.put(pack, bytes)
      const { problems, backups } = await verifyBackups(vault, { scratch })
      assert.deepEqual(
        problems.map(({ file, backups, records }) => ({ file, backups, records })),
        [{ file: pack, backups: [backup.id], records: 0 }],
      )
      assert.equal(backups[0]?.restored, true)
    }
    await a.store.close()
  })
})

describe('failing vault', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>

  beforeEach(async () => {
    folder = await temporaryFolder()
  })
  afterEach(async () => folder.remove())

  /** Fails the n-th operation: before it happened, or after, as when the reply is lost. */
  function failing(vault: Vault, n: number, after: boolean): Vault & { readonly calls: () => number } {
    let calls = 0
    const storage = vault.storage
    const guard = async <T>(task: () => Promise<T>): Promise<T> => {
      const fails = ++calls === n
      if (fails && !after) throw new StorageError(`operation ${n} failed`)
      const result = await task()
      if (fails) throw new StorageError(`the reply to operation ${n} was lost`)
      return result
    }
    const wrapped: VaultStorage = {
      location: storage.location,
      prepare: () => storage.prepare(),
      put: (name, bytes) => guard(() => storage.put(name, bytes)),
      get: (name, maxBytes) => guard(() => storage.get(name, maxBytes)),
      getRange: (name, offset, length) => guard(() => storage.getRange(name, offset, length)),
      list: async function* (prefix) {
        await guard(async () => undefined)
        yield* storage.list(prefix)
      },
      delete: (name) => storage.delete(name),
      stat: (name) => storage.stat(name),
      freeBytes: () => storage.freeBytes(),
    }
    return { ...vault, storage: wrapped, calls: () => calls }
  }

  for (const after of [false, true])
    it(`stays valid whichever operation ${after ? 'loses its reply' : 'fails'}, and the next backup is whole`, async () => {
      const template = await plainVault(folder.path)
      const [a] = (await openTestSite(1)) as [TestNode]
      await appendMany(a, 'greenhouse/air', 0, 2_000, 200)
      await backUp(a, template)
      await a.store.sealOpen()
      await amend(a, 'greenhouse/air', 1, 1)
      const digest = await a.store.digest()
      let failures = 0
      for (let n = 1; ; n++) {
        const copy = join(folder.path, `copy-${n}`)
        await cp(template.storage.location, copy, { recursive: true })
        const vault = await openVault(openDirectoryStorage(copy))
        const broken = failing(vault, n, after)
        try {
          await backUp(a, broken, { packBytes: 4_096 })
        } catch (error) {
          assert.ok(error instanceof StorageError, String(error))
          failures++
        }
        if (broken.calls() < n) break
        const { backups, unreadable } = await listBackups(vault)
        assert.deepEqual(unreadable, [])
        assert.ok(backups.length >= 1 && backups.every(({ complete }) => complete))
        await backUp(a, vault)
        await using store = await restore(vault)
        assert.equal(await store.digest(), digest)
        const report = await verifyBackups(vault, { scratch })
        assert.deepEqual(report.problems, [])
      }
      assert.ok(failures >= 12, `${failures} operations failed`)
      await a.store.close()
    })
})
