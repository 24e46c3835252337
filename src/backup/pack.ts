/**
 * A pack: header, salt, sealed parts one after the other, its sealed directory, and the directory's length (four bytes).
 * Part n is sealed as piece n. A part's plain form begins with one byte: 0, the content follows; 1, its length (four
 * bytes) and its zstd form (RFC 8878) follow.
 */
import { zstdDecompressSync } from 'node:zlib'
import {
  lastPiece,
  makeBox,
  partIdBytes,
  partIdOf,
  prefixBytes,
  type Box,
  type MasterKey,
  type PartId,
  type PartNames,
} from './box.ts'
import { asBytes, asInteger, asList, asNames, decodeCbor, encode } from './cbor.ts'
import { backupLimits } from './constants.ts'
import { packName } from './names.ts'

/** What an index block and the pack's own directory say about a pack. */
export interface PackListing {
  /** SHA-256 of the file, hex; in the directory, which is inside the file, empty. */
  readonly hash: string
  readonly bytes: number
  readonly salt: Buffer
  readonly parts: readonly PartId[]
  /** Stored bytes of each part. They follow each other from `prefixBytes` on. */
  readonly lengths: readonly number[]
}

export interface PartPlace {
  readonly pack: PackListing
  readonly piece: number
  readonly offset: number
  readonly length: number
}

export function placesOf(pack: PackListing): (readonly [PartId, PartPlace])[] {
  let offset = prefixBytes
  return pack.parts.map((id, piece) => {
    const length = pack.lengths[piece] as number
    const place = { pack, piece, offset, length }
    offset += length
    return [id, place] as const
  })
}

export function encodeListing(pack: PackListing): unknown[] {
  return [
    Buffer.from(pack.hash, 'hex'),
    pack.bytes,
    pack.salt,
    Buffer.concat(pack.parts.map(partIdBytes)),
    [...pack.lengths],
  ]
}

export function decodeListing(value: unknown): PackListing {
  const [hash, bytes, salt, parts, lengths] = asList(value, 5)
  const ids = asNames(parts).map(partIdOf)
  return {
    hash: asBytes(hash).toString('hex'),
    bytes: asInteger(bytes),
    salt: asBytes(salt, 32),
    parts: ids,
    lengths: asList(lengths, ids.length).map(asInteger),
  }
}

export function encodeDirectory(pack: PackListing): Uint8Array {
  return encode(encodeListing(pack))
}

/** Opens the directory of a pack; `undefined` if it is not what was written. */
export function openDirectory(box: Box, sealed: Uint8Array): PackListing | undefined {
  const plain = box.open(lastPiece, sealed)
  return plain === undefined ? undefined : decodeListing(decodeCbor(plain))
}

export function packBox(master: MasterKey, salt: Uint8Array): Box {
  return makeBox(master, 'pack', salt)
}

export function packPlain(content: Uint8Array, compressed: Uint8Array): Buffer {
  // Three hundredths saved or more: else reading is spared the work.
  if (compressed.length + 4 >= content.length * 0.97) return Buffer.concat([Uint8Array.of(0), content])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(content.length)
  return Buffer.concat([Uint8Array.of(1), length, compressed])
}

/** Opens one sealed part and compares it with its name; `undefined` if it is not what was written. */
export function openPart(
  box: Box,
  names: PartNames,
  id: PartId,
  piece: number,
  sealed: Uint8Array,
): Buffer | undefined {
  const plain = box.open(piece, sealed)
  const content = plain === undefined ? undefined : contentOf(plain)
  return content !== undefined && names.of(content) === id ? content : undefined
}

function contentOf(plain: Buffer): Buffer | undefined {
  if (plain[0] === 0) return plain.subarray(1)
  if (plain[0] !== 1 || plain.length < 5) return undefined
  const length = plain.readUInt32BE(1)
  if (length > backupLimits.partBytes) return undefined
  try {
    const content = zstdDecompressSync(plain.subarray(5), { maxOutputLength: Math.max(1, length) })
    return content.length === length ? content : undefined
  } catch {
    // Not zstd, or longer than it says: not what was written.
    return undefined
  }
}

export function fileOf(pack: PackListing): string {
  return packName(pack.hash)
}
