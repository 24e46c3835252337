/**
 * Who is to blame for a document that was refused. A node passes on what others wrote, and two honest nodes may differ for
 * ever about a revoked author or a forked document, so a refusal counts against the sender only if
 *
 * - the bytes are none that an honest node could hold: a change without whole header or checksum, a seal of another
 *   document, a part that is not what its seal says, a message out of order; or
 * - the sender itself wrote every change, or the sealed journal, that was refused.
 *
 * Everything else is refused all the same, at the cost of one look at a signature, and is not tried again before the next
 * reconciliation. (A false signature under another's actor passes for that author's fault: the store's refusals do not
 * say which check failed.)
 */
import { createHash } from 'node:crypto'
import { actorPrefixOf, RefusedError, type NodeId } from '../model/index.ts'

/** What a peer passed on was refused for what its author did: no fault of the peer. */
export class PassedOnError extends RefusedError {}

/** Whether refused changes count against the node that sent them. */
export function isSendersFault(sender: NodeId, changes: readonly Uint8Array[]): boolean {
  const authors = changes.map(actorOf)
  const own = actorPrefixOf(sender)
  return authors.includes(undefined) || authors.every((actor) => actor?.startsWith(own))
}

const magic = Buffer.of(0x85, 0x6f, 0x4a, 0x83)
const changeType = 1
const hashBytes = 32
const actorBytes = 24

/**
 * The actor in the header of an Automerge change, as hex; `undefined` if these are not the bytes of a whole one. Format:
 * automerge.org/automerge-binary-format-spec: magic, checksum, type, length, dependencies, actor.
 */
function actorOf(change: Uint8Array): string | undefined {
  const bytes = Buffer.from(change.buffer, change.byteOffset, change.length)
  if (bytes.length < 12 || !bytes.subarray(0, 4).equals(magic) || bytes[8] !== changeType) return undefined
  if (!sha256(bytes.subarray(8)).subarray(0, 4).equals(bytes.subarray(4, 8))) return undefined
  const length = readNumber(bytes, 9)
  if (length === undefined || length.end + length.value !== bytes.length) return undefined
  const dependencies = readNumber(bytes, length.end)
  if (dependencies === undefined) return undefined
  const at = dependencies.end + hashBytes * dependencies.value
  return bytes[at] === actorBytes && at + actorBytes < bytes.length
    ? bytes.toString('hex', at + 1, at + 1 + actorBytes)
    : undefined
}

/** An unsigned LEB128 of at most 4 bytes, which hold any length within `limits.changeBytes`. */
function readNumber(bytes: Buffer, from: number): { readonly value: number; readonly end: number } | undefined {
  let value = 0
  for (let i = 0; i < 4; i++) {
    const byte = bytes[from + i]
    if (byte === undefined) return undefined
    value += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return { value, end: from + i + 1 }
  }
  return undefined
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
