/** Columns of float64. See docs/batch-codec.md, "Float columns". */
import { InvalidInputError } from '../../model/index.ts'
import { damaged, type ByteReader } from './bytes.ts'
import { readPlanes, writePlanes } from './planes.ts'
import type { RangeDecoder } from './range-coder.ts'
import { scratch } from './scratch.ts'
import { decodeSequence, encodeSequence, planSequence, readSequence, writeSequence, type Sequence } from './sequence.ts'
import type { Sink } from './sink.ts'

/** How a float column is kept. The numbers stand in the format. */
export const floatModes = { constant: 0, decimal: 1, planes64: 2, planes32: 3 } as const

const single = 0x20
const corrected = 0x40
const patched = 0x80
/** Exponent of a constant that is no decimal. */
const rawConstant = 0xff

/** 10^22 is the last power of ten that a float64 holds exactly. */
const maxExponent = 22
const powers = Float64Array.from({ length: maxExponent + 1 }, (_, k) => Number(`1e${k}`))
/** Scaled integers stay below this, so that differences are exact. */
const maxScaled = 2 ** 52
/** A decimal this near (8 units in the last place) is kept with a correction. */
const nearness = 2 ** -49
/** Estimated bits of a value that fits no decimal: position and eight bytes. */
const patchBits = 80
/** Bits a value from which on byte planes may be shorter; below, the estimates are not good enough to tell. */
const planesFrom = 24
const bitsPerDigit = Math.log2(10)

const floats = new Float64Array(2)
const words = new Uint32Array(floats.buffer)
const bytes8 = new Uint8Array(floats.buffer)
const needed = new Int32Array(maxExponent + 2)

interface Decimals {
  readonly exponent: number
  readonly isSingle: boolean
  readonly patches: number
  readonly corrected: boolean
  readonly plan: Sequence
  readonly corrections: Sequence | undefined
  readonly bits: number
}

/** Writes a column and gives its mode. */
export function encodeFloats(sink: Sink, values: Float64Array, n: number): number {
  let allSame = true
  const first = values[0] as number
  for (let i = 0; i < n; i++) {
    const value = values[i] as number
    if (value - value !== 0) throw new InvalidInputError(`${value} is not a value: leave the field out`)
    allSame &&= Object.is(value, first)
  }
  if (allSame) return encodeConstant(sink, first)
  const slack = singleSlack(values, n)
  const isSingle = slack === 0
  const decimals = planDecimals(values, n, slack <= nearness)
  if (decimals === undefined || (decimals.bits > planesFrom * n && decimals.bits > planeBits(values, n, isSingle))) {
    const width = isSingle ? 4 : 8
    const kept = isSingle ? Float32Array.from(values.subarray(0, n)) : values
    writePlanes(sink.raw, new Uint8Array(kept.buffer, kept.byteOffset, n * width), n, width)
    return isSingle ? floatModes.planes32 : floatModes.planes64
  }
  encodeDecimals(sink, values, n, decimals)
  return floatModes.decimal
}

function encodeConstant({ header }: Sink, value: number): number {
  const exponent = leastExponent(value, false)
  if (exponent <= maxExponent) {
    const power = powers[exponent] as number
    const scaled = Math.round(value * power)
    if (scaled / power === value) {
      header.u8(exponent)
      header.signed(scaled)
      return floatModes.constant
    }
  }
  header.u8(rawConstant)
  floats[0] = value
  header.bytes(bytes8.subarray(0, 8))
  return floatModes.constant
}

/** Largest deviation of a column from float32, in units of the value: 0, or `nearness` at most, or more. */
function singleSlack(values: Float64Array, n: number): number {
  let slack = 0
  for (let i = 0; i < n && slack <= nearness; i++) {
    const value = values[i] as number
    const distance = Math.abs(Math.fround(value) - value)
    if (distance !== 0) slack = distance <= Math.abs(value) * nearness ? nearness : 1
  }
  return slack
}

/** Fewest decimals with which a value is exact or very near; `maxExponent + 1` if there are none. */
function leastExponent(value: number, isSingle: boolean): number {
  if (value === 0) return Object.is(value, -0) ? maxExponent + 1 : 0
  const slack = Math.abs(value) * nearness
  for (let k = 0; k <= maxExponent; k++) {
    const power = powers[k] as number
    const scaled = Math.round(value * power)
    if (scaled > maxScaled || scaled < -maxScaled) break
    const decimal = isSingle ? Math.fround(scaled / power) : scaled / power
    if (Math.abs(decimal - value) <= slack) return k
  }
  return maxExponent + 1
}

/** Plans a column as integers of 10^-k, some of them with a correction, some replaced by patches. Uses all scratch buffers but `a`. */
function planDecimals(values: Float64Array, n: number, isSingle: boolean): Decimals | undefined {
  needed.fill(0)
  for (let i = 0; i < n; i++) (needed[leastExponent(values[i] as number, isSingle)] as number)++
  let exponent = -1
  let least = Infinity
  let beyond = n
  for (let k = 0; k <= maxExponent; k++) {
    beyond -= needed[k] as number
    const bits = beyond * patchBits + n * k * bitsPerDigit
    if ((needed[k] as number) > 0 && bits < least) [exponent, least] = [k, bits]
  }
  if (exponent < 0) return undefined
  const power = powers[exponent] as number
  const { b, c, d, patches } = scratch
  let patchCount = 0
  let correctionCount = 0
  let before = 0
  for (let i = 0; i < n; i++) {
    const value = values[i] as number
    const scaled = Math.round(value * power)
    const decimal = isSingle ? Math.fround(scaled / power) : scaled / power
    c[i] = 0
    if (
      Math.abs(decimal - value) > Math.abs(value) * nearness ||
      Math.abs(scaled) > maxScaled ||
      Object.is(value, -0)
    ) {
      patches[patchCount++] = i
      b[i] = before
      continue
    }
    b[i] = before = scaled
    if (decimal !== value) {
      c[i] = ulpsBetween(decimal, value)
      correctionCount++
    }
  }
  if (patchCount === n) return undefined
  const plan = planSequence(b, n, d)
  const corrections = correctionCount > 0 ? planSequence(c, n, b) : undefined
  return {
    exponent,
    isSingle,
    patches: patchCount,
    corrected: correctionCount > 0,
    plan,
    corrections,
    bits: plan.bits + (corrections?.bits ?? 0) + patchCount * patchBits,
  }
}

/** Units in the last place from one float64 to a near one of the same sign. */
function ulpsBetween(from: number, to: number): number {
  floats[0] = from
  floats[1] = to
  const high = (words[3] as number) - (words[1] as number)
  return high * 0x100000000 + (words[2] as number) - (words[0] as number)
}

/** Moves a float64 by units in the last place. */
function addUlps(value: number, ulps: number): number {
  if (ulps > 0x7fffffff || ulps < -0x7fffffff) damaged('a correction is too large')
  floats[0] = value
  const low = (words[0] as number) + ulps
  words[0] = low
  if (low < 0) words[1] = (words[1] as number) - 1
  else if (low > 0xffffffff) words[1] = (words[1] as number) + 1
  return floats[0]
}

/** Estimates byte planes after zstd: eight bits per byte that differs from the value before. */
function planeBits(values: Float64Array, n: number, isSingle: boolean): number {
  let bytes = 0
  let high = 0
  let low = 0
  for (let i = 0; i < n; i++) {
    floats[0] = values[i] as number
    const h = words[1] as number
    const l = words[0] as number
    bytes += differingBytes(h ^ high) + (isSingle ? 0 : differingBytes(l ^ low))
    high = h
    low = l
  }
  return (isSingle ? Math.min(bytes, 4 * n) : bytes) * 8 + 64
}

function differingBytes(word: number): number {
  return (
    ((word & 0xff) === 0 ? 0 : 1) +
    ((word & 0xff00) === 0 ? 0 : 1) +
    ((word & 0xff0000) === 0 ? 0 : 1) +
    (word >>> 24 === 0 ? 0 : 1)
  )
}

function encodeDecimals({ header, coder, raw }: Sink, values: Float64Array, n: number, decimals: Decimals): void {
  const { exponent, isSingle, patches, plan, corrections } = decimals
  header.u8(
    exponent | (isSingle ? single : 0) | (corrections === undefined ? 0 : corrected) | (patches > 0 ? patched : 0),
  )
  writeSequence(header, plan)
  encodeSequence(coder, scratch.d, n, plan)
  if (corrections !== undefined) {
    writeSequence(header, corrections)
    encodeSequence(coder, scratch.b, n, corrections)
  }
  if (patches > 0) {
    header.varint(patches)
    let before = -1
    for (let i = 0; i < patches; i++) {
      const at = scratch.patches[i] as number
      header.varint(at - before - 1)
      before = at
      floats[0] = values[at] as number
      raw.bytes(bytes8.subarray(0, 8))
    }
  }
}

/** Parameters of a float column, as the header holds them. */
export type FloatParameters =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'planes'; readonly width: 4 | 8 }
  | {
      readonly kind: 'decimal'
      readonly exponent: number
      readonly isSingle: boolean
      readonly plan: Sequence
      readonly corrections: Sequence | undefined
      /** Positions of values that stand in the raw bytes, ascending. */
      readonly patches: readonly number[]
    }

export function readFloatParameters(header: ByteReader, mode: number, n: number): FloatParameters {
  switch (mode) {
    case floatModes.constant: {
      const exponent = header.u8()
      if (exponent !== rawConstant)
        return { kind: 'constant', value: header.signed() / (powers[exponent] ?? damaged('an impossible exponent')) }
      bytes8.set(header.bytes(8))
      return { kind: 'constant', value: checkFinite(floats[0] as number) }
    }
    case floatModes.planes64:
      return { kind: 'planes', width: 8 }
    case floatModes.planes32:
      return { kind: 'planes', width: 4 }
    case floatModes.decimal:
      break
    default:
      damaged(`unknown mode ${mode} of a float column`)
  }
  const byte = header.u8()
  const exponent = byte & 0x1f
  if (exponent > maxExponent) damaged('an impossible exponent')
  const plan = readSequence(header)
  const corrections = (byte & corrected) === 0 ? undefined : readSequence(header)
  const patches: number[] = []
  if ((byte & patched) !== 0) {
    const count = header.count(n, 'patches')
    let at = -1
    for (let i = 0; i < count; i++) {
      at += 1 + header.count(n, 'values')
      if (at >= n) damaged('a patch lies beyond its column')
      patches.push(at)
    }
  }
  return { kind: 'decimal', exponent, isSingle: (byte & single) !== 0, plan, corrections, patches }
}

/** Raw bytes that a float column of `n` values takes. */
export function floatRawBytes(parameters: FloatParameters, n: number): number {
  if (parameters.kind === 'planes') return parameters.width * n
  return parameters.kind === 'decimal' ? 8 * parameters.patches.length : 0
}

export function decodeFloats(
  parameters: FloatParameters,
  n: number,
  coder: RangeDecoder,
  raw: Uint8Array,
): Float64Array {
  const out = new Float64Array(n)
  if (parameters.kind === 'constant') return out.fill(parameters.value)
  if (parameters.kind === 'planes') {
    if (parameters.width === 4) {
      const singles = new Float32Array(n)
      readPlanes(raw, n, 4, new Uint8Array(singles.buffer))
      out.set(singles)
    } else readPlanes(raw, n, 8, new Uint8Array(out.buffer))
  } else {
    const { exponent, isSingle, plan, corrections, patches } = parameters
    const power = powers[exponent] as number
    // The header could only hold positions against the whole batch.
    if (patches.length > 0 && (patches.at(-1) as number) >= n) damaged('a patch lies beyond its column')
    decodeSequence(coder, plan, n, out)
    if (isSingle) for (let i = 0; i < n; i++) out[i] = Math.fround((out[i] as number) / power)
    else if (power !== 1) for (let i = 0; i < n; i++) out[i] = (out[i] as number) / power
    if (corrections !== undefined) {
      decodeSequence(coder, corrections, n, scratch.b)
      for (let i = 0; i < n; i++) if (scratch.b[i] !== 0) out[i] = addUlps(out[i] as number, scratch.b[i] as number)
    }
    for (let i = 0; i < patches.length; i++) {
      bytes8.set(raw.subarray(8 * i, 8 * i + 8))
      out[patches[i] as number] = floats[0] as number
    }
  }
  for (let i = 0; i < n; i++) checkFinite(out[i] as number)
  return out
}

function checkFinite(value: number): number {
  return value - value === 0 ? value : damaged(`${value} stands where a value belongs`)
}
