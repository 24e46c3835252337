/**
 * The entry of an amendments document: one CBOR (RFC 8949) map of at most `limits.entryBytes`, in the deterministic
 * form that `encodeEntry` writes and no other. Floats are always 64 bits wide, every number of CBOR's integer types
 * is an `int`: so 21 and 21.0 come back as what they were, and −0 as −0.
 *
 * ```
 * { value?, quality?,            what is stated; both or neither, and not with `removed`
 *   removed?: true,              the field, or at the key `<time>|*` the record, is removed
 *   over: [[node, value, quality]…],   the reading values the author saw
 *   clears?: [[node, at]…],      the removals of whole records that the author saw
 *   by, at,                      author and its order (µs): together they name the act
 *   note?, why?, user? }
 * ```
 * An entry without value and removal is a note on what the readings say: it states nothing and covers nothing.
 */
import { decode, encode, Token, Tokenizer, Type } from 'cborg'
import {
  checkTime,
  checkValue,
  InvalidInputError,
  LimitError,
  limits,
  parseFieldName,
  parseNodeId,
  qualities,
  type FieldName,
  type NodeId,
  type Quality,
  type TimeUs,
  type Value,
} from '../../model/index.ts'
import type { Amendment } from '../types.ts'

/** Names one act of editing: who, and the author's order (µs). */
export interface Act {
  readonly by: NodeId
  readonly at: number
}

export interface AmendmentEntry {
  readonly amendment: Amendment
  /** Removals of the whole record that the author saw: they do not act on this field any more. */
  readonly clears: readonly Act[]
}

/** Stands for the whole record in a key and is no field name. */
export const wholeRecord = '*'

export type EntryField = FieldName | typeof wholeRecord

export interface EntryKey {
  readonly time: TimeUs
  readonly field: EntryField
}

export function entryKey(time: TimeUs, field: EntryField): string {
  return `${time}|${field}`
}

/** Reads a root key of an amendments document; throws `InvalidInputError` if it is none. */
export function parseKey(key: string): EntryKey {
  const match = /^(0|[1-9][0-9]{0,15})\|(.{1,64})$/.exec(key)
  if (match === null) throw new InvalidInputError(`${JSON.stringify(key.slice(0, 100))} is not a key of amendments`)
  const [, time, field] = match as unknown as [string, string, string]
  return { time: checkTime(Number(time)), field: field === wholeRecord ? wholeRecord : parseFieldName(field) }
}

/** Whether the entry states something: a value or a removal. */
export function states(entry: AmendmentEntry): boolean {
  return entry.amendment.removed === true || entry.amendment.value !== undefined
}

/** Encodes an entry; throws `LimitError` beyond `limits.entryBytes`. */
export function encodeEntry(entry: AmendmentEntry): Uint8Array {
  const bytes = encodeFields(entry)
  if (bytes.length > limits.entryBytes)
    throw new LimitError(
      `the amendment takes ${bytes.length} bytes; at most ${limits.entryBytes} are kept: shorten its text, note or reason`,
    )
  return bytes
}

function encodeFields({ amendment, clears }: AmendmentEntry): Uint8Array {
  const { value, quality, removed, note, why, user, by, at, over } = amendment
  return encode(
    {
      ...(value !== undefined && { value }),
      ...(quality !== undefined && { quality }),
      ...(removed !== undefined && { removed }),
      ...(note !== undefined && { note }),
      ...(why !== undefined && { why }),
      ...(user !== undefined && { user }),
      by,
      at: BigInt(at),
      over: over.map((seen) => [seen.node, seen.value, seen.quality]),
      ...(clears.length > 0 && { clears: clears.map((act) => [act.by, BigInt(act.at)]) }),
    },
    { float64: true, typeEncoders: { number: (value: number) => new Token(Type.float, value) } },
  )
}

/** Decodes an entry; throws `InvalidInputError` with what is wrong. Bounded: nothing is allocated beyond a few times `limits.entryBytes`. */
export function decodeEntry(bytes: Uint8Array): AmendmentEntry {
  if (bytes.length > limits.entryBytes) throw new InvalidInputError(`${bytes.length} bytes are too many for an entry`)
  let map: unknown
  try {
    map = decode(bytes, { ...decodeOptions, tokenizer: new EntryTokenizer(bytes) })
  } catch (cause) {
    throw new InvalidInputError('not CBOR of an amendment', { cause })
  }
  const entry = entryOf(map)
  if (Buffer.compare(encodeFields(entry), bytes) !== 0) throw new InvalidInputError('not in deterministic CBOR')
  return entry
}

const decodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  allowBigInt: true,
  rejectDuplicateMapKeys: true,
  useMaps: true,
} as const

/** A map that holds lists of triples. */
const maxDepth = 3

/** Gives every integer as bigint, so that it cannot be taken for a float, and refuses tags and depth. */
class EntryTokenizer {
  readonly #inner: Tokenizer
  /** Items still to come at each open level. */
  readonly #open: number[] = []

  constructor(bytes: Uint8Array) {
    this.#inner = new Tokenizer(bytes, decodeOptions)
  }

  done(): boolean {
    return this.#inner.done()
  }

  pos(): number {
    return this.#inner.pos()
  }

  next(): Token {
    const token = this.#inner.next()
    const { type } = token
    if (Type.equals(type, Type.tag)) throw new InvalidInputError('tags are not allowed')
    while (this.#open.at(-1) === 0) this.#open.pop()
    const level = this.#open.length - 1
    if (level >= 0) (this.#open[level] as number)--
    if (Type.equals(type, Type.array) || Type.equals(type, Type.map)) {
      this.#open.push(Type.equals(type, Type.map) ? 2 * token.value : token.value)
      if (this.#open.length > maxDepth) throw new InvalidInputError('nested too deep')
    }
    if (Type.equals(type, Type.uint) || Type.equals(type, Type.negint))
      return new Token(type, BigInt(token.value), token.encodedLength)
    return token
  }
}

const known = new Set(['value', 'quality', 'removed', 'note', 'why', 'user', 'by', 'at', 'over', 'clears'])

function entryOf(map: unknown): AmendmentEntry {
  if (!(map instanceof Map)) throw new InvalidInputError('an entry is a map')
  for (const key of map.keys())
    if (typeof key !== 'string' || !known.has(key)) throw new InvalidInputError(`unknown part ${String(key)}`)
  const value = optionalValue(map.get('value'))
  const quality = map.has('quality') ? qualityOf(map.get('quality')) : undefined
  const removed = map.get('removed')
  if (removed !== undefined && removed !== true) throw new InvalidInputError('`removed` is true or absent')
  if ((value === undefined) !== (quality === undefined)) throw new InvalidInputError('value and quality go together')
  if (removed === true && value !== undefined) throw new InvalidInputError('a removal has no value')
  const note = text(map.get('note'), 'note', limits.noteChars)
  const why = text(map.get('why'), 'why', limits.noteChars)
  const user = text(map.get('user'), 'user', limits.nameChars)
  const over = list(map.get('over'), 3).map(([node, value, quality]) => ({
    value: valueOf(value),
    quality: qualityOf(quality),
    node: nodeOf(node),
  }))
  if (value === undefined && removed === undefined && (note === undefined || over.length > 0))
    throw new InvalidInputError('an entry that states nothing is a note and covers nothing')
  return {
    amendment: {
      ...(value !== undefined && { value }),
      ...(quality !== undefined && { quality }),
      ...(removed === true && { removed }),
      ...(note !== undefined && { note }),
      ...(why !== undefined && { why }),
      ...(user !== undefined && { user }),
      by: nodeOf(map.get('by')),
      at: orderOf(map.get('at')),
      over,
    },
    clears: map.has('clears')
      ? list(map.get('clears'), 2).map(([by, at]) => ({ by: nodeOf(by), at: orderOf(at) }))
      : [],
  }
}

function valueOf(value: unknown): Value {
  checkValue(value as Value, 'of an entry')
  return value as Value
}

function optionalValue(value: unknown): Value | undefined {
  return value === undefined ? undefined : valueOf(value)
}

function qualityOf(quality: unknown): Quality {
  if (!qualities.includes(quality as Quality)) throw new InvalidInputError('not a quality')
  return quality as Quality
}

function nodeOf(node: unknown): NodeId {
  if (typeof node !== 'string' || node.length > limits.nameChars) throw new InvalidInputError('not a node id')
  return parseNodeId(node)
}

function orderOf(at: unknown): number {
  if (typeof at !== 'bigint' || at < 0n || at > BigInt(Number.MAX_SAFE_INTEGER))
    throw new InvalidInputError('not an order in µs')
  return Number(at)
}

function text(value: unknown, name: string, chars: number): string | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw new InvalidInputError(`${name} is text`)
  return checkText(value, name, chars)
}

/** Checks a note, reason or person's name: 1 to `chars` characters of well-formed Unicode. */
export function checkText(value: string, name: string, chars: number): string {
  if (value.length > chars) throw new LimitError(`${name} has ${value.length} characters; at most ${chars} are kept`)
  if (value === '' || !value.isWellFormed()) throw new InvalidInputError(`${name} is empty or not well-formed Unicode`)
  return value
}

function list(value: unknown, width: number): readonly unknown[][] {
  if (!Array.isArray(value) || !value.every((item) => Array.isArray(item) && item.length === width))
    throw new InvalidInputError(`a list of ${width} parts each was expected`)
  return value as unknown[][]
}
