/** The backups of a vault, from their manifests alone. */
import { DamagedError, VersionError, type NodeId, type SiteId } from '../model/index.ts'
import { chainOf } from './chain.ts'
import { backupLimits } from './constants.ts'
import { inParallel } from './in-parallel.ts'
import { readManifest, type BackupKind, type LoadedManifest } from './manifest.ts'
import { parseManifestName, type BackupName } from './names.ts'
import type { Vault } from './vault.ts'

/** What a list of backups shows. */
export interface BackupInfo {
  /** 16 hex digits; what `--as-of` takes. */
  readonly id: string
  /** The manifest's file. */
  readonly file: string
  readonly node: NodeId
  readonly site: SiteId
  /** Counts the node's backups in this vault. */
  readonly counter: number
  readonly kind: BackupKind
  /** Id of the backup this one continues. */
  readonly parent?: string
  /** The node's clock at that moment, µs. */
  readonly created: number
  /** What a restore gives back. */
  readonly documents: number
  readonly records: number
  readonly bytes: number
  /** Bytes of packs it added to the vault. */
  readonly addedBytes: number
  /** Documents that were damaged at the source: left out, or as they were in the parent. */
  readonly leftOut: number
  /** All manifests it needs are there and its own. */
  readonly complete: boolean
}

export interface UnreadableFile {
  readonly file: string
  readonly what: string
}

export interface BackupList {
  /** In order of date, then of node and counter. */
  readonly backups: readonly BackupInfo[]
  /** Manifests that are damaged, or of a later release. */
  readonly unreadable: readonly UnreadableFile[]
}

export interface Catalog {
  readonly manifests: ReadonlyMap<string, LoadedManifest>
  /** Every manifest's file, readable or not. */
  readonly files: readonly BackupName[]
  readonly unreadable: readonly UnreadableFile[]
}

/** Lists the backups of a vault. */
export async function listBackups(vault: Vault): Promise<BackupList> {
  const { manifests, unreadable } = await loadCatalog(vault)
  const backups = [...manifests.values()].map((manifest) => infoOf(manifest, manifests))
  backups.sort((a, b) => a.created - b.created || (a.file < b.file ? -1 : 1))
  return { backups, unreadable }
}

export async function loadCatalog(vault: Vault): Promise<Catalog> {
  const files: BackupName[] = []
  const unreadable: UnreadableFile[] = []
  for await (const { name } of vault.storage.list('manifests/')) {
    const parsed = parseManifestName(name)
    if (parsed === undefined) unreadable.push({ file: name, what: 'is not named as a manifest is' })
    else files.push(parsed)
  }
  const manifests = new Map<string, LoadedManifest>()
  await inParallel(files, backupLimits.parallel, async ({ name }) => {
    try {
      manifests.set(name, await readManifest(vault, name))
    } catch (error) {
      if (!(error instanceof DamagedError || error instanceof VersionError)) throw error
      unreadable.push({ file: name, what: 'what' in error ? String(error.what) : error.message })
    }
  })
  unreadable.sort((a, b) => (a.file < b.file ? -1 : 1))
  return { manifests, files, unreadable }
}

export function infoOf(manifest: LoadedManifest, all: ReadonlyMap<string, LoadedManifest>): BackupInfo {
  const { id, name, node, site, counter, kind, parent, created, documents, records, bytes, addedBytes, leftOut } =
    manifest
  const parentId = parent === undefined ? undefined : parseManifestName(parent.name)?.id
  return {
    id,
    file: name,
    node,
    site,
    counter,
    kind,
    ...(parentId === undefined ? {} : { parent: parentId }),
    created,
    documents,
    records,
    bytes,
    addedBytes,
    leftOut,
    complete: chainOf(manifest, all).broken === undefined,
  }
}
