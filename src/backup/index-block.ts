/**
 * An index block: header, salt, and sealed as the last piece CBOR `[manifest name of the backup that wrote it, listings of
 * packs]`. Named by its SHA-256; any backup may use any block. The claim tells a lost manifest from none.
 */
import { createHash } from 'node:crypto'
import type { Random } from '../model/index.ts'
import { lastPiece, makeBox, prefixBytes, saltBytes } from './box.ts'
import { asList, asText, decodeCbor, encode } from './cbor.ts'
import { backupLimits } from './constants.ts'
import { VaultFileError } from './file-error.ts'
import { checkHeader } from './file-header.ts'
import { indexHash, indexName } from './names.ts'
import { decodeListing, encodeListing, type PackListing } from './pack.ts'
import type { Vault } from './vault.ts'

export interface IndexBlock {
  /** SHA-256 of the file, hex. */
  readonly hash: string
  /** Name of the manifest its writer was going to write. */
  readonly writer: string
  readonly packs: readonly PackListing[]
}

/** Stores listings in as few blocks as hold them; at least one, for its claim. Gives their hashes. */
export async function writeIndexBlocks(
  vault: Vault,
  writer: string,
  packs: readonly PackListing[],
  random: Random,
): Promise<string[]> {
  const hashes: string[] = []
  for (const group of grouped(packs)) {
    const box = makeBox(vault.master, 'index', random.bytes(saltBytes))
    const file = Buffer.concat([box.prefix, box.seal(lastPiece, encode([writer, group.map(encodeListing)]))])
    const hash = createHash('sha256').update(file).digest('hex')
    await vault.storage.put(indexName(hash), file)
    hashes.push(hash)
  }
  return hashes
}

function grouped(packs: readonly PackListing[]): PackListing[][] {
  const groups: PackListing[][] = [[]]
  // Header, salt, tag and the writer's name.
  let bytes = 512
  for (const pack of packs) {
    const more = 96 + pack.parts.length * 37
    if (bytes + more > backupLimits.indexBytes && groups.at(-1)?.length !== 0) {
      groups.push([])
      bytes = 512
    }
    groups.at(-1)?.push(pack)
    bytes += more
  }
  return groups
}

/** Reads one block. Throws `VaultFileError`, or `VersionError` for a later format. */
export async function readIndexBlock(vault: Vault, name: string): Promise<IndexBlock> {
  const { location } = vault.storage
  const fault = (what: string, cause?: unknown): VaultFileError => new VaultFileError(name, what, { location, cause })
  const file = await vault.storage.get(name, backupLimits.indexBytes)
  if (file === undefined) throw fault('is missing')
  checkHeaderOf(file, vault, name)
  const hash = createHash('sha256').update(file).digest('hex')
  if (indexHash(name) !== hash) throw fault('is damaged: its bytes are not those its name promises')
  const box = makeBox(vault.master, 'index', file.subarray(prefixBytes - saltBytes, prefixBytes))
  const plain = box.open(lastPiece, file.subarray(prefixBytes))
  if (plain === undefined) throw fault('was not written with the key of this vault')
  try {
    const [writer, packs] = asList(decodeCbor(plain), 2)
    return { hash, writer: asText(writer), packs: asList(packs).map(decodeListing) }
  } catch (error) {
    throw fault((error as Error).message, error)
  }
}

/** The header's fault as the file's: only a later version is another matter. */
export function checkHeaderOf(
  file: Uint8Array,
  vault: Vault,
  name: string,
  type: 'index' | 'manifest' | 'pack' = 'index',
): void {
  const { location } = vault.storage
  try {
    checkHeader(file, type, `${name} in vault ${location}`, vault.encryption)
  } catch (error) {
    if ((error as { code?: string }).code === 'VERSION') throw error
    throw new VaultFileError(name, 'is damaged: it does not begin as a file of this vault does', {
      location,
      cause: error,
    })
  }
}
