/** Reads journals: change rows or a sealed chunk, verified against what was recorded, into their batches. */
import { createHash } from 'node:crypto'
import { DamagedError, limits, RefusedError, type DocumentId } from '../model/index.ts'
import { decodeChange, load, newHandle, type DecodedChange, type Handle } from './automerge.ts'
import { readChangeHeader, type ChangeHeader } from './change.ts'
import type { Reader } from './database.ts'
import type { JournalBatch } from './documents.ts'
import { JournalIndex } from './journal-index.ts'
import { keys } from './keys.ts'
import { Lru } from './lru.ts'
import { checkSealedChunk } from './sealed-chunk.ts'
import { decodeSeal, decodeStatement, sealHash, type DocumentRow } from './rows.ts'
import type { SealStatement, SensorMonth, SignedSeal } from './types.ts'

/** Up to this many new changes are decoded one by one; past it loading the whole journal is faster. */
const decodeAtMost = 200

interface Cached {
  readonly hash: string
  readonly batches: readonly JournalBatch[]
}

export class JournalContents {
  readonly #cache = new Lru<Cached>(limits.cacheBytes)

  /** Gives the batches of the state that `row` describes. Throws `DamagedError` where bytes are not what was recorded. */
  async batches(reader: Reader, id: DocumentId, row: DocumentRow): Promise<readonly JournalBatch[]> {
    const tip = row.tips[0]
    if (tip === undefined) return []
    const cached = this.#cache.get(id)
    if (cached?.hash === tip.hash) return cached.batches
    const held = cached?.batches.length ?? 0
    // A journal's history is a straight line: an older state is a prefix of a newer one.
    if (cached !== undefined && held > tip.seq) return cached.batches.slice(0, tip.seq)
    let batches: readonly JournalBatch[]
    if (cached !== undefined && row.seal === undefined && tip.seq - held <= decodeAtMost) {
      const chunks = await readChanges(reader, id, held + 1, tip.seq)
      checkChain(id, chunks, cached.hash, tip.hash)
      batches = [...cached.batches, ...chunks.map((chunk, i) => ({ seq: held + 1 + i, bytes: batchOf(chunk) }))]
    } else {
      const handle = await openJournal(reader, id, row)
      try {
        batches = extract(handle, id, tip.seq)
      } finally {
        handle.free()
      }
    }
    this.#cache.set(id, { hash: tip.hash, batches }, weightOf(batches))
    return batches
  }

  forget(id: DocumentId): void {
    this.#cache.delete(id)
  }
}

/** Checks that each change names the one before it, from `first` to `last`. */
function checkChain(id: DocumentId, chunks: readonly Uint8Array[], first: string, last: string): void {
  let before = first
  for (const chunk of chunks) {
    const { deps, hash } = headerOf(chunk)
    if (deps.length !== 1 || deps[0] !== before)
      throw new DamagedError(`document ${id}: change ${hash} does not follow ${before}`)
    before = hash
  }
  if (before !== last) throw new DamagedError(`document ${id}: its newest change is not the one recorded`)
}

/** Reads the header of a stored change: what is refused from a peer is damage here. */
function headerOf(chunk: Uint8Array): ChangeHeader {
  try {
    return readChangeHeader(chunk)
  } catch (cause) {
    if (!(cause instanceof RefusedError)) throw cause
    throw new DamagedError(`a stored change is damaged: ${cause.message}`, { cause })
  }
}

/** Reads all bytes of a document's state and compares them with what was recorded. Throws `DamagedError`. */
export async function verifyDocument(reader: Reader, id: DocumentId, row: DocumentRow): Promise<void> {
  const handle = await openJournal(reader, id, row)
  try {
    if (id.startsWith('journal.1/')) extract(handle, id, row.tips[0]?.seq ?? 0)
  } finally {
    handle.free()
  }
}

/** What a journal's index rows say, from its contents. */
export async function journalMonths(reader: Reader, id: DocumentId, row: DocumentRow): Promise<readonly SensorMonth[]> {
  if (row.seal !== undefined) return (await readSeal(reader, id, row)).statement.index
  const handle = await openJournal(reader, id, row)
  try {
    const index = new JournalIndex()
    for (const { bytes } of extract(handle, id, row.tips[0]?.seq ?? 0)) index.add(bytes)
    return index.months()
  } finally {
    handle.free()
  }
}

function weightOf(batches: readonly JournalBatch[]): number {
  let weight = 0
  for (const { bytes } of batches) weight += bytes.length + 64
  return weight
}

/** Gives a handle on a journal's state (or, unsealed, any document's); the caller frees it. */
export async function openJournal(reader: Reader, id: DocumentId, row: DocumentRow): Promise<Handle> {
  const chunks =
    row.seal === undefined ? await readChanges(reader, id, 1, row.changes) : [await readSealed(reader, id, row)]
  const handle = newHandle()
  try {
    load(handle, chunks, row.heads)
    return handle
  } catch (error) {
    handle.free()
    throw error
  }
}

/** Reads change rows `from`..`to`, both included; throws `DamagedError` if one is missing or damaged. */
export async function readChanges(reader: Reader, id: DocumentId, from: number, to: number): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = []
  for await (const [key, value] of reader.entries({ gte: keys.change(id, from), lte: keys.change(id, to) })) {
    if (key !== keys.change(id, from + chunks.length))
      throw new DamagedError(`document ${id}: change ${from + chunks.length} is missing`)
    chunks.push(value)
  }
  if (chunks.length !== Math.max(0, to - from + 1))
    throw new DamagedError(`document ${id}: change ${from + chunks.length} is missing`)
  return chunks
}

export async function readSeal(
  reader: Reader,
  id: DocumentId,
  row: DocumentRow,
): Promise<{ readonly seal: SignedSeal; readonly statement: SealStatement }> {
  const stored = await reader.get(keys.seal(id))
  if (stored === undefined) throw new DamagedError(`document ${id}: its seal is missing`)
  const seal = decodeSeal(stored)
  if (sealHash(seal) !== row.seal?.hash) throw new DamagedError(`document ${id}: its seal is not the one recorded`)
  return { seal, statement: decodeStatement(seal.statement) }
}

export async function readPart(
  reader: Reader,
  id: DocumentId,
  statement: SealStatement,
  index: number,
): Promise<Uint8Array> {
  const part = await reader.get(keys.part(id, index))
  if (part === undefined) throw new DamagedError(`document ${id}: part ${index} of its chunk is missing`)
  if (partHash(part) !== statement.parts[index])
    throw new DamagedError(`document ${id}: part ${index} of its chunk is damaged`)
  return part
}

async function readSealed(reader: Reader, id: DocumentId, row: DocumentRow): Promise<Uint8Array> {
  const { statement } = await readSeal(reader, id, row)
  const parts: Uint8Array[] = []
  for (let i = 0; i < statement.parts.length; i++) parts.push(await readPart(reader, id, statement, i))
  const chunk = Buffer.concat(parts)
  checkSealedChunk(chunk)
  return chunk
}

export function partHash(part: Uint8Array): string {
  return createHash('sha256').update(part).digest('hex')
}

function extract(handle: Handle, id: DocumentId, count: number): JournalBatch[] {
  const batches: JournalBatch[] = []
  for (let seq = 1; seq <= count; seq++) {
    const bytes = handle.get('_root', String(seq))
    if (!(bytes instanceof Uint8Array)) throw new DamagedError(`document ${id}: batch ${seq} is missing`)
    batches.push({ seq, bytes })
  }
  return batches
}

function batchOf(chunk: Uint8Array): Uint8Array {
  const [op] = decodeChange(chunk).ops
  const bytes = op === undefined ? undefined : bytesOf(op)
  if (bytes === undefined) throw new DamagedError('a journal change holds no batch')
  return bytes
}

/** The bytes a put holds; `undefined` where it holds another kind of value. */
export function bytesOf(op: DecodedChange['ops'][number]): Uint8Array | undefined {
  const value: unknown = 'value' in op ? op.value : undefined
  if (value instanceof Uint8Array) return value
  return Array.isArray(value) ? Uint8Array.from(value as number[]) : undefined
}
