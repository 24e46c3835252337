/** Restores a whole backup, with its chain, into a fresh store: all of it as it was backed up, or nothing. */
import { DamagedError, HedgerowError, NotFoundError, type SiteId } from '../model/index.ts'
import type { Store } from '../store/index.ts'
import { applySteps, compareWithChain, weightOf } from './apply.ts'
import { infoOf, loadCatalog, type BackupInfo, type Catalog } from './catalog.ts'
import { chainOf, findBackup, newestOfNodes } from './chain.ts'
import { backupLimits } from './constants.ts'
import { checkRoot, openContents, readMembers, resolvedDocuments } from './contents.ts'
import { inParallel } from './in-parallel.ts'
import type { LoadedManifest } from './manifest.ts'
import type { PartReader } from './part-reader.ts'
import type { Vault } from './vault.ts'

export interface RestoreProgress {
  readonly documents: number
  readonly totalDocuments: number
  readonly records: number
  readonly totalRecords: number
}

export interface RestoreBackupOptions {
  readonly vault: Vault
  /** Id, beginning of an id, or file of a backup. Left out: the newest; of several nodes the one with the latest date. */
  readonly backupId?: string | undefined
  /** Makes the fresh store, without a signer: a restored directory has no identity. Called once all lists were verified. */
  readonly create: (site: SiteId, members: readonly Uint8Array[]) => Promise<Store>
  readonly onProgress?: (progress: RestoreProgress) => void
  readonly signal?: AbortSignal
}

export interface RestoredBackup {
  /** Open, and equal to what was backed up: ids, heads, seals, counts and marks were compared. The caller closes it. */
  readonly store: Store
  readonly backup: BackupInfo
  /** Newest backups of other nodes that were there to choose from, latest first. */
  readonly others: readonly BackupInfo[]
}

/**
 * Restores a backup. Throws `DamagedError` naming file and backup when anything is missing or not what was written; the
 * store that `create` gave is then closed and holds a part at most: the caller removes it.
 */
export async function restoreBackup(options: RestoreBackupOptions): Promise<RestoredBackup> {
  const { vault, backupId } = options
  const catalog = await loadCatalog(vault)
  const { target, others } = choose(catalog, backupId, vault)
  const info = infoOf(target, catalog.manifests)
  const { links, broken } = chainOf(target, catalog.manifests)
  if (broken !== undefined) throw unrestorable(info, new DamagedError(`${broken.name} ${broken.what}`))
  const store = await restoreChain(links, options).catch((error: unknown) => {
    throw unrestorable(info, error)
  })
  return { store, backup: info, others: others.map((other) => infoOf(other, catalog.manifests)) }
}

/** Restores the last backup of a chain into a fresh store and compares the two. */
export async function restoreChain(
  links: readonly LoadedManifest[],
  options: Pick<RestoreBackupOptions, 'vault' | 'create' | 'onProgress' | 'signal'>,
): Promise<Store> {
  const { vault } = options
  const manifest = links.at(-1) as LoadedManifest
  const reader = await openContents(vault, links, { readAheadBytes: backupLimits.readAheadBytes })
  await checkRoot(links, reader)
  const store = await options.create(manifest.site, await readMembers(manifest, reader))
  try {
    await applyChain(store, links, reader, options)
    await compareWithChain(store, links, reader)
    return store
  } catch (error) {
    await store.close()
    throw error
  }
}

async function applyChain(
  store: Store,
  links: readonly LoadedManifest[],
  reader: PartReader,
  { vault, onProgress, signal }: Pick<RestoreBackupOptions, 'vault' | 'onProgress' | 'signal'>,
): Promise<void> {
  const { node, documents: totalDocuments, records: totalRecords } = links.at(-1) as LoadedManifest
  const source = { reader, names: vault.names, node }
  const room = new Room(backupLimits.inFlightBytes)
  let documents = 0
  let records = 0
  await inParallel(resolvedDocuments(links, reader), backupLimits.parallel, async ({ facts, steps }) => {
    signal?.throwIfAborted()
    const weight = weightOf(facts)
    await room.take(weight)
    try {
      await applySteps(store, steps, source)
    } finally {
      room.give(weight)
    }
    for (const tip of facts.tips) records += tip.records
    onProgress?.({ documents: ++documents, totalDocuments, records, totalRecords })
  })
}

/** The backup that is meant. Where the newest one cannot be read, an older one is not taken for it by guess. */
function choose(
  { manifests, files, unreadable }: Catalog,
  backupId: string | undefined,
  { storage }: Vault,
): { readonly target: LoadedManifest; readonly others: readonly LoadedManifest[] } {
  if (backupId !== undefined) {
    const damaged = files.find(({ id, name }) => !manifests.has(name) && (name === backupId || id.startsWith(backupId)))
    if (damaged !== undefined)
      throw new DamagedError(
        `backup ${damaged.id} cannot be restored: ${damaged.name} ${unreadable.find(({ file }) => file === damaged.name)?.what ?? 'is unreadable'}`,
      )
    return { target: findBackup(backupId, manifests), others: [] }
  }
  const [target, ...others] = newestOfNodes(manifests)
  const newer = files.filter(
    ({ name, node, counter }) =>
      counter > Math.max(0, ...[target, ...others].flatMap((one) => (one?.node === node ? one.counter : []))) &&
      (!manifests.has(name) || chainOf(manifests.get(name) as LoadedManifest, manifests).broken !== undefined),
  )
  const [broken] = newer
  if (broken !== undefined) {
    const manifest = manifests.get(broken.name)
    const fault = manifest === undefined ? undefined : chainOf(manifest, manifests).broken
    const what =
      unreadable.find(({ file }) => file === (fault?.name ?? broken.name))?.what ?? fault?.what ?? 'is unreadable'
    throw new DamagedError(
      `the newest backup ${broken.id} of node ${broken.node} cannot be restored: ${fault?.name ?? broken.name} ${what}. ${target === undefined ? 'Use another vault' : `Name an older one, such as --as-of ${target.id}, or use another vault`}`,
    )
  }
  if (target === undefined)
    throw new NotFoundError(`vault ${storage.location} holds no backup yet: make one with "hedgerow backup create"`)
  return { target, others }
}

/** Errors of restoring, with the backup's name. What the caller did (abort, disk full) stays as it is. */
function unrestorable({ id }: BackupInfo, error: unknown): unknown {
  if (!(error instanceof HedgerowError) || !['DAMAGED', 'REFUSED'].includes(error.code)) return error
  return new DamagedError(
    `backup ${id} cannot be restored: ${error.message}. Nothing is restored by guess: "hedgerow backup verify" shows which backups are whole; take one of those (--as-of), or another vault`,
    { cause: error },
  )
}

/** Bytes that tasks may hold at a time. */
class Room {
  #free: number
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = []

  constructor(bytes: number) {
    this.#free = bytes
  }

  async take(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && bytes <= this.#free) {
      this.#free -= bytes
      return
    }
    await new Promise<void>((resolve) => {
      this.#waiting.push({ bytes, go: resolve })
    })
  }

  give(bytes: number): void {
    this.#free += bytes
    for (let next = this.#waiting[0]; next !== undefined && next.bytes <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#free -= next.bytes
      next.go()
    }
  }
}
