/** Vaults, stores to restore into and sites with something to back up, for the tests of backups. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createBackup,
  initVault,
  openDirectoryStorage,
  openVault,
  restoreBackup,
  type CreateBackupOptions,
  type CreatedBackup,
  type Scratch,
  type Vault,
  type VaultStorage,
} from '../../src/backup/index.ts'
import { parseFieldName, parseSensorId, systemClock, type SiteId } from '../../src/model/index.ts'
import { createStore, type Store } from '../../src/store/index.ts'
import { memoryEngine, reading, testRandom, type TestNode } from '../support/store.ts'

export async function temporaryFolder(): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'hedgerow-backup-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** An unencrypted vault: scrypt costs half a second. */
export async function plainVault(
  folder: string,
  wrap = (storage: VaultStorage): VaultStorage => storage,
): Promise<Vault> {
  const storage = openDirectoryStorage(join(folder, 'vault'))
  await initVault(storage, { unencrypted: true }, testRandom(77))
  return openVault(wrap(storage))
}

export const passphrase = 'correct horse battery staple'

export async function encryptedVault(folder: string): Promise<Vault & { readonly recoveryPhrase: string }> {
  const storage = openDirectoryStorage(join(folder, 'vault'))
  const { recoveryPhrase } = await initVault(storage, { passphrase }, testRandom(78))
  assert.ok(recoveryPhrase !== undefined)
  return { ...(await openVault(storage, { passphrase })), recoveryPhrase }
}

let seed = 10_000

export function backUp(
  node: TestNode,
  vault: Vault,
  options: Partial<CreateBackupOptions> = {},
): Promise<CreatedBackup> {
  return createBackup({
    store: node.store,
    vault,
    signer: node.signer,
    clock: systemClock,
    random: testRandom(seed++),
    ...options,
  })
}

/** A store without an identity, in memory. */
export function emptyStore(site: SiteId, members: readonly Uint8Array[]): Promise<Store> {
  return createStore({ engine: memoryEngine(), clock: systemClock, random: testRandom(seed++) }, { site, members })
}

export async function scratch(site: SiteId, members: readonly Uint8Array[]): Promise<Scratch> {
  const store = await emptyStore(site, members)
  return { store, [Symbol.asyncDispose]: () => store.close() }
}

export async function restore(vault: Vault, backupId?: string): Promise<Store> {
  const { store } = await restoreBackup({ vault, backupId, create: emptyStore })
  return store
}

export const day = 1_700_000_000_000_000

/** Appends `count` readings of two fields from `from` on, one a second, in one flush each `every`. */
export async function appendMany(
  node: TestNode,
  sensor: string,
  from: number,
  count: number,
  every = 50,
): Promise<void> {
  for (let at = 0; at < count; at += every)
    await node.store.append(
      Array.from({ length: Math.min(every, count - at) }, (_, i) =>
        reading(sensor, day + (from + at + i) * 1_000_000, {
          temperature: Math.round(Math.sin(from + at + i) * 1e4) / 1e3,
          count: BigInt(from + at + i),
        }),
      ),
      { flush: true },
    )
}

export async function amend(node: TestNode, sensor: string, second: number, value: number): Promise<void> {
  const time = day + second * 1_000_000
  const seen = (await node.store.record(parseSensorId(sensor), time))?.seen
  await node.store.amend({
    sensor: parseSensorId(sensor),
    time,
    fields: [{ field: parseFieldName('temperature'), value }],
    ...(seen === undefined ? {} : { seen }),
  })
}

/** Ids, heads, tips and seals: all that must come back. */
export async function stateOf(store: Store): Promise<string[]> {
  await using snapshot = await store.snapshot()
  const lines: string[] = []
  for await (const { id, heads, tips, seal, records, bytes } of snapshot.documents())
    lines.push(
      JSON.stringify([
        id,
        heads,
        tips.map((tip) => [tip.actor, tip.seq, tip.hash, Buffer.from(tip.signature).toString('hex')]),
        seal,
        records,
        bytes,
      ]),
    )
  return lines
}

export async function filesOf({ storage }: Vault, prefix = ''): Promise<Map<string, number>> {
  const files = new Map<string, number>()
  for await (const { name, bytes } of storage.list(prefix)) files.set(name, bytes)
  return files
}
