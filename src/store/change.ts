/**
 * Reads the header of an Automerge change chunk without WASM (format: https://automerge.org/automerge-binary-format-spec/).
 * Chunks are kept and sent uncompressed, so that the hash is the SHA-256 of bytes that are there.
 */
import { createHash } from 'node:crypto'
import { RefusedError, type ActorId, type ChangeHash } from '../model/index.ts'
import { checkColumns } from './change-columns.ts'
import { readSigned, readUnsigned, type Cursor } from './leb128.ts'

export interface ChangeHeader {
  readonly hash: ChangeHash
  readonly deps: readonly ChangeHash[]
  readonly actor: ActorId
  readonly seq: number
  /** The change's order, µs. */
  readonly time: number
  /** Where the header ends in the chunk, bytes. */
  readonly end: number
}

const magic = Uint8Array.of(0x85, 0x6f, 0x4a, 0x83)
const changeType = 1
/** Dependencies of one change: the heads its author saw. Writers of one site are bounded by the members set. */
const maxDeps = 10_000
/** Other actors that the operations of one change refer to: authors of the values it overwrites. */
const maxActors = 10_000

/** Reads and checks one whole chunk: magic, type, exact length, checksum. Throws `RefusedError`. */
export function readChangeHeader(chunk: Uint8Array): ChangeHeader {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
  if (bytes.length < 12 || !magic.every((byte, i) => bytes[i] === byte))
    throw new RefusedError('not an Automerge chunk')
  if (bytes[8] !== changeType) throw new RefusedError(`chunk type ${bytes[8]} is not an uncompressed change`)
  const cursor = { at: 9 }
  const length = readUnsigned(bytes, cursor)
  if (cursor.at + length !== bytes.length) throw new RefusedError('a change is not as long as it says')
  const digest = createHash('sha256').update(bytes.subarray(8)).digest()
  if (digest.compare(bytes, 4, 8, 0, 4) !== 0) throw new RefusedError('a change does not have its checksum')
  const depCount = readUnsigned(bytes, cursor)
  if (depCount > maxDeps || cursor.at + depCount * 32 > bytes.length)
    throw new RefusedError('a change has too many dependencies')
  const deps: ChangeHash[] = []
  for (let i = 0; i < depCount; i++, cursor.at += 32)
    deps.push(bytes.toString('hex', cursor.at, cursor.at + 32) as ChangeHash)
  const actorLength = readUnsigned(bytes, cursor)
  if (actorLength !== 24 || cursor.at + actorLength > bytes.length)
    throw new RefusedError('a change has no 24-byte actor')
  const actor = bytes.toString('hex', cursor.at, cursor.at + 24) as ActorId
  cursor.at += 24
  const seq = readUnsigned(bytes, cursor)
  readUnsigned(bytes, cursor)
  const time = readSigned(bytes, cursor)
  return { hash: digest.toString('hex') as ChangeHash, deps, actor, seq, time, end: cursor.at }
}

/** Checks that the operations of a change, whose header was read, are few enough to be decoded. Throws `RefusedError`. */
export function checkOperations(chunk: Uint8Array, header: ChangeHeader): void {
  const cursor = { at: header.end }
  skipBytes(chunk, cursor)
  const actors = readUnsigned(chunk, cursor)
  if (actors > maxActors) throw new RefusedError(`a change that names ${actors} other actors`)
  for (let i = 0; i < actors; i++) skipBytes(chunk, cursor)
  checkColumns(chunk, cursor)
}

function skipBytes(chunk: Uint8Array, cursor: Cursor): void {
  const length = readUnsigned(chunk, cursor)
  if (cursor.at + length > chunk.length) throw new RefusedError('a change is cut short')
  cursor.at += length
}
