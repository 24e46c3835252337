/**
 * Fingerprints of any range of an ordered set (document id → 32-byte hash), kept up to date on disk.
 *
 * The rows form a deterministic skip list: an id is of level L when SHA-256(id) begins with L hex zeros. Level 0 has one row
 * per item. On each level above, every id of at least that level is a boundary, and so is the head (the empty text); the
 * row of a boundary holds count and sum of the items from it up to the next boundary of its level. A level exists while
 * some id is of it. The rows are thus a function of the set alone, whatever happened on the way, about 16 of one level
 * fall to one of the next, and all are derived: `fingerprintRows` makes them anew.
 */
import { createHash } from 'node:crypto'
import { DamagedError, type DocumentId } from '../model/index.ts'
import type { DocumentRange, RangeFingerprint } from './types.ts'

/** What reading fingerprints needs of a store. Keys are relative to the table; ids hold no surrogates, so that keys sort by code unit and by UTF-8 alike. */
export interface OrderedReader {
  get(key: string): Promise<Uint8Array | undefined>
  /** Rows with `from` <= key < `to`, ascending unless `reverse`. */
  range(
    from: string,
    to: string,
    options?: { readonly reverse?: boolean; readonly limit?: number },
  ): AsyncIterable<readonly [key: string, value: Uint8Array]>
}

export type RowOperation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string }

export interface FingerprintItem {
  readonly id: DocumentId
  /** 32 bytes. */
  readonly hash: Uint8Array
}

interface Sum {
  readonly count: number
  readonly sum: bigint
}

interface Change {
  readonly id: string
  readonly level: number
  /** What the item adds to every sum over it. */
  readonly delta: Sum
  readonly kind: 'insert' | 'remove' | 'replace'
}

const modulus = 2n ** 256n
const zero: Sum = { count: 0, sum: 0n }
const head = ''
/** Highest level: one hex digit in a key. Some 16^15 documents would be needed to miss the next. */
const highestLevel = 15
const hashBytes = 32
const countBytes = 6

/**
 * Gives the operations that bring the rows up to date when these items change (`undefined`: removed). They belong into the
 * batch that writes the documents themselves; `reader` shows the state before. Reads and writes O(log n) rows an item.
 */
export async function applyFingerprintChanges(
  reader: OrderedReader,
  items: ReadonlyMap<string, Uint8Array | undefined>,
): Promise<readonly RowOperation[]> {
  const changes = await effectiveChanges(reader, items)
  if (changes.length === 0) return []
  const operations = new Map<string, Uint8Array | undefined>()
  let below = new Map(changes.map(({ id, kind }) => [id, kind === 'remove' ? undefined : items.get(id)]))
  const top = await topLevel(reader)
  for (let level = 0; ; level++) {
    for (const [boundary, value] of below) operations.set(rowKey(level, boundary), value)
    const next = await levelChanges(reader, level + 1, top, changes, below)
    if (next.size === 0) break
    below = next
  }
  return [...operations]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => (value === undefined ? { type: 'del', key } : { type: 'put', key, value }))
}

async function effectiveChanges(
  reader: OrderedReader,
  items: ReadonlyMap<string, Uint8Array | undefined>,
): Promise<Change[]> {
  const changes: Change[] = []
  for (const [id, after] of items) {
    if (id === head) throw new RangeError('an item of the fingerprint set needs an id')
    if (after !== undefined && after.length !== hashBytes)
      throw new RangeError(`the hash of ${id} has ${after.length} bytes, not ${hashBytes}`)
    const before = await reader.get(rowKey(0, id))
    const from = before === undefined ? zero : itemSum(id, before)
    const to = after === undefined ? zero : itemSum(id, after)
    if (from.count === to.count && from.sum === to.sum) continue
    const kind = before === undefined ? 'insert' : after === undefined ? 'remove' : 'replace'
    changes.push({ id, level: levelOf(id), delta: subtract(to, from), kind })
  }
  return changes
}

/** Gives the changed rows of one level, by boundary, from those of the level below; none when the level is not in use. */
async function levelChanges(
  reader: OrderedReader,
  level: number,
  top: number,
  changes: readonly Change[],
  below: ReadonlyMap<string, Uint8Array | undefined>,
): Promise<Map<string, Uint8Array | undefined>> {
  const rows = new Map<string, Uint8Array | undefined>()
  const here = changes.filter((change) => change.level >= level)
  const added = here.filter(({ kind }) => kind === 'insert').map(({ id }) => id)
  const removed = new Set(here.filter(({ kind }) => kind === 'remove').map(({ id }) => id))
  if (level > top && added.length === 0) return rows
  for (const id of removed) rows.set(id, undefined)
  const edited: EditedLevel = { reader, level, added: added.sort(), removed }
  if (removed.size > 0 && (await boundaryAfter(edited, head)) === undefined) {
    rows.set(head, undefined)
    return rows
  }

  /** Segments whose sum changes. `delta` is absent where a boundary moved and the sum has to be taken again. */
  const segments = new Map<string, { row: Uint8Array | undefined; delta: Sum | undefined }>()
  const mark = ({ boundary, row }: Floor, delta: Sum | undefined): void => {
    const known = segments.get(boundary) ?? { row, delta: zero }
    segments.set(boundary, { row, delta: known.delta && delta && add(known.delta, delta) })
  }
  for (const { id, kind, delta, level: own } of changes) {
    const moved = own >= level && kind !== 'replace'
    mark(await boundaryAt(edited, id, true), moved ? undefined : delta)
    if (moved && kind === 'insert') mark(await boundaryAt(edited, id, false), undefined)
  }
  for (const [boundary, { row, delta }] of segments) {
    const sum =
      row !== undefined && delta !== undefined
        ? add(decodeRow(rowKey(level, boundary), row), delta)
        : await sumBelow(reader, level - 1, below, boundary, await boundaryAfter(edited, boundary))
    rows.set(boundary, encodeRow(sum))
  }
  return rows
}

/** The boundaries of a level as they will be. */
interface EditedLevel {
  readonly reader: OrderedReader
  readonly level: number
  /** Sorted. */
  readonly added: readonly string[]
  readonly removed: ReadonlySet<string>
}

interface Floor {
  readonly boundary: string
  /** Its row before the change, if it had one. */
  readonly row: Uint8Array | undefined
}

/** Finds the last boundary at or before `id` (before it, unless `inclusive`). */
async function boundaryAt(
  { reader, level, added, removed }: EditedLevel,
  id: string,
  inclusive: boolean,
): Promise<Floor> {
  const fresh = added.findLast((boundary) => boundary < id || (inclusive && boundary === id)) ?? head
  const options = { reverse: true, limit: removed.size + 1 }
  for await (const [key, row] of reader.range(
    rowKey(level, head),
    rowKey(level, id) + (inclusive ? '\0' : ''),
    options,
  )) {
    const boundary = boundaryOf(key)
    if (removed.has(boundary)) continue
    return boundary < fresh ? { boundary: fresh, row: undefined } : { boundary, row }
  }
  return { boundary: fresh, row: undefined }
}

async function boundaryAfter({ reader, level, added, removed }: EditedLevel, id: string): Promise<string | undefined> {
  const fresh = added.find((boundary) => boundary > id)
  for await (const [key] of reader.range(`${rowKey(level, id)}\0`, levelEnd(level), { limit: removed.size + 1 })) {
    const boundary = boundaryOf(key)
    if (removed.has(boundary)) continue
    return fresh !== undefined && fresh < boundary ? fresh : boundary
  }
  return fresh
}

/** Adds up the rows of a level in [from, to), with `changed` in place of what is stored. */
async function sumBelow(
  reader: OrderedReader,
  level: number,
  changed: ReadonlyMap<string, Uint8Array | undefined>,
  from: string,
  to: string | undefined,
): Promise<Sum> {
  let total = zero
  for await (const [key, value] of reader.range(
    rowKey(level, from),
    to === undefined ? levelEnd(level) : rowKey(level, to),
  ))
    if (!changed.has(boundaryOf(key))) total = add(total, decode(level, key, value))
  for (const [boundary, value] of changed)
    if (value !== undefined && boundary >= from && (to === undefined || boundary < to))
      total = add(total, decode(level, boundary, value))
  return total
}

/** Gives count and sum of the items in a range. Reads O(log n) rows. */
export async function rangeFingerprint(reader: OrderedReader, range: DocumentRange): Promise<RangeFingerprint> {
  const top = await topLevel(reader)
  const { count, sum } = await sumOfRange(reader, top, range)
  return { count, sum: toBytes(sum) }
}

/**
 * Splits a range into at most `parts` adjoining ranges of equal counts, give or take one; as many as there are items if
 * these are fewer, but at least one. Bounds are the shortest texts that separate the items beside them.
 */
export async function splitRange(reader: OrderedReader, range: DocumentRange, parts: number): Promise<DocumentRange[]> {
  const top = await topLevel(reader)
  const before = range.from === undefined ? 0 : (await sumBefore(reader, top, range.from)).count
  const { count } = await sumOfRange(reader, top, range)
  const pieces = Math.max(1, Math.min(parts, count))
  const ranges: DocumentRange[] = []
  let from = range.from
  for (let piece = 1; piece < pieces; piece++) {
    const to = await boundOfRank(reader, top, before + Math.floor((count * piece) / pieces))
    ranges.push(rangeOf(from, to))
    from = to
  }
  ranges.push(rangeOf(from, range.to))
  return ranges
}

/** Gives the items of a range in order, at most `limit`. */
export async function* listRange(
  reader: OrderedReader,
  range: DocumentRange,
  limit?: number,
): AsyncGenerator<FingerprintItem> {
  if (range.from !== undefined && range.to !== undefined && range.from >= range.to) return
  const to = range.to === undefined ? levelEnd(0) : rowKey(0, range.to)
  for await (const [key, hash] of reader.range(
    rowKey(0, range.from ?? head),
    to,
    limit === undefined ? {} : { limit },
  )) {
    const id = boundaryOf(key) as DocumentId
    itemSum(id, hash)
    yield { id, hash }
  }
}

/** Makes all rows anew from the items, which must come in order (code units) and once each. Row order is not key order. */
export async function* fingerprintRows(
  items: AsyncIterable<FingerprintItem> | Iterable<FingerprintItem>,
): AsyncGenerator<{ readonly key: string; readonly value: Uint8Array }> {
  /** The segment that is open on each level from 1, and the total before it. */
  const open: { boundary: string; start: Sum }[] = []
  let total = zero
  let last = head
  for await (const { id, hash } of items) {
    if (id <= last) throw new RangeError(`fingerprint items out of order: ${id} after ${last}`)
    last = id
    for (let level = 1; level <= levelOf(id); level++) {
      const { boundary, start } = open[level - 1] ?? { boundary: head, start: zero }
      yield { key: rowKey(level, boundary), value: encodeRow(subtract(total, start)) }
      open[level - 1] = { boundary: id, start: total }
    }
    yield { key: rowKey(0, id), value: hash }
    total = add(total, itemSum(id, hash))
  }
  for (const [index, { boundary, start }] of open.entries())
    yield { key: rowKey(index + 1, boundary), value: encodeRow(subtract(total, start)) }
}

async function sumOfRange(reader: OrderedReader, top: number, { from, to }: DocumentRange): Promise<Sum> {
  if (from !== undefined && to !== undefined && from >= to) return zero
  const upTo = await sumBefore(reader, top, to)
  return from === undefined ? upTo : subtract(upTo, await sumBefore(reader, top, from))
}

/** Adds up all items before a bound: whole segments of each level, then the rest a level lower. */
async function sumBefore(reader: OrderedReader, top: number, bound: string | undefined): Promise<Sum> {
  let total = zero
  let at = head
  for (let level = top; level >= 1; level--) {
    let last = zero
    const end = bound === undefined ? levelEnd(level) : `${rowKey(level, bound)}\0`
    for await (const [key, value] of reader.range(rowKey(level, at), end)) {
      total = add(total, last)
      last = decodeRow(key, value)
      at = boundaryOf(key)
    }
    if (bound === undefined) return add(total, last)
  }
  const end = bound === undefined ? levelEnd(0) : rowKey(0, bound)
  for await (const [key, hash] of reader.range(rowKey(0, at), end)) total = add(total, itemSum(key, hash))
  return total
}

/** Gives the shortest text after the item of rank − 1 and not after that of `rank` (from 0, at least 1). */
async function boundOfRank(reader: OrderedReader, top: number, rank: number): Promise<string> {
  let passed = 0
  let at = head
  for (let level = top; level >= 1; level--)
    for await (const [key, value] of reader.range(rowKey(level, at), levelEnd(level))) {
      const { count } = decodeRow(key, value)
      at = boundaryOf(key)
      if (passed + count >= rank) break
      passed += count
    }
  // `passed + count >= rank`, not more: the item before the wanted one is in the segment too, and the wanted one follows it.
  let before: string | undefined
  for await (const [key] of reader.range(rowKey(0, at), levelEnd(0), { limit: rank - passed + 1 })) {
    if (passed === rank && before !== undefined) return shortestBound(before, boundaryOf(key))
    before = boundaryOf(key)
    passed++
  }
  throw new DamagedError(`the fingerprint rows are damaged: there is no document ${rank}; they have to be rebuilt`)
}

/** Gives the shortest prefix of `after` that sorts after `before`. */
function shortestBound(before: string, after: string): string {
  let length = 0
  while (length < before.length && before[length] === after[length]) length++
  return after.slice(0, length + 1)
}

function rangeOf(from: string | undefined, to: string | undefined): DocumentRange {
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }
}

/** The greatest key of the table is of the highest level in use. */
async function topLevel(reader: OrderedReader): Promise<number> {
  for await (const [key] of reader.range(rowKey(0, head), levelEnd(highestLevel), { reverse: true, limit: 1 }))
    return Number.parseInt(key.slice(0, 1), 16)
  return 0
}

function levelOf(id: string): number {
  return Math.min(/^0*/.exec(createHash('sha256').update(id).digest('hex'))?.[0].length ?? 0, highestLevel)
}

function rowKey(level: number, boundary: string): string {
  return level.toString(16) + boundary
}

function boundaryOf(key: string): string {
  return key.slice(1)
}

/** The first key behind all of a level. */
function levelEnd(level: number): string {
  return String.fromCharCode(level.toString(16).charCodeAt(0) + 1)
}

function add(a: Sum, b: Sum): Sum {
  return { count: a.count + b.count, sum: (a.sum + b.sum) % modulus }
}

function subtract(a: Sum, b: Sum): Sum {
  return { count: a.count - b.count, sum: (a.sum - b.sum + modulus) % modulus }
}

function itemSum(id: string, hash: Uint8Array): Sum {
  if (hash.length !== hashBytes) throw damaged(id)
  return { count: 1, sum: toNumber(hash) }
}

function decode(level: number, key: string, value: Uint8Array): Sum {
  return level === 0 ? itemSum(key, value) : decodeRow(key, value)
}

/** A row is its count (6 bytes) and its sum (32 bytes), big-endian. */
function encodeRow({ count, sum }: Sum): Uint8Array {
  const row = Buffer.allocUnsafe(countBytes + hashBytes)
  row.writeUIntBE(count, 0, countBytes)
  row.set(toBytes(sum), countBytes)
  return row
}

function decodeRow(key: string, value: Uint8Array): Sum {
  if (value.length !== countBytes + hashBytes) throw damaged(key)
  const row = Buffer.from(value.buffer, value.byteOffset, value.length)
  return { count: row.readUIntBE(0, countBytes), sum: toNumber(row.subarray(countBytes)) }
}

function damaged(key: string): DamagedError {
  return new DamagedError(`the fingerprint row ${JSON.stringify(key)} is damaged: the rows have to be rebuilt`)
}

function toNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}`)
}

function toBytes(sum: bigint): Uint8Array {
  return Buffer.from(sum.toString(16).padStart(2 * hashBytes, '0'), 'hex')
}
