/**
 * Makes one backup of one consistent moment. Order: packs, index blocks, manifest. Interrupted anywhere the vault is
 * valid, and the next backup reuses the packs that are there.
 */
import { InvalidInputError, NotAllowedError, type Clock, type DocumentId, type Random } from '../model/index.ts'
import type { Signer, Store, StoreSnapshot } from '../store/index.ts'
import type { PartId } from './box.ts'
import { infoOf, loadCatalog, type BackupInfo, type Catalog } from './catalog.ts'
import { frames } from './cbor.ts'
import { chainOf, parentFor } from './chain.ts'
import { backupLimits } from './constants.ts'
import { openContents, resolvedDocuments, type Resolved } from './contents.ts'
import { backUpDocuments } from './create-documents.ts'
import { writeManifest, type BackupKind, type LoadedManifest, type Manifest } from './manifest.ts'
import { manifestName, packName } from './names.ts'
import { PartIndex } from './part-index.ts'
import type { PartReader } from './part-reader.ts'
import { PartSink } from './part-sink.ts'
import { loadReusable } from './reusable.ts'
import type { Vault } from './vault.ts'

export interface BackupProgress {
  readonly documents: number
  readonly totalDocuments: number
  /** Bytes of packs stored so far. */
  readonly bytesWritten: number
}

export interface CreateBackupOptions {
  /** The node's store, flushed by the caller. Writes may go on. */
  readonly store: Pick<Store, 'site' | 'members' | 'snapshot' | 'policy' | 'damage' | 'totals'>
  readonly vault: Vault
  readonly signer: Signer
  /** Left out: incremental if the node has a whole backup in this vault, else full. */
  readonly kind?: BackupKind | undefined
  readonly clock: Clock
  readonly random: Random
  /** Shares nothing with what the vault holds already: a full backup that stands alone. */
  readonly independent?: boolean
  readonly onProgress?: (progress: BackupProgress) => void
  readonly signal?: AbortSignal
  /** Bytes at which a pack is finished; for tests of vaults with many packs. */
  readonly packBytes?: number
}

export interface CreatedBackup {
  readonly backup: BackupInfo
  readonly packs: number
  /** Documents that are damaged in the store and so were left out, or kept as they were in the parent. */
  readonly leftOut: readonly DocumentId[]
  /** Why a full backup was made where an incremental one would have been the rule. */
  readonly because?: string
}

/** Backs a store up. Resolves when the backup is durable in the vault. */
export async function createBackup(options: CreateBackupOptions): Promise<CreatedBackup> {
  const { store, vault, signer, clock, random, signal } = options
  const certificate = store.members.certificateEntry(signer.node)
  if (certificate === undefined)
    throw new NotAllowedError(
      'this node is no member of its site, so nobody could trust its backup: join the site first',
    )
  if (options.independent === true && options.kind !== undefined && options.kind !== 'full')
    throw new InvalidInputError('only a full backup can be independent of the others')
  const catalog = await loadCatalog(vault)
  const plan = await planBackup(options, catalog)
  const held = options.independent === true ? new PartIndex() : await loadReusable(vault)
  await using sink = new PartSink(vault, held, random, options.packBytes)
  const { snapshot, marks } = await snapshotWithMarks(store)
  await using _ = snapshot
  const created = clock.nowUs()
  const contents = await backUpDocuments({
    ...options,
    snapshot,
    sink,
    parents: plan.parent === undefined ? none() : resolvedDocuments(plan.links, plan.reader as PartReader),
  })
  const members = await storeMembers(store, sink)
  signal?.throwIfAborted()
  const counter = 1 + Math.max(0, ...counters(catalog, signer))
  const id = Buffer.from(random.bytes(8)).toString('hex')
  const name = manifestName(signer.node, counter, id)
  const indexes = await sink.finish(name)
  signal?.throwIfAborted()
  const { root } = contents
  const manifest: Manifest = {
    name,
    node: signer.node,
    counter,
    id,
    site: store.site,
    kind: plan.kind,
    ...(plan.parent === undefined ? {} : { parent: { name: plan.parent.name, hash: plan.parent.hash } }),
    created,
    documents: root.documents,
    records: root.records,
    bytes: root.bytes,
    root: root.digest(),
    addedBytes: sink.bytesWritten,
    leftOut: contents.leftOut.length,
    marks,
    list: contents.list,
    members,
    indexes,
    certificate,
  }
  const written = await writeManifest(vault, manifest, signer, random)
  return {
    backup: infoOf(written, new Map([...catalog.manifests, [name, written]])),
    packs: sink.packsWritten,
    leftOut: contents.leftOut,
    ...(plan.because === undefined ? {} : { because: plan.because }),
  }
}

async function* none(): AsyncIterable<Resolved> {
  // A full backup continues nothing.
}

function* counters({ files }: Catalog, { node }: Signer): Iterable<number> {
  for (const file of files) if (file.node === node) yield file.counter
}

interface Plan {
  readonly kind: BackupKind
  readonly parent?: LoadedManifest
  readonly links: readonly LoadedManifest[]
  readonly reader?: PartReader
  readonly because?: string
}

async function planBackup(options: CreateBackupOptions, catalog: Catalog): Promise<Plan> {
  const { store, vault, signer, kind, independent } = options
  if (kind === 'full' || independent === true) return { kind: 'full', links: [] }
  // A node that has changed its site begins anew.
  const ours = new Map([...catalog.manifests].filter(([, { site }]) => site === store.site))
  const parent = parentFor(kind ?? 'incremental', signer.node, ours)
  if (parent === undefined) {
    if (kind === undefined) return { kind: 'full', links: [] }
    throw new InvalidInputError(
      `this node has no whole ${kind === 'differential' ? 'full ' : ''}backup in vault ${vault.storage.location} that ${kind === 'differential' ? 'a differential' : 'an incremental'} one could continue: make a full one`,
    )
  }
  const { links } = chainOf(parent, ours)
  const reader = await openUndamaged(vault, links)
  if (typeof reader !== 'string') return { kind: kind ?? 'incremental', parent, links, reader }
  if (kind === undefined) return { kind: 'full', links: [], because: reader }
  throw new InvalidInputError(
    `backup ${parent.id} cannot be continued (${reader}): make a full one, and run "hedgerow backup verify"`,
  )
}

/** Opens a chain to be continued, or says what is wrong with it: its lists and every pack must be there. */
async function openUndamaged(vault: Vault, links: readonly LoadedManifest[]): Promise<PartReader | string> {
  try {
    const files = new Map<string, number>()
    for await (const { name, bytes } of vault.storage.list('packs/')) files.set(name, bytes)
    const missing: string[] = []
    const reader = await openContents(vault, links, {
      onPack: ({ hash, bytes }) => {
        if (files.get(packName(hash)) !== bytes) missing.push(packName(hash))
      },
    })
    if (missing[0] !== undefined) return `${missing[0]} is missing or truncated`
    for (const { list } of links) for (const piece of list) await reader.read(piece)
    return reader
  } catch (error) {
    if ((error as { code?: string }).code !== 'DAMAGED') throw error
    return (error as Error).message
  }
}

/** Marks are read beside the snapshot: again, until they did not move meanwhile. */
async function snapshotWithMarks(
  store: Pick<Store, 'policy' | 'snapshot'>,
): Promise<{ readonly snapshot: StoreSnapshot; readonly marks: Readonly<Record<string, number>> }> {
  for (;;) {
    const { marks } = await store.policy()
    const snapshot = await store.snapshot()
    if (JSON.stringify((await store.policy()).marks) === JSON.stringify(marks)) return { snapshot, marks }
    await snapshot[Symbol.asyncDispose]()
  }
}

/** The whole members set, in an order in which a set can take it; parts are shared as long as it does not change. */
async function storeMembers({ members }: Pick<Store, 'members'>, sink: PartSink): Promise<PartId[]> {
  const parts: PartId[] = []
  let group: Uint8Array[] = []
  let bytes = 0
  const end = async (): Promise<void> => {
    if (group.length > 0) parts.push(await sink.add(frames(group)))
    group = []
    bytes = 0
  }
  for (const key of members.keys()) {
    const entry = members.get(key)
    if (entry === undefined) continue
    if (bytes + entry.length + 4 > backupLimits.groupMaxBytes) await end()
    group.push(entry)
    bytes += entry.length + 4
  }
  await end()
  return parts
}
