/**
 * Messages on a stream: an unsigned varint (LEB128, at most 4 bytes) of the message's length plus one, then the message.
 * A zero ends the sequence, so that a stream that was cut is never taken for one that ended.
 */
import { Uint8ArrayList } from 'uint8arraylist'
import { RefusedError } from '../../model/index.ts'

export const endOfMessages: Uint8Array = Uint8Array.of(0)

/** Longest header: 4 bytes hold 2^28 − 1, far above any message. */
const headerBytes = 4

/** Gives the bytes that go before a message of this length. */
export function frameHeader(length: number): Uint8Array {
  const bytes: number[] = []
  let rest = length + 1
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80)
    rest >>>= 7
  }
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

/** Takes bytes as they come and gives whole messages. Refuses a length above the limit before it holds the message. */
export class FrameDecoder {
  readonly #bytes = new Uint8ArrayList()
  readonly #maxBytes: number

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bufferedBytes(): number {
    return this.#bytes.byteLength
  }

  push(chunk: Uint8Array | Uint8ArrayList): void {
    this.#bytes.append(chunk)
  }

  /** The next message, `end`, or `undefined` until more bytes come. Throws `RefusedError`. */
  next(): Uint8Array | 'end' | undefined {
    let value = 0
    let length = 0
    for (;;) {
      if (length >= this.#bytes.byteLength) return undefined
      if (length === headerBytes) throw new RefusedError('a message with a header of more than 4 bytes was refused')
      const byte = this.#bytes.get(length)
      value += (byte & 0x7f) * 2 ** (7 * length)
      length += 1
      if (byte < 0x80) break
    }
    if (value === 0) {
      this.#bytes.consume(length)
      return 'end'
    }
    const size = value - 1
    if (size > this.#maxBytes)
      throw new RefusedError(`a message of ${size} bytes was refused: the limit is ${this.#maxBytes}`)
    if (this.#bytes.byteLength < length + size) return undefined
    const message = this.#bytes.slice(length, length + size)
    this.#bytes.consume(length + size)
    return message
  }
}
