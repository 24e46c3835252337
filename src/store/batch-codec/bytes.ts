import { DamagedError } from '../../model/index.ts'

/** Raises the one error that bytes of a wrong form give. */
export function damaged(what: string, cause?: unknown): never {
  throw new DamagedError(
    `this batch is damaged: ${what}; fetch its journal again from a peer or a backup`,
    cause === undefined ? undefined : { cause },
  )
}

/** A growing byte buffer that is kept between batches. */
export class ByteWriter {
  #bytes: Buffer
  #length = 0

  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity)
  }

  get length(): number {
    return this.#length
  }

  reset(): void {
    this.#length = 0
  }

  /** The bytes written so far. Valid until the next write or reset. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  /** Makes room for `count` bytes and gives where they start in `buffer()`. */
  reserve(count: number): number {
    const start = this.#length
    this.#length += count
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#length, 2 * this.#bytes.length))
      this.#bytes.copy(grown, 0, 0, start)
      this.#bytes = grown
    }
    return start
  }

  /** The storage itself: only for writing into what `reserve` gave. */
  buffer(): Uint8Array {
    return this.#bytes
  }

  u8(value: number): void {
    const at = this.reserve(1)
    this.#bytes[at] = value
  }

  /** Overwrites one byte that stands already. */
  patch(at: number, value: number): void {
    this.#bytes[at] = value
  }

  /** LEB128 of an integer from 0 to 2^53. */
  varint(value: number): void {
    while (value >= 0x80) {
      this.u8((value % 0x80) | 0x80)
      value = Math.floor(value / 0x80)
    }
    this.u8(value)
  }

  /** A signed integer, |value| ≤ 2^53: first byte continuation, sign and six bits, then LEB128 of the rest. */
  signed(value: number): void {
    const size = Math.abs(value)
    const first = (size % 0x40) | (value < 0 ? 0x40 : 0)
    if (size < 0x40) {
      this.u8(first)
      return
    }
    this.u8(first | 0x80)
    this.varint(Math.floor(size / 0x40))
  }

  bytes(value: Uint8Array): void {
    const at = this.reserve(value.length)
    this.#bytes.set(value, at)
  }

  /** UTF-8, without a length. Gives the number of bytes. */
  text(value: string): number {
    const length = Buffer.byteLength(value)
    const at = this.reserve(length)
    this.#bytes.write(value, at, length, 'utf8')
    return length
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const maxInteger = 2 ** 53

/** Reads what `ByteWriter` writes; anything else is a `DamagedError`. */
export class ByteReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    const value = this.#bytes[this.#at]
    if (value === undefined) damaged('it ends too early')
    this.#at++
    return value
  }

  varint(): number {
    let value = this.u8()
    if (value < 0x80) return value
    value -= 0x80
    for (let factor = 0x80; ; factor *= 0x80) {
      const byte = this.u8()
      value += (byte & 0x7f) * factor
      if (value > maxInteger) damaged('a number is too large')
      if (byte < 0x80) return value
      if (factor > maxInteger) damaged('a number is too long')
    }
  }

  /** A varint that must not be beyond `max`. */
  count(max: number, what: string): number {
    const value = this.varint()
    if (value > max) damaged(`${value} ${what}, at most ${max} are allowed`)
    return value
  }

  signed(): number {
    const first = this.u8()
    let size = first & 0x3f
    if (first >= 0x80) size += this.varint() * 0x40
    if (size > maxInteger) damaged('a number is too large')
    return (first & 0x40) !== 0 && size !== 0 ? -size : size
  }

  /** A view of the next bytes. */
  bytes(length: number): Uint8Array {
    if (length > this.left) damaged('it ends too early')
    const start = this.#at
    this.#at += length
    return this.#bytes.subarray(start, start + length)
  }

  text(length: number): string {
    if (length > this.left) damaged('it ends too early')
    const start = this.#at
    const end = start + length
    this.#at = end
    for (let at = start; at < end; at++) {
      if ((this.#bytes[at] as number) < 0x80) continue
      try {
        return utf8.decode(this.#bytes.subarray(start, end))
      } catch (cause) {
        damaged('a text is not UTF-8', cause)
      }
    }
    return this.#bytes.toString('latin1', start, end)
  }
}
