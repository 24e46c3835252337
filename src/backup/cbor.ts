/** Reads CBOR from a vault: whoever can write to it can put anything there, so every shape is checked. */
import { decode, encode } from 'cborg'
import { DamagedError } from '../model/index.ts'

export { encode }

/** Thrown by the readers below; callers name the file. */
class ShapeError extends DamagedError {
  constructor(what: string) {
    super(`has content of an unexpected form (${what})`)
  }
}

export function decodeCbor(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, { allowIndefinite: false, allowUndefined: false, allowNaN: false, allowInfinity: false })
  } catch (cause) {
    throw new DamagedError('has content that is not CBOR', { cause })
  }
}

export function asList(value: unknown, length?: number): readonly unknown[] {
  if (!Array.isArray(value) || (length !== undefined && value.length !== length)) throw new ShapeError('list')
  return value
}

export function asMap(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array)
    throw new ShapeError('map')
  return value as Record<string, unknown>
}

export function asText(value: unknown, most = 1_000): string {
  if (typeof value !== 'string' || value.length > most) throw new ShapeError('text')
  return value
}

export function asInteger(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new ShapeError('integer')
  return value
}

export function asBytes(value: unknown, length?: number): Buffer {
  if (!(value instanceof Uint8Array) || (length !== undefined && value.length !== length)) throw new ShapeError('bytes')
  return Buffer.from(value.buffer, value.byteOffset, value.length)
}

/** Cuts joined names of 32 bytes apart. */
export function asNames(value: unknown): Buffer[] {
  const joined = asBytes(value)
  if (joined.length % 32 !== 0) throw new ShapeError('names')
  return Array.from({ length: joined.length / 32 }, (_, i) => joined.subarray(i * 32, i * 32 + 32))
}

/** Joins byte strings, each after its length (four bytes, big-endian). */
export function frames(items: readonly Uint8Array[]): Buffer {
  return Buffer.concat(items.flatMap((item) => [frameLength(item.length), item]))
}

export function frameLength(length: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(length)
  return bytes
}

export function readFrames(bytes: Uint8Array): Buffer[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const items: Buffer[] = []
  for (let at = 0; at < buffer.length;) {
    if (at + 4 > buffer.length) throw new ShapeError('frames')
    const length = buffer.readUInt32BE(at)
    if (length > buffer.length - at - 4) throw new ShapeError('frames')
    items.push(buffer.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return items
}
