/** Reads every byte of a vault: which files are missing or not what was written, and which parts are lost with them. */
import { createHash } from 'node:crypto'
import { DamagedError } from '../model/index.ts'
import { prefixBytes, type PartId } from './box.ts'
import { backupLimits } from './constants.ts'
import { fileHeader } from './file-header.ts'
import { inParallel } from './in-parallel.ts'
import { readIndexBlock, type IndexBlock } from './index-block.ts'
import { indexHash, packHash, packName, parseManifestName } from './names.ts'
import { openPart, packBox, placesOf, type PackListing } from './pack.ts'
import { configName, readSlot, readVaultConfig, type Vault } from './vault.ts'

/** Packs read at a time: each is in memory whole. */
const packsAtATime = 2

export interface FileFault {
  readonly what: string
  /** Parts of a pack that cannot be read. */
  readonly lost: ReadonlySet<PartId>
}

export interface FileScan {
  /** By file. */
  readonly faults: Map<string, FileFault>
  /** Readable index blocks, by hash. */
  readonly blocks: ReadonlyMap<string, IndexBlock>
  /** All files of the vault with their bytes. */
  readonly files: ReadonlyMap<string, number>
  /** Files that every backup depends on and that have faults: `config`, key slots. */
  readonly common: readonly string[]
}

export interface ScanProgress {
  readonly bytes: number
  readonly totalBytes: number
}

const nothing: ReadonlySet<PartId> = new Set()

export async function scanFiles(
  vault: Vault,
  options: { readonly onProgress?: (progress: ScanProgress) => void; readonly signal?: AbortSignal },
): Promise<FileScan> {
  const files = new Map<string, number>()
  for await (const { name, bytes } of vault.storage.list('')) files.set(name, bytes)
  const totalBytes = [...files.values()].reduce((sum, bytes) => sum + bytes, 0)
  let read = 0
  const advance = (bytes: number): void => {
    read += bytes
    options.onProgress?.({ bytes: read, totalBytes })
  }
  const faults = new Map<string, FileFault>()
  const common = await scanKeys(vault, files, faults)
  const blocks = new Map<string, IndexBlock>()
  for (const [name, bytes] of files) {
    if (!name.startsWith('index/')) continue
    options.signal?.throwIfAborted()
    try {
      blocks.set(indexHash(name) ?? '', await readIndexBlock(vault, name))
    } catch (error) {
      faults.set(name, { what: whatOf(error, name), lost: nothing })
    }
    advance(bytes)
  }
  const listings = new Map<string, PackListing>()
  for (const { packs } of blocks.values()) for (const pack of packs) listings.set(packName(pack.hash), pack)
  for (const [name, pack] of listings)
    if (!files.has(name)) faults.set(name, { what: 'is missing', lost: new Set(pack.parts) })
  const packs = [...files].filter(([name]) => name.startsWith('packs/'))
  await inParallel(packs, packsAtATime, async ([name, bytes]) => {
    options.signal?.throwIfAborted()
    const fault = await scanPack(vault, name, listings.get(name))
    if (fault !== undefined) faults.set(name, fault)
    advance(bytes)
  })
  return { faults, blocks, files, common }
}

async function scanKeys(
  vault: Vault,
  files: ReadonlyMap<string, number>,
  faults: Map<string, FileFault>,
): Promise<string[]> {
  const common: string[] = []
  const check = async (name: string, read: () => Promise<unknown>): Promise<void> => {
    try {
      await read()
    } catch (error) {
      faults.set(name, { what: files.has(name) ? whatOf(error, name) : 'is missing', lost: nothing })
      common.push(name)
    }
  }
  await check(configName, async () => {
    const { id, encryption } = await readVaultConfig(vault.storage)
    if (id !== vault.id || encryption !== vault.encryption) throw new DamagedError('is of another vault')
  })
  const slots = new Set([...vault.slots, ...[...files.keys()].filter((name) => name.startsWith('keys/'))])
  for (const name of slots) await check(name, () => readSlot(vault.storage, name))
  return common
}

/** Compares a pack with its name, and opens every part that a listing says it holds. */
async function scanPack(vault: Vault, name: string, listing: PackListing | undefined): Promise<FileFault | undefined> {
  let bytes: Uint8Array | undefined
  try {
    bytes = await vault.storage.get(name, backupLimits.packMaxBytes)
  } catch (error) {
    return { what: whatOf(error, name), lost: new Set(listing?.parts) }
  }
  if (bytes === undefined) return { what: 'is missing', lost: new Set(listing?.parts) }
  const lost = new Set<PartId>()
  if (listing !== undefined) {
    const box = packBox(vault.master, listing.salt)
    for (const [id, { piece, offset, length }] of placesOf(listing))
      if (openPart(box, vault.names, id, piece, bytes.subarray(offset, offset + length)) === undefined) lost.add(id)
  }
  const hash = createHash('sha256').update(bytes).digest('hex')
  const damaged =
    hash !== packHash(name) ||
    !fileHeader('pack', vault.encryption).equals(bytes.subarray(0, prefixBytes).subarray(0, 8))
  if (!damaged && lost.size === 0) return undefined
  const truncated = listing !== undefined && bytes.length < listing.bytes
  const parts = listing === undefined ? '' : `: ${lost.size} of its ${listing.parts.length} parts cannot be read`
  return {
    what: truncated ? `is truncated to ${bytes.length} of ${listing.bytes} bytes${parts}` : `is damaged${parts}`,
    lost,
  }
}

/** The backup (manifest's name) that a readable index block says it was written for, without that manifest being there. */
export function lostManifests({ blocks, files }: FileScan): string[] {
  const counters = new Set([...files.keys()].map((name) => counterKey(name)))
  const lost = new Set<string>()
  for (const { writer } of blocks.values())
    // A node that was interrupted gives the counter again: then a later manifest has it.
    if (parseManifestName(writer) !== undefined && !counters.has(counterKey(writer))) lost.add(writer)
  return [...lost].sort()
}

function counterKey(name: string): string {
  const parsed = parseManifestName(name)
  return parsed === undefined ? '' : `${parsed.node} ${parsed.counter}`
}

export function whatOf(error: unknown, file: string): string {
  const { code, what, message } = error as { readonly code?: string; readonly what?: unknown; readonly message: string }
  if (code !== 'DAMAGED' && code !== 'VERSION') throw error
  if (typeof what === 'string') return what
  return message.startsWith(file) ? message.slice(message.indexOf(' is ') + 1) : message
}
