/** Backups of a node, and of its directory from them: the backup part with vaults in directories. */
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NotAllowedError, type Clock, type Random, type SiteId } from '../model/index.ts'
import {
  createBackup,
  initVault,
  listBackups,
  openDirectoryStorage,
  openVault,
  readVaultConfig,
  restoreBackup,
  verifyBackups,
  type BackupInfo,
  type BackupList,
  type RestoreProgress,
  type Vault,
  type VerifyProgress,
  type VerifyReport,
} from '../backup/index.ts'
import { signerOf } from '../peer/index.ts'
import { createStore, type Store } from '../store/index.ts'
import { levelEngine, makeDirectory, namingHolder } from './directory.ts'
import { LatestValue } from './latest-value.ts'
import type { Node, NodeEnvironment } from './node.ts'
import { sideKeys } from './side-keys.ts'

/** What opens a vault: neither for one that is not encrypted. */
export interface BackupSecret {
  readonly passphrase?: string
  readonly recoveryPhrase?: string
}

export interface BackupCreateInput {
  /** Absolute path. */
  readonly vault: string
  readonly secret: BackupSecret
  /** Left out: incremental where there is something to continue. */
  readonly kind?: 'full' | 'incremental'
}

export type BackupEvent =
  | { readonly progress: { readonly done: number; readonly total: number } }
  /** The last one. `because`: why it is a full one where an incremental one would have been the rule. */
  | { readonly created: BackupInfo; readonly because?: string }

interface Environment {
  readonly clock: Clock
  readonly random: Random
}

/** Makes a vault in an empty directory. Encrypted, it gives the recovery phrase, which is kept nowhere else. */
export function initVaultAt(
  path: string,
  protection: { readonly passphrase: string } | { readonly unencrypted: true },
  random: Random,
): Promise<{ readonly recoveryPhrase?: string }> {
  return initVault(openDirectoryStorage(path), protection, random)
}

/** Throws `NotFoundError` if there is no vault. */
export async function isEncrypted(path: string): Promise<boolean> {
  return (await readVaultConfig(openDirectoryStorage(path))).encryption !== 'none'
}

/** Backs a node up, telling how far it is. Leaving the loop gives it up; the vault stays valid. */
export async function* createBackupOf(
  { store, identity }: Node,
  { vault: path, secret, kind }: BackupCreateInput,
  { clock, random }: NodeEnvironment,
  signal: AbortSignal,
): AsyncGenerator<BackupEvent> {
  if (identity === undefined)
    throw new NotAllowedError(
      'this directory has no identity to sign a backup with: bring it back with "hedgerow identity import FILE" or "hedgerow join CODE"',
    )
  const vault = await openAt(path, secret)
  await store.side.put(sideKeys.vaults + path, clock.nowUs())
  await store.flush()
  const left = new AbortController()
  const progress = new LatestValue<BackupEvent>()
  const making = createBackup({
    store,
    vault,
    signer: signerOf(identity),
    clock,
    random,
    ...(kind === undefined ? {} : { kind }),
    signal: AbortSignal.any([signal, left.signal]),
    onProgress: ({ documents: done, totalDocuments: total }) => progress.put({ progress: { done, total } }),
  }).finally(() => progress.end())
  // What it throws is thrown below; a reader that left hears nothing of it.
  making.catch(() => undefined)
  try {
    yield* progress
    const { backup, because } = await making
    yield { created: backup, ...(because === undefined ? {} : { because }) }
  } finally {
    left.abort(new NotAllowedError('the backup was given up'))
  }
}

export async function listVault(path: string, secret: BackupSecret): Promise<BackupList> {
  return listBackups(await openAt(path, secret))
}

/** Reads every byte of a vault and restores its backups into a scratch store in the system's temporary folder. */
export async function verifyVault(
  path: string,
  secret: BackupSecret,
  options: Environment & { readonly signal: AbortSignal; readonly onProgress?: (progress: VerifyProgress) => void },
): Promise<VerifyReport> {
  const { clock, random, signal, onProgress } = options
  return verifyBackups(await openAt(path, secret), {
    signal,
    ...(onProgress === undefined ? {} : { onProgress }),
    scratch: async (site, members) => {
      const dir = await mkdtemp(join(tmpdir(), 'hedgerow-verify-'))
      const store = await createStore({ clock, random, engine: levelEngine(dir) }, { site, members })
      return {
        store,
        [Symbol.asyncDispose]: async () => {
          await store.close()
          await rm(dir, { recursive: true, force: true })
        },
      }
    },
  })
}

export interface RestoreFromOptions extends Environment {
  /** A directory that does not exist or is empty. */
  readonly to: string
  readonly asOf?: string
  readonly signal: AbortSignal
  readonly onProgress?: (progress: RestoreProgress) => void
}

export interface RestoredDirectory {
  readonly backup: BackupInfo
  /** Newest backups of other nodes that were there to choose from. */
  readonly others: readonly BackupInfo[]
}

/**
 * Restores a backup into a fresh directory, which has no identity then. The directory holds a store only when all was
 * restored and compared.
 */
export async function restoreFrom(
  path: string,
  secret: BackupSecret,
  { to, asOf, clock, random, signal, onProgress }: RestoreFromOptions,
): Promise<RestoredDirectory> {
  const vault = await openAt(path, secret)
  const dir = await makeDirectory(to)
  const unfinished = `${dir.store}.restoring`
  await requireFresh(dir.path)
  try {
    const { store, backup, others } = await restoreBackup({
      vault,
      backupId: asOf,
      signal,
      ...(onProgress === undefined ? {} : { onProgress }),
      create: (site: SiteId, members: readonly Uint8Array[]): Promise<Store> =>
        namingHolder(dir, () => createStore({ clock, random, engine: levelEngine(unfinished) }, { site, members })),
    })
    await store.close()
    await rename(unfinished, dir.store)
    return { backup, others }
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    throw error
  }
}

/** Throws unless nothing lies in the directory but what an interrupted restore left, which is removed. */
async function requireFresh(path: string): Promise<void> {
  const names = await readdir(path)
  const other = names.find((name) => !['store.restoring', 'joining.key', 'lost+found'].includes(name))
  if (other !== undefined)
    throw new NotAllowedError(`${path} is not empty (${other}): restore into a directory that is new or empty`)
  await rm(join(path, 'store.restoring'), { recursive: true, force: true })
}

function openAt(path: string, secret: BackupSecret): Promise<Vault> {
  return openVault(openDirectoryStorage(path), secret)
}
