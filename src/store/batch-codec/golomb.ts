/**
 * Integers by an adaptive Golomb–Rice code (S. W. Golomb 1966, R. F. Rice 1979) whose bins learn, as those of CABAC do
 * (Marpe, Schwarz, Wiegand 2003). With fresh bins it costs what Rice's code costs, so 60 readings need no tables; with
 * more it learns how the numbers are distributed.
 */
import { damaged } from './bytes.ts'
import { directBits, Model, type RangeDecoder, type RangeEncoder } from './range-coder.ts'

/** Largest |integer|. */
export const maxSize: number = 2 ** 53

/** Quotients below this are unary; the rest is an Elias gamma code. */
export const bins = 20
const escapeBins = 54
const contexts = { unary: 0, remainder: 3 * bins, sign: 3 * bins + 16, escape: 3 * bins + 19 } as const

/** A fresh model. Remainders and signs are nearly even: a first observation moves them less than it moves the bins. */
const fresh = new Model(contexts.escape + escapeBins)
fresh.seen.fill(4, contexts.remainder, contexts.sign)
fresh.seen.fill(2, contexts.sign, contexts.escape)
const model = new Model(contexts.escape + escapeBins)

/** Values from which on bins depend on the value before. With fewer the three rows cost more to learn than they save. */
const leveledFrom = 256

/** Bits of |value|: 0 for 0. */
export function bitLength(size: number): number {
  return size < 0x80000000 ? 32 - Math.clz32(size) : 63 - Math.clz32(Math.floor(size / 0x80000000))
}

/** Codes `n` integers with |integer| ≤ 2^53. */
export function encodeNumbers(coder: RangeEncoder, numbers: Float64Array, n: number, rice: number): void {
  const unit = 2 ** rice
  const treeBits = Math.min(3, rice)
  model.copy(fresh)
  let level = 0
  let sign = 0
  for (let i = 0; i < n; i++) {
    const value = numbers[i] as number
    const size = Math.abs(value)
    const quotient = size < 0x80000000 ? size >>> rice : Math.floor(size / unit)
    const row = contexts.unary + level * bins
    if (quotient < bins) {
      for (let bin = 0; bin < quotient; bin++) coder.bit(model, row + bin, 1)
      coder.bit(model, row + quotient, 0)
    } else {
      for (let bin = 0; bin < bins; bin++) coder.bit(model, row + bin, 1)
      const rest = quotient - bins + 1
      const length = bitLength(rest) - 1
      for (let bin = 0; bin < length; bin++) coder.bit(model, contexts.escape + bin, 1)
      coder.bit(model, contexts.escape + length, 0)
      encodeDirect(coder, rest - 2 ** length, length)
    }
    if (rice > 0) {
      const remainder = size < 0x80000000 ? size & (unit - 1) : size - quotient * unit
      const low = rice - treeBits
      const top = Math.floor(remainder / 2 ** low)
      const tree = contexts.remainder + (quotient === 0 ? 0 : 8)
      let node = 1
      for (let at = treeBits - 1; at >= 0; at--) {
        const bit = (top >>> at) & 1
        coder.bit(model, tree + node, bit)
        node = 2 * node + bit
      }
      if (low > 0) encodeDirect(coder, remainder - top * 2 ** low, low)
    }
    if (size !== 0) {
      const negative = value < 0 ? 1 : 0
      coder.bit(model, contexts.sign + sign, negative)
      sign = 1 + negative
    }
    level = n < leveledFrom ? 0 : quotient > 2 ? 2 : quotient
  }
}

function encodeDirect(coder: RangeEncoder, value: number, bits: number): void {
  while (bits > directBits) {
    bits -= directBits
    const unit = 2 ** bits
    const top = Math.floor(value / unit)
    coder.direct(top, directBits)
    value -= top * unit
  }
  if (bits > 0) coder.direct(value, bits)
}

/** Reads `n` integers into `out[0..n)`. */
export function decodeNumbers(coder: RangeDecoder, out: Float64Array, n: number, rice: number): void {
  const unit = 2 ** rice
  const treeBits = Math.min(3, rice)
  const low = rice - treeBits
  model.copy(fresh)
  let level = 0
  let sign = 0
  for (let i = 0; i < n; i++) {
    const row = contexts.unary + level * bins
    let quotient = 0
    while (quotient < bins && coder.bit(model, row + quotient) === 1) quotient++
    if (quotient === bins) {
      let length = 0
      while (coder.bit(model, contexts.escape + length) === 1)
        if (++length === escapeBins) damaged('a sequence holds an impossible number')
      quotient = bins - 1 + 2 ** length + decodeDirect(coder, length)
    }
    let size = quotient * unit
    if (rice > 0) {
      const tree = contexts.remainder + (quotient === 0 ? 0 : 8)
      let node = 1
      for (let at = 0; at < treeBits; at++) node = 2 * node + coder.bit(model, tree + node)
      size += (node - (1 << treeBits)) * 2 ** low
      if (low > 0) size += decodeDirect(coder, low)
    }
    if (size > maxSize) damaged('a sequence holds an impossible number')
    if (size !== 0) {
      const negative = coder.bit(model, contexts.sign + sign)
      sign = 1 + negative
      if (negative === 1) size = -size
    }
    out[i] = size
    level = n < leveledFrom ? 0 : quotient > 2 ? 2 : quotient
  }
}

function decodeDirect(coder: RangeDecoder, bits: number): number {
  let value = 0
  while (bits > directBits) {
    value = value * 2 ** directBits + coder.direct(directBits)
    bits -= directBits
  }
  return bits > 0 ? value * 2 ** bits + coder.direct(bits) : value
}
