/** Columns of 64-bit integers, bools, texts and qualities. */
import { InvalidInputError, limits } from '../../model/index.ts'
import { ByteReader, ByteWriter, damaged } from './bytes.ts'
import { readPlanes, writePlanes } from './planes.ts'
import type { RangeDecoder } from './range-coder.ts'
import { scratch } from './scratch.ts'
import {
  decodeSequence,
  encodeSequence,
  planSequence,
  readSequence,
  readSymbols,
  writeSequence,
  type Sequence,
} from './sequence.ts'
import { putSymbols, type Sink } from './sink.ts'

/** How columns are kept. The numbers stand in the format. */
export const intModes = { constant: 0, sequence: 1, planes: 2 } as const
export const boolModes = { allFalse: 0, allTrue: 1, symbols: 2 } as const
export const textModes = { dictionary: 0, list: 1 } as const

const maxPlain = 2n ** 52n

export function encodeInts({ header, coder, raw }: Sink, values: readonly bigint[]): number {
  const n = values.length
  const first = values[0] as bigint
  let allSame = true
  let plain = true
  for (const value of values) {
    allSame &&= value === first
    plain &&= value <= maxPlain && value >= -maxPlain
  }
  if (!plain) {
    const wide = new BigInt64Array(n)
    for (let i = 0; i < n; i++) {
      wide[i] = values[i] as bigint
      if (wide[i] !== values[i]) throw new InvalidInputError(`${values[i]} does not fit 64 bits`)
    }
    writePlanes(raw, new Uint8Array(wide.buffer), n, 8)
    return intModes.planes
  }
  if (allSame) {
    header.signed(Number(first))
    return intModes.constant
  }
  for (let i = 0; i < n; i++) scratch.b[i] = Number(values[i])
  const plan = planSequence(scratch.b, n, scratch.c)
  writeSequence(header, plan)
  encodeSequence(coder, scratch.c, n, plan)
  return intModes.sequence
}

export function encodeBools(sink: Sink, values: readonly boolean[]): number {
  let trues = 0
  for (let i = 0; i < values.length; i++) trues += scratch.b[i] = values[i] === true ? 1 : 0
  if (trues === 0) return boolModes.allFalse
  if (trues === values.length) return boolModes.allTrue
  putSymbols(sink, scratch.b, values.length)
  return boolModes.symbols
}

export function encodeTexts(sink: Sink, values: readonly string[]): number {
  const { header, raw } = sink
  const codes = new Map<string, number>()
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as string
    let code = codes.get(value)
    if (code === undefined) {
      code = codes.size
      codes.set(value, code)
    }
    scratch.b[i] = code
  }
  const isList = codes.size === values.length
  if (!isList) {
    header.varint(codes.size)
    if (codes.size > 1) putSymbols(sink, scratch.b, values.length)
  }
  const lengths = new ByteWriter(2 * codes.size)
  const start = raw.length
  for (const text of codes.keys()) {
    if (!text.isWellFormed()) throw new InvalidInputError('a text is not well-formed Unicode')
    lengths.varint(Buffer.byteLength(text))
  }
  raw.bytes(lengths.view())
  for (const text of codes.keys()) raw.text(text)
  header.varint(raw.length - start)
  return isList ? textModes.list : textModes.dictionary
}

export type IntParameters =
  | { readonly kind: 'constant'; readonly value: bigint }
  | { readonly kind: 'sequence'; readonly plan: Sequence }
  | { readonly kind: 'planes' }

export function readIntParameters(header: ByteReader, mode: number): IntParameters {
  if (mode === intModes.constant) return { kind: 'constant', value: BigInt(header.signed()) }
  if (mode === intModes.sequence) return { kind: 'sequence', plan: readSequence(header) }
  return mode === intModes.planes ? { kind: 'planes' } : damaged(`unknown mode ${mode} of an integer column`)
}

export function decodeInts(parameters: IntParameters, n: number, coder: RangeDecoder, raw: Uint8Array): BigInt64Array {
  const out = new BigInt64Array(n)
  if (parameters.kind === 'constant') return out.fill(parameters.value)
  if (parameters.kind === 'planes') {
    readPlanes(raw, n, 8, new Uint8Array(out.buffer))
    return out
  }
  decodeSequence(coder, parameters.plan, n, scratch.b)
  for (let i = 0; i < n; i++) {
    const value = scratch.b[i] as number
    if (!Number.isSafeInteger(value)) damaged('an integer is too large')
    out[i] = BigInt(value)
  }
  return out
}

/** `undefined`: all alike, `fill`. */
export interface SymbolParameters {
  readonly plan: Sequence | undefined
  readonly fill: number
}

export function readBoolParameters(header: ByteReader, mode: number): SymbolParameters {
  if (mode > boolModes.symbols) damaged(`unknown mode ${mode} of a bool column`)
  return { plan: mode === boolModes.symbols ? readSymbols(header) : undefined, fill: mode }
}

/** Reads symbols from 0 to `most`. */
export function decodeSymbols(
  { plan, fill }: SymbolParameters,
  n: number,
  most: number,
  coder: RangeDecoder,
): Uint8Array {
  const out = new Uint8Array(n)
  if (plan === undefined) return out.fill(fill)
  decodeSequence(coder, plan, n, scratch.b)
  for (let i = 0; i < n; i++) {
    const symbol = scratch.b[i] as number
    if (symbol < 0 || symbol > most) damaged('a symbol is out of range')
    out[i] = symbol
  }
  return out
}

export interface TextParameters {
  readonly distinct: number
  /** Absent for a list and for one text. */
  readonly plan: Sequence | undefined
  readonly isList: boolean
  readonly rawBytes: number
}

export function readTextParameters(header: ByteReader, mode: number, n: number): TextParameters {
  if (mode > textModes.list) damaged(`unknown mode ${mode} of a text column`)
  const isList = mode === textModes.list
  const distinct = isList ? n : header.count(n, 'texts')
  if (distinct === 0) damaged('a text column without texts')
  const plan = !isList && distinct > 1 ? readSymbols(header) : undefined
  return { distinct, plan, isList, rawBytes: header.count(limits.batchRawBytes, 'bytes') }
}

export function decodeTexts(parameters: TextParameters, n: number, coder: RangeDecoder, raw: Uint8Array): string[] {
  const { plan, isList } = parameters
  const distinct = isList ? n : parameters.distinct
  const input = new ByteReader(raw)
  const lengths: number[] = []
  for (let i = 0; i < distinct; i++) lengths.push(input.count(limits.stringBytes, 'bytes of a text'))
  const texts = lengths.map((length) => input.text(length))
  if (input.left !== 0) damaged('a text column has bytes left over')
  if (isList) return texts
  if (plan !== undefined) decodeSequence(coder, plan, n, scratch.b)
  const out: string[] = []
  for (let i = 0; i < n; i++)
    out.push(texts[plan === undefined ? 0 : (scratch.b[i] as number)] ?? damaged('a text is not in its dictionary'))
  return out
}
