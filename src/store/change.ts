/**
 * Reads the header of an Automerge change chunk without WASM (format: https://automerge.org/automerge-binary-format-spec/).
 * Chunks are kept and sent uncompressed, so that the hash is the SHA-256 of bytes that are there.
 */
import { createHash } from 'node:crypto'
import { RefusedError, type ActorId, type ChangeHash } from '../model/index.ts'

export interface ChangeHeader {
  readonly hash: ChangeHash
  readonly deps: readonly ChangeHash[]
  readonly actor: ActorId
  readonly seq: number
  /** The change's order, µs. */
  readonly time: number
}

const magic = Uint8Array.of(0x85, 0x6f, 0x4a, 0x83)
const changeType = 1
/** Dependencies of one change: the heads its author saw. Writers of one site are bounded by the members set. */
const maxDeps = 10_000

/** Reads and checks one whole chunk: magic, type, exact length, checksum. Throws `RefusedError`. */
export function readChangeHeader(chunk: Uint8Array): ChangeHeader {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
  if (bytes.length < 12 || !magic.every((byte, i) => bytes[i] === byte))
    throw new RefusedError('not an Automerge chunk')
  if (bytes[8] !== changeType) throw new RefusedError(`chunk type ${bytes[8]} is not an uncompressed change`)
  const cursor = { at: 9 }
  const length = unsigned(bytes, cursor)
  if (cursor.at + length !== bytes.length) throw new RefusedError('a change is not as long as it says')
  const digest = createHash('sha256').update(bytes.subarray(8)).digest()
  if (digest.compare(bytes, 4, 8, 0, 4) !== 0) throw new RefusedError('a change does not have its checksum')
  const depCount = unsigned(bytes, cursor)
  if (depCount > maxDeps || cursor.at + depCount * 32 > bytes.length)
    throw new RefusedError('a change has too many dependencies')
  const deps: ChangeHash[] = []
  for (let i = 0; i < depCount; i++, cursor.at += 32)
    deps.push(bytes.toString('hex', cursor.at, cursor.at + 32) as ChangeHash)
  const actorLength = unsigned(bytes, cursor)
  if (actorLength !== 24 || cursor.at + actorLength > bytes.length)
    throw new RefusedError('a change has no 24-byte actor')
  const actor = bytes.toString('hex', cursor.at, cursor.at + 24) as ActorId
  cursor.at += 24
  const seq = unsigned(bytes, cursor)
  unsigned(bytes, cursor)
  const time = signed(bytes, cursor)
  return { hash: digest.toString('hex') as ChangeHash, deps, actor, seq, time }
}

/** Reads one unsigned LEB128 number of at most 53 bits. */
function unsigned(bytes: Uint8Array, cursor: { at: number }): number {
  let value = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[cursor.at++]
    if (byte === undefined || scale > 2 ** 49) throw new RefusedError('a change has a number that does not end')
    value += (byte & 0x7f) * scale
    if (!Number.isSafeInteger(value)) throw new RefusedError('a change has a number out of range')
    if (byte < 0x80) return value
  }
}

/** Reads one signed LEB128 number of at most 53 bits. */
function signed(bytes: Uint8Array, cursor: { at: number }): number {
  let value = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[cursor.at++]
    if (byte === undefined || scale > 2 ** 49) throw new RefusedError('a change has a number that does not end')
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return (byte & 0x40) === 0 ? value : value - scale * 128
  }
}
