/** LEB128 numbers of at most 53 bits, as Automerge writes them (DWARF 5, section 7.6). */
import { RefusedError } from '../model/index.ts'

export interface Cursor {
  at: number
}

export function readUnsigned(bytes: Uint8Array, cursor: Cursor): number {
  return readBits(bytes, cursor).value
}

export function readSigned(bytes: Uint8Array, cursor: Cursor): number {
  const { value, negative, scale } = readBits(bytes, cursor)
  return negative ? value - scale : value
}

function readBits(
  bytes: Uint8Array,
  cursor: Cursor,
): { readonly value: number; readonly negative: boolean; readonly scale: number } {
  let value = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[cursor.at++]
    if (byte === undefined || scale > 2 ** 49) throw new RefusedError('a change has a number that does not end')
    value += (byte & 0x7f) * scale
    if (!Number.isSafeInteger(value)) throw new RefusedError('a change has a number out of range')
    if (byte < 0x80) return { value, negative: (byte & 0x40) !== 0, scale: scale * 128 }
  }
}
