/**
 * An adaptive binary range coder: G. N. N. Martin, "Range encoding" (1979), with the carry and normalization of Igor
 * Pavlov's LZMA coder, on 31 bits so that all of it stays in JavaScript's fast integers. docs/batch-codec.md has the
 * arithmetic step by step.
 */
import { damaged } from './bytes.ts'

/** Widest step of `direct`, bits. */
export const directBits = 12

/** Probabilities have 15 bits and never come nearer to 0 and 1 than this. */
const floor = 31
const ceiling = 32_768 - floor
const half = 16_384

/** Weight of the n-th observation in 1/65536: Krichevsky–Trofimov's 1/(n + 2), not below 1/limit, so that old ones fade. */
const rateLimit = 160
const rates = Int32Array.from({ length: rateLimit }, (_, n) => Math.floor(65_536 / (n + 2)))

/** Adaptive bits: the probability of 0 and how often each was seen. */
export class Model {
  readonly chance: Uint16Array
  readonly seen: Uint8Array

  constructor(contexts: number) {
    this.chance = new Uint16Array(contexts).fill(half)
    this.seen = new Uint8Array(contexts)
  }

  /** Takes over what another model of the same size has learned. */
  copy(other: Model): void {
    this.chance.set(other.chance)
    this.seen.set(other.seen)
  }
}

export class RangeEncoder {
  #bytes = new Uint8Array(65_536)
  #length = 0
  #low = 0
  #range = 0x7fffffff

  reset(): void {
    this.#length = 0
    this.#low = 0
    this.#range = 0x7fffffff
  }

  /** Codes one bit and lets its context learn. */
  bit(model: Model, context: number, bit: number): void {
    const { chance, seen } = model
    const p = chance[context] as number
    const n = seen[context] as number
    const bound = (this.#range >>> 15) * p
    if (bit === 0) {
      this.#range = bound
      chance[context] = p + (((ceiling - p) * (rates[n] as number)) >> 16)
    } else {
      this.#low = (this.#low + bound) | 0
      if (this.#low < 0) this.#carry()
      this.#range -= bound
      chance[context] = p + (((floor - p) * (rates[n] as number)) >> 16)
    }
    if (n < rateLimit - 1) seen[context] = n + 1
    if (this.#range < 0x800000) this.#shift()
  }

  /** Codes `bits` ≤ 12 equally likely bits. */
  direct(value: number, bits: number): void {
    const step = this.#range >>> bits
    this.#low = (this.#low + step * value) | 0
    if (this.#low < 0) this.#carry()
    this.#range = step
    if (step < 0x800000) this.#shift()
  }

  /** Ends the stream with as few bytes as name a number inside the last range. The view is valid until the next use. */
  finish(): Uint8Array {
    const end = this.#low + this.#range
    const unit = Math.ceil(this.#low / 0x800000) * 0x800000 < end ? 0x800000 : 0x8000
    const point = Math.ceil(this.#low / unit) * unit
    this.#low = point | 0
    if (this.#low < 0) this.#carry()
    this.#put()
    this.#put()
    // The decoder reads zeros beyond the end.
    while (this.#length > 0 && this.#bytes[this.#length - 1] === 0) this.#length--
    return this.#bytes.subarray(0, this.#length)
  }

  #carry(): void {
    this.#low &= 0x7fffffff
    let at = this.#length - 1
    while (at >= 0 && this.#bytes[at] === 0xff) this.#bytes[at--] = 0
    if (at >= 0) (this.#bytes[at] as number)++
  }

  #shift(): void {
    do {
      this.#put()
      this.#range <<= 8
    } while (this.#range < 0x800000)
  }

  #put(): void {
    if (this.#length === this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#bytes.length)
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    this.#bytes[this.#length++] = this.#low >>> 23
    this.#low = (this.#low & 0x7fffff) << 8
  }
}

export class RangeDecoder {
  readonly #bytes: Uint8Array
  #at = 4
  #last: number
  #code: number
  #range = 0x7fffffff

  constructor(bytes: Uint8Array) {
    const [a = 0, b = 0, c = 0, d = 0] = bytes
    this.#bytes = bytes
    this.#last = d
    this.#code = (a << 23) | (b << 15) | (c << 7) | (d >>> 1)
    if (this.#code === 0x7fffffff) damaged('a stream begins with an impossible number')
  }

  bit(model: Model, context: number): number {
    const { chance, seen } = model
    const p = chance[context] as number
    const n = seen[context] as number
    const bound = (this.#range >>> 15) * p
    let bit = 0
    if (this.#code < bound) {
      this.#range = bound
      chance[context] = p + (((ceiling - p) * (rates[n] as number)) >> 16)
    } else {
      bit = 1
      this.#code -= bound
      this.#range -= bound
      chance[context] = p + (((floor - p) * (rates[n] as number)) >> 16)
    }
    if (n < rateLimit - 1) seen[context] = n + 1
    if (this.#range < 0x800000) this.#shift()
    return bit
  }

  direct(bits: number): number {
    const step = this.#range >>> bits
    const value = (this.#code / step) | 0
    if (value >>> bits !== 0) damaged('a stream holds an impossible number')
    this.#code -= value * step
    this.#range = step
    if (step < 0x800000) this.#shift()
    return value
  }

  #shift(): void {
    do {
      const next = this.#at < this.#bytes.length ? (this.#bytes[this.#at] as number) : 0
      this.#at++
      this.#code = (this.#code << 8) | ((this.#last & 1) << 7) | (next >>> 1)
      this.#last = next
      this.#range <<= 8
    } while (this.#range < 0x800000)
  }
}
