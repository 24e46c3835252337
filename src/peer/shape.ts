/**
 * Bounded checks on decoded CBOR. Everything a peer sends goes through these before anything else looks at it; what
 * does not fit is a `RefusedError` that names the message and the fault, never the content.
 */
import { decode } from 'cborg'
import {
  parseDocumentId,
  parseNodeId,
  RefusedError,
  type ActorId,
  type ChangeHash,
  type DocumentId,
  type NodeId,
  type RunId,
} from '../model/index.ts'

/** Decodes one CBOR item strictly: definite lengths, no tags, no `undefined`, no duplicate keys, nothing behind it. */
export function decodeCbor(bytes: Uint8Array, what: string): unknown {
  try {
    return decode(bytes, { allowIndefinite: false, allowUndefined: false, strict: true, rejectDuplicateMapKeys: true })
  } catch (cause) {
    throw new RefusedError(`${what}: the bytes are not the CBOR of this protocol`, { cause })
  }
}

export function refuse(what: string, fault: string): never {
  throw new RefusedError(`${what}: ${fault}`)
}

export function asArray(value: unknown, what: string, most: number): readonly unknown[] {
  if (!Array.isArray(value)) return refuse(what, 'a list was expected')
  if (value.length > most) return refuse(what, `${value.length} items, at most ${most} are allowed`)
  return value
}

/** A list with exactly this many items. */
export function asTuple(value: unknown, what: string, length: number): readonly unknown[] {
  const items = asArray(value, what, length)
  return items.length === length ? items : refuse(what, `${items.length} items instead of ${length}`)
}

export function asText(value: unknown, what: string, most: number): string {
  if (typeof value !== 'string') return refuse(what, 'text was expected')
  if (value.length > most) return refuse(what, `${value.length} characters, at most ${most} are allowed`)
  return value
}

export function asBytes(value: unknown, what: string, most: number): Uint8Array {
  if (!(value instanceof Uint8Array)) return refuse(what, 'bytes were expected')
  if (value.length > most) return refuse(what, `${value.length} bytes, at most ${most} are allowed`)
  return value
}

/** Exactly this many bytes, as lower-case hex. */
export function asHex(value: unknown, what: string, length: number): string {
  const bytes = asBytes(value, what, length)
  if (bytes.length !== length) return refuse(what, `${bytes.length} bytes instead of ${length}`)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

export function asCount(value: unknown, what: string, most: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    return refuse(what, 'a whole number from 0 was expected')
  return value <= most ? value : refuse(what, `${value} is more than ${most}`)
}

export function asFlag(value: unknown, what: string): boolean {
  return typeof value === 'boolean' ? value : refuse(what, 'true or false was expected')
}

export function asNode(value: unknown, what: string): NodeId {
  const text = asText(value, what, 64)
  try {
    return parseNodeId(text)
  } catch (cause) {
    throw new RefusedError(`${what}: not a node id`, { cause })
  }
}

export function asDocument(value: unknown, what: string): DocumentId {
  const text = asText(value, what, 300)
  try {
    parseDocumentId(text)
  } catch (cause) {
    throw new RefusedError(`${what}: not a document id`, { cause })
  }
  return text as DocumentId
}

export function asRun(value: unknown, what: string): RunId {
  const text = asText(value, what, 17)
  return /^[0-9a-z]{9}[0-9a-f]{8}$/.test(text) ? (text as RunId) : refuse(what, 'not a run id')
}

export function asActor(value: unknown, what: string): ActorId {
  return asHex(value, what, 24) as ActorId
}

export function asHash(value: unknown, what: string): ChangeHash {
  return asHex(value, what, 32) as ChangeHash
}
