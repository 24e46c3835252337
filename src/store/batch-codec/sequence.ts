/**
 * Sequences of integers: all columns but byte planes and texts end up here. A prediction (order), then the
 * differences by an adaptive Golomb–Rice code (S. W. Golomb 1966, R. F. Rice 1979; the adaptive bins are those of
 * CABAC, Marpe, Schwarz and Wiegand 2003): with fresh bins it costs what Rice's code costs, so 60 readings need no
 * tables, and with more readings it learns the distribution.
 */
import type { ByteReader, ByteWriter } from './bytes.ts'
import { damaged } from './bytes.ts'
import { bins, bitLength, decodeNumbers, encodeNumbers, maxSize } from './golomb.ts'
import type { RangeDecoder, RangeEncoder } from './range-coder.ts'

/** How a value is predicted. The numbers stand in the format. */
export const orders = { base: 0, previous: 1, slope: 2, line: 3, average: 4 } as const
export type Order = (typeof orders)[keyof typeof orders]

export interface Sequence {
  /** Every value is a multiple of it. */
  divisor: number
  /** If present, values stand for places in this ascending list (before multiplication). */
  ranks: Float64Array | undefined
  order: Order
  /** Rice parameter, 0–31. */
  rice: number
  /** `base`: the value predicted for all; else the first value. */
  base: number
  /** `slope`: the first difference; `line`: last minus first. */
  step: number
  /** Estimated bits of the stream. */
  bits: number
}

const maxRice = 31
const divisorMark = 0xe0
const ranksMark = 0xe1

/** Values from which on, and distinct values up to which, places in a list are tried; estimated bits of an entry. */
const rankedFrom = 128
const maxRanks = 64
const rankBits = 12

const lengths = new Float64Array(64)

/**
 * Chooses how to code `values[0..n)`, n ≥ 1, |value| ≤ 2^52 (or 0 ≤ value ≤ 2^53), and leaves the differences in `out`.
 * Changes `values`.
 */
export function planSequence(values: Float64Array, n: number, out: Float64Array): Sequence {
  const divisor = greatestDivisor(values, n)
  if (divisor > 1) for (let i = 0; i < n; i++) values[i] = (values[i] as number) / divisor
  const plan = planOrder(values, n, out, divisor)
  const ranks = n < rankedFrom ? undefined : findRanks(values, n)
  if (ranks === undefined) return plan
  const places = new Map(Array.from(ranks, (value, place) => [value, place]))
  for (let i = 0; i < n; i++) values[i] = places.get(values[i] as number) as number
  const plain = out.slice(0, n)
  const ranked = planOrder(values, n, out, divisor)
  if (ranked.bits + rankBits * ranks.length < plan.bits) return { ...ranked, ranks }
  out.set(plain)
  return plan
}

function planOrder(values: Float64Array, n: number, out: Float64Array, divisor: number): Sequence {
  const plan: Sequence = {
    divisor,
    ranks: undefined,
    order: orders.previous,
    rice: 0,
    base: values[0] as number,
    step: 0,
    bits: 0,
  }
  chooseOrder(values, n, plan)
  differences(values, n, plan, out)
  chooseRice(out, n, plan)
  return plan
}

/** The distinct values, ascending, if they are few and lie apart. */
function findRanks(values: Float64Array, n: number): Float64Array | undefined {
  const distinct = new Set<number>()
  for (let i = 0; i < n; i++) {
    distinct.add(values[i] as number)
    if (distinct.size > maxRanks) return undefined
  }
  const ranks = Float64Array.from(distinct).sort()
  const span = (ranks.at(-1) as number) - (ranks[0] as number)
  return span < 2 * ranks.length || span > maxSize ? undefined : ranks
}

/** Plans symbols (small numbers from 0 without distance) that are coded as they are. */
export function planSymbols(symbols: Float64Array, n: number): Sequence {
  const plan: Sequence = { divisor: 1, ranks: undefined, order: orders.base, rice: 0, base: 0, step: 0, bits: 0 }
  chooseRice(symbols, n, plan)
  return plan
}

function greatestDivisor(values: Float64Array, n: number): number {
  let divisor = 0
  for (let i = 0; i < n && divisor !== 1; i++) {
    let a = Math.abs(values[i] as number)
    if (divisor === 0 || a % divisor !== 0) {
      let b = divisor
      while (b !== 0) [a, b] = [b, a % b]
      divisor = a
    }
  }
  return Math.max(1, divisor)
}

function chooseOrder(values: Float64Array, n: number, plan: Sequence): void {
  const first = values[0] as number
  const span = (values[n - 1] as number) - first
  let sum = 0
  for (let i = 0; i < n; i++) sum += (values[i] as number) - first
  const mean = first + Math.round(sum / n)
  let sumBase = Math.abs(first - mean)
  let sumPrevious = 0
  let sumSlope = 0
  let sumLine = 0
  let sumAverage = 0
  let before = first
  let last = first
  let step = n > 1 ? (values[1] as number) - first : 0
  for (let i = 1; i < n; i++) {
    const value = values[i] as number
    const difference = value - last
    sumBase += Math.abs(value - mean)
    sumPrevious += Math.abs(difference)
    sumSlope += Math.abs(difference - step)
    sumLine += Math.abs(value - first - Math.floor((i * span) / (n - 1)))
    sumAverage += Math.abs(value - Math.floor((last + before) / 2))
    before = last
    last = value
    step = difference
  }
  // Sums bound every single difference: below the limit all of them are exact.
  let best = sumPrevious
  const consider = (sum: number, order: Order, base: number, extra: number): void => {
    if (sum >= best || sum > maxSize) return
    best = sum
    plan.order = order
    plan.base = base
    plan.step = extra
  }
  consider(sumBase, orders.base, mean, 0)
  consider(sumAverage, orders.average, first, 0)
  consider(sumSlope, orders.slope, first, n > 1 ? (values[1] as number) - first : 0)
  consider(sumLine, orders.line, first, span)
}

function differences(values: Float64Array, n: number, plan: Sequence, out: Float64Array): void {
  const { order, base, step } = plan
  let before = base
  let last = base
  let slope = step
  for (let i = 0; i < n; i++) {
    const value = values[i] as number
    switch (order) {
      case orders.base:
        out[i] = value - base
        break
      case orders.previous:
        out[i] = value - last
        break
      case orders.slope:
        out[i] = i === 0 ? 0 : value - last - slope
        if (i > 0) slope = value - last
        break
      case orders.line:
        out[i] = value - base - Math.floor((i * step) / Math.max(1, n - 1))
        break
      case orders.average:
        out[i] = value - Math.floor((last + before) / 2)
        break
    }
    before = i === 0 ? value : last
    last = value
  }
}

/** Undoes `differences` in place. */
function integrate(values: Float64Array, n: number, plan: Sequence): void {
  const { divisor, ranks, order, base, step } = plan
  let before = base
  let last = base
  let slope = step
  for (let i = 0; i < n; i++) {
    let value = values[i] as number
    switch (order) {
      case orders.base:
        value += base
        break
      case orders.previous:
        value += last
        break
      case orders.slope:
        slope += value
        value = i === 0 ? base + value : last + slope
        if (i === 0) slope = step
        break
      case orders.line:
        value = base + (Math.floor((i * step) / Math.max(1, n - 1)) + value)
        break
      case orders.average:
        value += Math.floor((last + before) / 2)
        break
    }
    before = i === 0 ? value : last
    last = value
    values[i] = (ranks === undefined ? value : (ranks[value] ?? damaged('a value is not in its list'))) * divisor
  }
}

function chooseRice(values: Float64Array, n: number, plan: Sequence): void {
  lengths.fill(0)
  let most = 0
  let zeros = 0
  for (let i = 0; i < n; i++) {
    const length = bitLength(Math.abs(values[i] as number))
    if (length === 0) zeros++
    if (length > most) most = length
    ;(lengths[length] as number)++
  }
  plan.bits = Infinity
  for (let rice = 0; rice <= Math.min(maxRice, most); rice++) {
    // First bins, remainders and signs; then the bins beyond the first. Learning only makes it less.
    let bits = 2 * n + n * rice - zeros
    for (let length = rice + 1; length <= most; length++) {
      const quotient = length - rice < 6 ? 0.75 * 2 ** (length - rice) : bins + 2 * (length - rice - 4)
      bits += (lengths[length] as number) * Math.min(quotient, bins + 8)
    }
    if (bits > plan.bits) break
    plan.bits = bits
    plan.rice = rice
  }
}

/** Writes the parameters into the header. */
export function writeSequence(header: ByteWriter, plan: Sequence): void {
  if (plan.divisor !== 1) {
    header.u8(divisorMark)
    header.varint(plan.divisor)
  }
  if (plan.ranks !== undefined) {
    header.u8(ranksMark)
    header.u8(plan.ranks.length)
    let before = plan.ranks[0] as number
    header.signed(before)
    for (const value of plan.ranks.subarray(1)) {
      header.varint(value - before)
      before = value
    }
  }
  header.u8((plan.order << 5) | plan.rice)
  header.signed(plan.base)
  if (plan.order === orders.slope || plan.order === orders.line) header.signed(plan.step)
}

/** Parameters of symbols: the Rice parameter alone. */
export function writeSymbols(header: ByteWriter, plan: Sequence): void {
  header.u8(plan.rice)
}

export function readSequence(header: ByteReader): Sequence {
  let divisor = 1
  let byte = header.u8()
  if (byte === divisorMark) {
    divisor = header.varint()
    byte = header.u8()
  }
  let ranks: Float64Array | undefined
  if (byte === ranksMark) {
    ranks = readRanks(header)
    byte = header.u8()
  }
  const order = (byte >>> 5) as Order
  if (order > orders.average) damaged(`unknown order ${order} of a sequence`)
  const base = header.signed()
  const step = order === orders.slope || order === orders.line ? header.signed() : 0
  return { divisor, ranks, order, rice: byte & maxRice, base, step, bits: 0 }
}

function readRanks(header: ByteReader): Float64Array {
  const count = header.u8()
  if (count === 0 || count > maxRanks) damaged('an impossible list of values')
  const ranks = new Float64Array(count)
  let value = (ranks[0] = header.signed())
  for (let i = 1; i < count; i++) ranks[i] = value += header.varint()
  return ranks
}

export function readSymbols(header: ByteReader): Sequence {
  const rice = header.u8()
  if (rice > maxRice) damaged('an impossible Rice parameter')
  return { divisor: 1, ranks: undefined, order: orders.base, rice, base: 0, step: 0, bits: 0 }
}

/** Codes the differences that `planSequence` left (or the symbols themselves). */
export function encodeSequence(coder: RangeEncoder, differences: Float64Array, n: number, plan: Sequence): void {
  encodeNumbers(coder, differences, n, plan.rice)
}

/** Reads `n` values into `out[0..n)`. */
export function decodeSequence(coder: RangeDecoder, plan: Sequence, n: number, out: Float64Array): void {
  decodeNumbers(coder, out, n, plan.rice)
  integrate(out, n, plan)
}
