/** Reads what a chain of backups holds: its lists merged into the documents it gives back, and its members set. */
import { DamagedError } from '../model/index.ts'
import { readFrames } from './cbor.ts'
import { backupLimits } from './constants.ts'
import { decodeEntry, RootHash, type ListEntry, type RecordPlace } from './document-list.ts'
import { inParallel } from './in-parallel.ts'
import { readIndexBlock, type IndexBlock } from './index-block.ts'
import type { LoadedManifest } from './manifest.ts'
import { indexName } from './names.ts'
import type { PackListing } from './pack.ts'
import { PartIndex } from './part-index.ts'
import { PartReader, type PartReaderOptions } from './part-reader.ts'
import type { Vault } from './vault.ts'

/** A document as a chain gives it back: the newest entry, and what has to be applied, in order. */
export interface Resolved {
  readonly facts: ListEntry
  readonly steps: readonly ListEntry[]
}

/** Opens the parts that a chain's backups name. Throws `VaultFileError` for a missing or damaged index block. */
export async function openContents(
  vault: Vault,
  links: readonly LoadedManifest[],
  options: PartReaderOptions & {
    readonly blocks?: ReadonlyMap<string, IndexBlock>
    readonly onPack?: (pack: PackListing) => void
  } = {},
): Promise<PartReader> {
  const index = new PartIndex()
  const hashes = new Set(links.flatMap(({ indexes }) => indexes))
  await inParallel(hashes, backupLimits.parallel, async (hash) => {
    const block = options.blocks?.get(hash) ?? (await readIndexBlock(vault, indexName(hash)))
    for (const pack of block.packs) options.onPack?.(pack)
    index.addBlock(block)
  })
  return new PartReader(vault, index, options)
}

/** The entries of one backup's own list, in id order. */
export async function* readEntries(manifest: LoadedManifest, reader: PartReader): AsyncIterable<ListEntry> {
  let before = ''
  for (const piece of manifest.list)
    for (const frame of readFrames(await reader.read(piece))) {
      const entry = decodeEntry(frame)
      if (entry.id <= before) throw new DamagedError(`the list of ${manifest.name} is not in order at ${entry.id}`)
      before = entry.id
      yield entry
    }
}

/** Merges the lists of a chain (full backup first) into the documents its last backup gives back, in id order. */
export async function* resolvedDocuments(
  links: readonly LoadedManifest[],
  reader: PartReader,
): AsyncIterable<Resolved> {
  const lists = links.map((link) => readEntries(link, reader)[Symbol.asyncIterator]())
  const heads = await Promise.all(lists.map(async (list) => next(list)))
  for (;;) {
    let id: string | undefined
    for (const head of heads) if (head !== undefined && (id === undefined || head.id < id)) id = head.id
    if (id === undefined) return
    const entries: ListEntry[] = []
    for (const [i, head] of heads.entries()) {
      if (head?.id !== id) continue
      entries.push(head)
      heads[i] = await next(lists[i] as AsyncIterator<ListEntry>)
    }
    const resolved = resolve(entries)
    if (resolved !== undefined) yield resolved
  }
}

async function next(list: AsyncIterator<ListEntry>): Promise<ListEntry | undefined> {
  const { value, done } = await list.next()
  return done === true ? undefined : value
}

/** What entries of one document, oldest first, come to; `undefined` if it is gone. Pure. */
export function resolve(entries: readonly ListEntry[]): Resolved | undefined {
  const facts = entries.at(-1)
  if (facts === undefined || facts.form === 'gone') return undefined
  let from = entries.length - 1
  while (from > 0 && entries[from]?.form === 'changes') from--
  const steps = entries.slice(from)
  if (steps[0]?.form === 'changes' || steps[0]?.form === 'gone')
    throw new DamagedError(`document ${facts.id}: the backups hold changes to it, but not what they change`)
  return { facts, steps }
}

/** Reads a record's bytes. */
export async function readRecord(place: RecordPlace, reader: PartReader): Promise<Buffer> {
  const parts: Buffer[] = []
  for (const id of place.parts) parts.push(await reader.read(id, { keep: place.parts.length === 1 }))
  const [only] = parts
  const joined = parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)
  if (place.offset + place.length > joined.length) throw new DamagedError('a record lies beyond the end of its part')
  return joined.subarray(place.offset, place.offset + place.length)
}

export async function readMembers(manifest: LoadedManifest, reader: PartReader): Promise<Buffer[]> {
  const entries: Buffer[] = []
  for (const piece of manifest.members) entries.push(...readFrames(await reader.read(piece)))
  return entries
}

/** Throws `DamagedError` unless the lists of a chain come to the root and the totals its last backup promises. */
export async function checkRoot(links: readonly LoadedManifest[], reader: PartReader): Promise<void> {
  const manifest = links.at(-1) as LoadedManifest
  const root = new RootHash()
  for await (const { facts } of resolvedDocuments(links, reader)) root.add(facts)
  requireRoot(root, manifest, 'its lists of documents do not come to')
}

export function requireRoot(root: RootHash, manifest: LoadedManifest, what: string): void {
  const { documents, records, bytes } = root
  if (
    root.digest() !== manifest.root ||
    documents !== manifest.documents ||
    records !== manifest.records ||
    bytes !== manifest.bytes
  )
    throw new DamagedError(
      `${what} the root of ${manifest.name}: ${documents} documents with ${records} records instead of ${manifest.documents} with ${manifest.records}`,
    )
}
