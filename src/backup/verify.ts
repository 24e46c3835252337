/**
 * Verifies a vault: every byte is read and compared with hashes and tags, every backup's lists are compared with its
 * signed root, and every whole backup is restored into a scratch store and compared.
 */
import type { SiteId } from '../model/index.ts'
import type { Store } from '../store/index.ts'
import { readSeal } from './apply.ts'
import { infoOf, loadCatalog, type BackupInfo, type Catalog } from './catalog.ts'
import { chainOf } from './chain.ts'
import { checkRoot, openContents, resolvedDocuments, type Resolved } from './contents.ts'
import { recordsOf } from './document-list.ts'
import { VaultFileError } from './file-error.ts'
import type { LoadedManifest } from './manifest.ts'
import { parseManifestName } from './names.ts'
import { fileOf } from './pack.ts'
import type { PartReader } from './part-reader.ts'
import { Rehearsal } from './rehearsal.ts'
import type { Vault } from './vault.ts'
import { lostManifests, scanFiles, type FileScan } from './verify-files.ts'

/** A store to restore into for comparison; disposing of it closes and removes it. */
export interface Scratch extends AsyncDisposable {
  readonly store: Store
}

export interface VerifyProgress {
  readonly phase: 'reading' | 'restoring'
  /** Bytes while reading, backups while restoring. */
  readonly done: number
  readonly total: number
}

export interface VerifyBackupsOptions {
  /** Makes a store without a signer in a fresh place. Left out: nothing is restored. */
  readonly scratch?: (site: SiteId, members: readonly Uint8Array[]) => Promise<Scratch>
  readonly onProgress?: (progress: VerifyProgress) => void
  readonly signal?: AbortSignal
}

/** What is wrong with one file. */
export interface VaultProblem {
  readonly file: string
  /** `is missing`, `is damaged: …`: reads on from the file's name. */
  readonly what: string
  /** Ids of the backups that need the file. */
  readonly backups: readonly string[]
  /** Records that cannot be restored for it: of one backup, the one that loses most. */
  readonly records: number
}

export interface VerifiedBackup {
  readonly backup: BackupInfo
  readonly ok: boolean
  /** Restored into a scratch store and compared. */
  readonly restored: boolean
  /** Those of the report that concern this backup; `records` is this one's. */
  readonly problems: readonly { readonly file: string; readonly what: string; readonly records: number }[]
}

export interface VerifyReport {
  readonly ok: boolean
  readonly files: number
  readonly bytes: number
  readonly backups: readonly VerifiedBackup[]
  readonly problems: readonly VaultProblem[]
  /** Files no backup needs: what interrupted backups left. The next backup reuses them. */
  readonly unreferenced: readonly { readonly file: string; readonly bytes: number }[]
}

/** Verifies all backups of a vault. Damage is what the report says, not an error. */
export async function verifyBackups(vault: Vault, options: VerifyBackupsOptions = {}): Promise<VerifyReport> {
  const { onProgress, signal } = options
  const scan = await scanFiles(vault, {
    ...(signal === undefined ? {} : { signal }),
    onProgress: ({ bytes, totalBytes }) => onProgress?.({ phase: 'reading', done: bytes, total: totalBytes }),
  })
  const catalog = await loadCatalog(vault)
  const manifests = [...catalog.manifests.values()].sort((a, b) => a.counter - b.counter || (a.name < b.name ? -1 : 1))
  const findings = new Findings()
  const needed = new Set<string>()
  for (const manifest of manifests) {
    signal?.throwIfAborted()
    await verifyOne(vault, manifest, catalog, scan, findings.of(manifest.id), needed)
  }
  reportOthers(catalog, scan, findings, manifests)
  const restored = await rehearse(vault, manifests, catalog, findings, options)
  const backups = manifests.map((manifest): VerifiedBackup => {
    const problems = [...findings.of(manifest.id)].map(([file, { what, records }]) => ({ file, what, records }))
    return {
      backup: infoOf(manifest, catalog.manifests),
      ok: problems.length === 0,
      restored: restored.has(manifest.name),
      problems,
    }
  })
  const problems = findings.problems()
  const unreferenced = [...scan.files]
    .filter(([file]) => /^(packs|index)\//.test(file) && !needed.has(file))
    .map(([file, bytes]) => ({ file, bytes }))
  const bytes = [...scan.files.values()].reduce((sum, size) => sum + size, 0)
  return { ok: problems.length === 0, files: scan.files.size, bytes, backups, problems, unreferenced }
}

interface Finding {
  readonly what: string
  readonly records: number
}

/** What was found, by backup id and file. */
class Findings {
  readonly #found = new Map<string, Map<string, Finding>>()

  of(backup: string): Map<string, Finding> {
    const found = this.#found.get(backup) ?? new Map<string, Finding>()
    this.#found.set(backup, found)
    return found
  }

  problems(): VaultProblem[] {
    const problems = new Map<string, { what: string; backups: string[]; records: number }>()
    for (const [backup, found] of this.#found)
      for (const [file, { what, records }] of found) {
        const problem = problems.get(file) ?? { what, backups: [], records: 0 }
        problem.backups.push(backup)
        problem.records = Math.max(problem.records, records)
        problems.set(file, problem)
      }
    return [...problems].map(([file, problem]) => ({ file, ...problem })).sort((a, b) => (a.file < b.file ? -1 : 1))
  }
}

/** Finds what one backup lacks of its chain, its index blocks, its lists and its documents. */
async function verifyOne(
  vault: Vault,
  manifest: LoadedManifest,
  { manifests }: Catalog,
  scan: FileScan,
  found: Map<string, Finding>,
  needed: Set<string>,
): Promise<void> {
  const all = manifest.records
  const { links, broken } = chainOf(manifest, manifests)
  if (broken !== undefined) found.set(broken.name, { what: broken.what, records: all })
  for (const hash of new Set(links.flatMap(({ indexes }) => indexes))) {
    const file = `index/${hash}`
    needed.add(file)
    if (scan.blocks.has(hash)) continue
    found.set(file, { what: scan.faults.get(file)?.what ?? 'is missing', records: all })
  }
  if (found.size > 0) {
    // The packs of what is readable are still somebody's.
    for (const link of links)
      for (const hash of link.indexes) for (const pack of scan.blocks.get(hash)?.packs ?? []) needed.add(fileOf(pack))
    return
  }
  try {
    const use = (file: string): void => {
      needed.add(file)
      const fault = scan.faults.get(file)
      if (fault !== undefined && !found.has(file)) found.set(file, { what: fault.what, records: 0 })
    }
    const reader = await openContents(vault, links, { blocks: scan.blocks, onUse: ({ pack }) => use(fileOf(pack)) })
    await checkRoot(links, reader)
    for (const link of links) for (const id of link.members) use(fileOf(reader.place(id).pack))
    for await (const resolved of resolvedDocuments(links, reader)) {
      const files = await lossesOf(resolved, reader, vault, scan, use)
      for (const file of files) {
        const { what, records } = found.get(file) as Finding
        found.set(file, { what, records: records + recordsOf(resolved.facts) })
      }
    }
  } catch (error) {
    if ((error as { code?: string }).code !== 'DAMAGED') throw error
    const file = error instanceof VaultFileError ? error.file : manifest.name
    found.set(file, { what: scan.faults.get(file)?.what ?? (error as Error).message, records: all })
  }
}

/** The files with lost parts that one document needs. */
async function lossesOf(
  { steps }: Resolved,
  reader: PartReader,
  vault: Vault,
  scan: FileScan,
  use: (file: string) => void,
): Promise<Set<string>> {
  const losses = new Set<string>()
  const check = (id: Parameters<PartReader['place']>[0]): boolean => {
    const file = fileOf(reader.place(id).pack)
    use(file)
    const lost = scan.faults.get(file)?.lost.has(id) === true
    if (lost) losses.add(file)
    return lost
  }
  for (const step of steps) {
    const lost = step.record.parts.filter(check)
    if (step.form !== 'sealed' || lost.length > 0) continue
    for (const id of (await readSeal(step, reader, vault.names)).parts) check(id)
  }
  return losses
}

/** Manifests that cannot be read or are gone, and the files that all backups share. */
function reportOthers(
  catalog: Catalog,
  scan: FileScan,
  findings: Findings,
  manifests: readonly LoadedManifest[],
): void {
  for (const { file, what } of catalog.unreadable)
    findings.of(parseManifestName(file)?.id ?? file).set(file, { what, records: 0 })
  for (const file of lostManifests(scan))
    findings.of(parseManifestName(file)?.id ?? file).set(file, {
      what: "is missing: it is lost, or its backup was interrupted or is being written; the node's next backup settles it",
      records: 0,
    })
  for (const file of scan.common) {
    const what = scan.faults.get(file)?.what ?? 'is damaged'
    for (const { id } of manifests) findings.of(id).set(file, { what, records: 0 })
    if (manifests.length === 0) findings.of('').set(file, { what, records: 0 })
  }
}

/** Restores every backup that has no problem so far. */
async function rehearse(
  vault: Vault,
  manifests: readonly LoadedManifest[],
  catalog: Catalog,
  findings: Findings,
  { scratch, onProgress, signal }: VerifyBackupsOptions,
): Promise<ReadonlySet<string>> {
  const restored = new Set<string>()
  if (scratch === undefined) return restored
  const nodes = [...new Set(manifests.map(({ node }) => node))].sort()
  const wholes = nodes.flatMap((node) =>
    manifests.filter((manifest) => manifest.node === node && restorable(findings.of(manifest.id))),
  )
  await using rehearsal = new Rehearsal(vault, scratch)
  for (const [done, manifest] of wholes.entries()) {
    signal?.throwIfAborted()
    onProgress?.({ phase: 'restoring', done, total: wholes.length })
    const fault = await rehearsal.restore(chainOf(manifest, catalog.manifests).links)
    if (fault === undefined) restored.add(manifest.name)
    else findings.of(manifest.id).set(manifest.name, { what: `does not restore: ${fault}`, records: manifest.records })
  }
  onProgress?.({ phase: 'restoring', done: wholes.length, total: wholes.length })
  return restored
}

/** A damaged key slot or a damaged spare byte does not stand in the way. */
function restorable(found: ReadonlyMap<string, Finding>): boolean {
  return [...found].every(([file, { records }]) => records === 0 && !file.startsWith('manifests/'))
}
