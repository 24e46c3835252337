/** Encodings of the store's own rows (CBOR arrays; the database adds the checksum). */
import { createHash } from 'node:crypto'
import { decode, encode } from 'cborg'
import {
  DamagedError,
  type ActorId,
  type ChangeHash,
  type DocumentId,
  type SensorId,
  type TimeUs,
  type ValueType,
} from '../model/index.ts'
import type { DocumentState, SealStatement, SensorMonth, SeriesSummary, SignedSeal, SignedTip } from './types.ts'

export interface DocumentRow {
  /** Sorted by actor. */
  readonly tips: readonly SignedTip[]
  /** Sorted. */
  readonly heads: readonly ChangeHash[]
  /** Change rows stored, numbered from 1; 0 when sealed. */
  readonly changes: number
  /** Greatest change time, µs. */
  readonly order: number
  /** Local time of the last change, µs: decides when a multi-writer document is settled. */
  readonly touched: TimeUs
  readonly settled: boolean
  readonly seal?: { readonly hash: string; readonly parts: number }
  /** Why the document's bytes are not to be trusted; then tips and heads are empty and it waits to be refilled. */
  readonly quarantined?: {
    readonly reason: string
    readonly at: TimeUs
    /** What the document's tips were, if its row was readable: undamaged changes up to them survive a refill. */
    readonly tips?: readonly SignedTip[]
  }
}

export const emptyRow: DocumentRow = { tips: [], heads: [], changes: 0, order: 0, touched: 0, settled: false }

const bin = (hex: string): Buffer => Buffer.from(hex, 'hex')
const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')

export function encodeDocumentRow(row: DocumentRow): Uint8Array {
  const { quarantined } = row
  return encode([
    row.tips.map(rawTip),
    row.heads.map(bin),
    row.changes,
    row.order,
    row.touched,
    row.settled,
    row.seal === undefined ? null : [bin(row.seal.hash), row.seal.parts],
    quarantined === undefined ? null : [quarantined.reason, quarantined.at, (quarantined.tips ?? []).map(rawTip)],
  ])
}

type RawTip = [Uint8Array, number, Uint8Array, number, number, Uint8Array]
type RawRow = [
  RawTip[],
  Uint8Array[],
  number,
  number,
  number,
  boolean,
  [Uint8Array, number] | null,
  [string, number, RawTip[]] | null,
]

function rawTip(tip: SignedTip): RawTip {
  return [bin(tip.actor), tip.seq, bin(tip.hash), tip.records, tip.bytes, tip.signature]
}

function tipOf([actor, seq, hash, records, bytes, signature]: RawTip): SignedTip {
  return { actor: hex(actor) as ActorId, seq, hash: hex(hash) as ChangeHash, records, bytes, signature }
}

export function decodeDocumentRow(bytes: Uint8Array): DocumentRow {
  const [tips, heads, changes, order, touched, settled, seal, quarantined] = decode(bytes) as RawRow
  return {
    tips: tips.map(tipOf),
    heads: heads.map((head) => hex(head) as ChangeHash),
    changes,
    order,
    touched,
    settled,
    ...(seal === null ? {} : { seal: { hash: hex(seal[0]), parts: seal[1] } }),
    ...(quarantined === null
      ? {}
      : { quarantined: { reason: quarantined[0], at: quarantined[1], tips: quarantined[2].map(tipOf) } }),
  }
}

export function stateOf(id: DocumentId, row: DocumentRow): DocumentState {
  let records = 0
  let bytes = 0
  for (const tip of row.tips) {
    records += tip.records
    bytes += tip.bytes
  }
  return {
    id,
    tips: row.tips,
    heads: row.heads,
    records,
    bytes,
    settled: row.settled,
    ...(row.seal === undefined ? {} : { seal: row.seal.hash }),
  }
}

/** Hash of a document's state for fingerprints and digests: SHA-256 over id and heads. Sealing does not change it. */
export function stateHash(id: DocumentId, heads: readonly ChangeHash[]): Uint8Array {
  const hash = createHash('sha256').update(id).update('\0')
  for (const head of heads) hash.update(bin(head))
  return hash.digest()
}

export interface IndexCounts {
  readonly first: TimeUs
  readonly last: TimeUs
  readonly count: number
}

export function encodeIndexRow(row: IndexCounts): Uint8Array {
  return encode([row.first, row.last, row.count])
}

export function decodeIndexRow(bytes: Uint8Array): IndexCounts {
  const [first, last, count] = decode(bytes) as [number, number, number]
  return { first, last, count }
}

export function encodeSeal(seal: SignedSeal): Uint8Array {
  return encode([seal.statement, seal.signature, seal.tipSignature])
}

export function decodeSeal(bytes: Uint8Array): SignedSeal {
  const [statement, signature, tipSignature] = decode(bytes) as [Uint8Array, Uint8Array, Uint8Array]
  return { statement, signature, tipSignature }
}

/** SHA-256 (hex) of a seal's statement: what `DocumentState.seal` holds. */
export function sealHash(seal: SignedSeal): string {
  return createHash('sha256').update(seal.statement).digest('hex')
}

/** Encodes a statement: names of sensors, fields and units stand once each, in a table of texts. */
export function encodeStatement(statement: SealStatement): Uint8Array {
  const texts: string[] = []
  const known = new Map<string, number>()
  const text = (name: string): number => {
    const at = known.get(name) ?? texts.length
    if (at === texts.length) {
      known.set(name, at)
      texts.push(name)
    }
    return at
  }
  const { tip } = statement
  const series = statement.series.map((s) => [
    text(s.sensor),
    text(s.field),
    text(s.type),
    s.unit === undefined ? null : text(s.unit),
    s.first,
    s.last,
    s.count,
  ])
  const index = statement.index.map((row) => [text(row.sensor), text(row.month), row.first, row.last, row.count])
  return encode([
    1,
    statement.document,
    [bin(tip.actor), tip.seq, bin(tip.hash), tip.records, tip.bytes],
    statement.length,
    Buffer.concat(statement.parts.map(bin)),
    texts,
    series,
    index,
    statement.order,
  ])
}

/** Reads a statement from untrusted bytes: every number, text and count is checked. Throws `DamagedError`. */
export function decodeStatement(bytes: Uint8Array): SealStatement {
  let raw: unknown
  try {
    raw = decode(bytes, { allowIndefinite: false, allowUndefined: false, allowInfinity: false, allowNaN: false })
  } catch (cause) {
    throw new DamagedError('a seal statement is not CBOR', { cause })
  }
  const [version, document, tip, length, parts, texts, series, index, order] = list(raw, 9)
  if (version !== 1) throw new DamagedError(`seal statement version ${String(version)} is not known here`)
  const names = list(texts).map((name) => string(name))
  const named = (at: unknown): string => {
    const name = names[integer(at)]
    if (name === undefined) throw new DamagedError('a seal statement names a text it does not have')
    return name
  }
  const [actor, seq, hash, records, size] = list(tip, 5)
  const joined = binary(parts)
  if (joined.length % 32 !== 0) throw new DamagedError('a seal statement has a broken list of parts')
  return {
    document: string(document) as DocumentId,
    tip: {
      actor: hex(binary(actor, 24)) as ActorId,
      seq: integer(seq),
      hash: hex(binary(hash, 32)) as ChangeHash,
      records: integer(records),
      bytes: integer(size),
    },
    length: integer(length),
    parts: Array.from({ length: joined.length / 32 }, (_, i) => hex(joined.subarray(i * 32, i * 32 + 32))),
    series: list(series).map((row): SeriesSummary => {
      const [sensor, field, type, unit, first, last, count] = list(row, 7)
      return {
        sensor: named(sensor) as SensorId,
        field: named(field) as SeriesSummary['field'],
        type: named(type) as ValueType,
        ...(unit === null ? {} : { unit: named(unit) }),
        first: integer(first),
        last: integer(last),
        count: integer(count),
      }
    }),
    index: list(index).map((row): SensorMonth => {
      const [sensor, month, first, last, count] = list(row, 5)
      return {
        sensor: named(sensor) as SensorId,
        month: named(month),
        first: integer(first),
        last: integer(last),
        count: integer(count),
      }
    }),
    order: integer(order),
  }
}

function list(value: unknown, length?: number): unknown[] {
  if (!Array.isArray(value) || (length !== undefined && value.length !== length))
    throw new DamagedError('a seal statement does not have its form')
  return value
}

function string(value: unknown): string {
  if (typeof value !== 'string') throw new DamagedError('a seal statement does not have its form')
  return value
}

function integer(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new DamagedError('a seal statement does not have its form')
  return value
}

function binary(value: unknown, length?: number): Uint8Array {
  if (!(value instanceof Uint8Array) || (length !== undefined && value.length !== length))
    throw new DamagedError('a seal statement does not have its form')
  return value
}
