/** One consistent moment of all documents, for queries, reconciliation and backups. */
import {
  DamagedError,
  InvalidInputError,
  parseDocumentId,
  type ChangeHash,
  type DocumentId,
  type SensorId,
} from '../model/index.ts'
import { DamagedValueError, type Reader } from './database.ts'
import type { DocumentsSnapshot, IndexRow, JournalBatch, SharedContent } from './documents.ts'
import { fingerprintRows, listRange, rangeFingerprint, splitRange, type OrderedReader } from './fingerprints.ts'
import { readChangeHeader } from './change.ts'
import { expectedIndex, repairIndex } from './index-repair.ts'
import { openJournal, readChanges, readPart, readSeal } from './journal-contents.ts'
import { keys, under } from './keys.ts'
import { fingerprintReader, type Ledger } from './ledger.ts'
import { decodeIndexRow, stateOf, type DocumentRow, type IndexCounts } from './rows.ts'
import type {
  ChangeSet,
  DocumentRange,
  DocumentState,
  RangeFingerprint,
  SealStatement,
  SignedSeal,
  Tip,
} from './types.ts'

export interface SnapshotOptions {
  /** The document whose lock the caller holds. */
  readonly locked?: DocumentId
}

export class LedgerSnapshot implements DocumentsSnapshot {
  readonly #ledger: Ledger
  readonly #reader: Reader & AsyncDisposable
  readonly #open: readonly DocumentId[]
  readonly #locked: DocumentId | undefined
  /** Documents found damaged by this snapshot: they stay absent in it, whatever refills them meanwhile. */
  readonly #damaged = new Set<DocumentId>()
  #fingerprints: OrderedReader
  /** Statement read last: parts of one journal are asked for one after the other. */
  #statement: { readonly id: DocumentId; readonly statement: SealStatement } | undefined

  private constructor(ledger: Ledger, { locked }: SnapshotOptions) {
    this.#ledger = ledger
    this.#reader = ledger.options.database.snapshot()
    this.#fingerprints = fingerprintReader(this.#reader)
    this.#open = [...ledger.open].sort()
    this.#locked = locked
  }

  /** Takes the present moment; after a failed write, once the disk was read again. */
  static async take(ledger: Ledger, options: SnapshotOptions = {}): Promise<LedgerSnapshot> {
    await ledger.options.database.ready()
    return new LedgerSnapshot(ledger, options)
  }

  async #row(id: DocumentId): Promise<DocumentRow | undefined> {
    if (this.#damaged.has(id)) return undefined
    try {
      const row = await this.#ledger.row(id, this.#reader)
      return row === undefined || row.tips.length === 0 ? undefined : row
    } catch (error) {
      await this.#quarantine(id, error)
      return undefined
    }
  }

  /** Takes a document out of use where an error says that it is damaged; throws every other error on. */
  async #quarantine(id: DocumentId, error: unknown): Promise<void> {
    if (!(error instanceof DamagedError)) throw error
    this.#damaged.add(id)
    await this.#ledger.quarantine(id, error, { locked: id === this.#locked })
  }

  /** Reads of a document's bytes: damage takes it out of use and reads as absent. */
  async #reading<T>(id: DocumentId, absent: T, read: (row: DocumentRow) => Promise<T>): Promise<T> {
    const row = await this.#row(id)
    if (row === undefined) return absent
    try {
      return await read(row)
    } catch (error) {
      await this.#quarantine(id, error)
      return absent
    }
  }

  async *documents(range: DocumentRange = {}): AsyncIterable<DocumentState> {
    const all = under('d')
    const bounds = {
      gte: range.from === undefined ? all.gte : keys.document(range.from as DocumentId),
      lt: range.to === undefined ? all.lt : keys.document(range.to as DocumentId),
    }
    for await (const key of this.#reader.keys(bounds)) {
      const id = key.slice(2) as DocumentId
      const row = await this.#row(id)
      if (row !== undefined) yield stateOf(id, row)
    }
  }

  async *openDocuments(): AsyncIterable<DocumentState> {
    for (const id of this.#open) {
      const row = await this.#row(id)
      if (row !== undefined && !row.settled) yield stateOf(id, row)
    }
  }

  async state(id: DocumentId): Promise<DocumentState | undefined> {
    const row = await this.#row(id)
    return row === undefined ? undefined : stateOf(id, row)
  }

  async *settled(
    range: DocumentRange,
    limit?: number,
  ): AsyncIterable<{ readonly id: DocumentId; readonly hash: Uint8Array }> {
    let { from } = range
    let left = limit
    const list = async function* (reader: OrderedReader): ReturnType<typeof listRange> {
      for await (const item of listRange(reader, { ...range, ...(from === undefined ? {} : { from }) }, left)) {
        yield item
        from = `${item.id}\0`
        if (left !== undefined) left--
      }
    }
    try {
      yield* list(this.#fingerprints)
    } catch (error) {
      await this.#mendFingerprints(error)
      yield* list(this.#fingerprints)
    }
  }

  fingerprint(range: DocumentRange): Promise<RangeFingerprint> {
    return this.#withFingerprints((reader) => rangeFingerprint(reader, range))
  }

  split(range: DocumentRange, parts: number): Promise<DocumentRange[]> {
    return this.#withFingerprints((reader) => splitRange(reader, range, parts))
  }

  async #withFingerprints<T>(read: (reader: OrderedReader) => Promise<T>): Promise<T> {
    try {
      return await read(this.#fingerprints)
    } catch (error) {
      await this.#mendFingerprints(error)
      return await read(this.#fingerprints)
    }
  }

  /** Where the stored rows are damaged: makes those of this moment in memory, and the stored ones anew. */
  async #mendFingerprints(error: unknown): Promise<void> {
    if (!(error instanceof DamagedError)) throw error
    const rows: { readonly key: string; readonly value: Uint8Array }[] = []
    for await (const row of fingerprintRows(this.#ledger.settledItems(this.#reader))) rows.push(row)
    this.#fingerprints = rowsReader(rows)
    await this.#ledger.rebuildFingerprints(error.message)
  }

  changesSince(id: DocumentId, have: readonly Pick<Tip, 'actor' | 'seq' | 'hash'>[]): Promise<ChangeSet> {
    return this.#reading<ChangeSet>(id, { document: id, changes: [], tips: [] }, async (row) => {
      const chunks = row.seal === undefined ? await this.#tail(id, row, have) : await this.#unsealed(id, row)
      const headers = chunks.map((chunk) => ({ chunk, header: readChangeHeader(chunk) }))
      const hashes = new Map(headers.map(({ header }) => [`${header.actor} ${header.seq}`, header.hash]))
      const held = new Map<string, number>()
      for (const { actor, seq, hash } of have) {
        const tip = row.tips.find((other) => other.actor === actor)
        const known: ChangeHash | undefined = tip?.seq === seq ? tip.hash : hashes.get(`${actor} ${seq}`)
        if (known === hash) held.set(actor, seq)
      }
      const lacking = headers.filter(({ header }) => header.seq > (held.get(header.actor) ?? 0))
      const actors = new Set(lacking.map(({ header }) => header.actor))
      return {
        document: id,
        changes: lacking.map(({ chunk }) => chunk),
        tips: row.tips.filter(({ actor }) => actors.has(actor)),
      }
    })
  }

  /** The changes that may lack: of a journal those from the last one that is held (it tells whether that one is ours). */
  async #tail(
    id: DocumentId,
    row: DocumentRow,
    have: readonly Pick<Tip, 'actor' | 'seq' | 'hash'>[],
  ): Promise<Uint8Array[]> {
    const [held] = have
    if (
      !id.startsWith('journal.1/') ||
      have.length !== 1 ||
      held === undefined ||
      held.seq < 1 ||
      held.seq > row.changes
    )
      return readChanges(this.#reader, id, 1, row.changes)
    const chunks = await readChanges(this.#reader, id, held.seq, row.changes)
    const [first] = chunks
    const header = first === undefined ? undefined : readChangeHeader(first)
    if (header?.hash === held.hash && header.actor === held.actor) return chunks
    return readChanges(this.#reader, id, 1, row.changes)
  }

  async #unsealed(id: DocumentId, row: DocumentRow): Promise<Uint8Array[]> {
    const handle = await openJournal(this.#reader, id, row)
    try {
      return handle.getChanges([])
    } finally {
      handle.free()
    }
  }

  async seal(id: DocumentId): Promise<SignedSeal | undefined> {
    return (await this.#seal(id))?.seal
  }

  #seal(id: DocumentId): Promise<{ readonly seal: SignedSeal; readonly statement: SealStatement } | undefined> {
    return this.#reading(id, undefined, async (row) =>
      row.seal === undefined ? undefined : readSeal(this.#reader, id, row),
    )
  }

  async sealedPart(id: DocumentId, index: number): Promise<Uint8Array> {
    if (this.#statement?.id !== id) {
      const sealed = await this.#seal(id)
      if (sealed === undefined) throw new DamagedError(`document ${id} is not stored sealed, or is damaged`)
      this.#statement = { id, statement: sealed.statement }
    }
    const { statement } = this.#statement
    // A peer may ask for anything: what never was is no damage.
    if (!Number.isSafeInteger(index) || index < 0 || index >= statement.parts.length)
      throw new InvalidInputError(`document ${id} has ${statement.parts.length} parts: there is no part ${index}`)
    try {
      return await readPart(this.#reader, id, statement, index)
    } catch (error) {
      await this.#quarantine(id, error)
      throw error
    }
  }

  batches(id: DocumentId): Promise<readonly JournalBatch[]> {
    return this.#reading<readonly JournalBatch[]>(id, [], (row) => this.#ledger.journals.batches(this.#reader, id, row))
  }

  shared(id: DocumentId): Promise<SharedContent> {
    return this.#reading<SharedContent>(id, new Map(), (row) => this.#ledger.shared.content(this.#reader, id, row))
  }

  async index(sensor: SensorId, month: string): Promise<readonly IndexRow[]> {
    const range = under(`i\0${sensor}\0${month}`)
    const rows: IndexRow[] = []
    try {
      for await (const [key, value] of this.#reader.entries(range)) this.#addRow(rows, key, decodeIndexRow(value))
      return rows
    } catch (error) {
      if (!(error instanceof DamagedValueError)) throw error
    }
    rows.length = 0
    for await (const key of this.#reader.keys(range)) this.#addRow(rows, key, await this.#counts(key))
    return rows
  }

  #addRow(rows: IndexRow[], key: string, counts: IndexCounts | undefined): void {
    const parsed = parseDocumentId(documentOf(key))
    if (counts !== undefined && parsed.kind === 'journal' && !this.#damaged.has(documentOf(key)))
      rows.push({ document: documentOf(key), node: parsed.node, ...counts })
  }

  /** One index row; where it is damaged, what the journal itself says, and the stored row is made anew. */
  async #counts(key: string): Promise<IndexCounts | undefined> {
    try {
      const value = await this.#reader.get(key)
      return value === undefined ? undefined : decodeIndexRow(value)
    } catch (error) {
      if (!(error instanceof DamagedValueError)) throw error
      const id = documentOf(key)
      const expected = await this.#reading(id, undefined, (row) => expectedIndex(this.#reader, id, row))
      if (expected !== undefined) await repairIndex(this.#ledger, id, error.message)
      return expected?.get(key)
    }
  }

  async months(sensor: SensorId): Promise<readonly string[]> {
    const months: string[] = []
    const { lt } = under(`i\0${sensor}`)
    let { gte } = under(`i\0${sensor}`)
    for (;;) {
      const key = await first(this.#reader.keys({ gte, lt, limit: 1 }))
      if (key === undefined) return months
      const month = key.split('\0')[2] as string
      months.push(month)
      gte = `i\0${sensor}\0${month}\u0001`
    }
  }

  async *sensors(): AsyncIterable<SensorId> {
    const next = async (letter: 'i' | 'a', after: string | undefined): Promise<SensorId | undefined> => {
      const { gte, lt } = under(letter)
      const key = await first(
        this.#reader.keys({ gte: after === undefined ? gte : `${letter}\0${after}\u0001`, lt, limit: 1 }),
      )
      return key?.split('\0')[1] as SensorId | undefined
    }
    let indexed = await next('i', undefined)
    let amended = await next('a', undefined)
    while (indexed !== undefined || amended !== undefined) {
      const sensor = (
        amended === undefined || (indexed !== undefined && indexed <= amended) ? indexed : amended
      ) as SensorId
      yield sensor
      if (indexed === sensor) indexed = await next('i', sensor)
      if (amended === sensor) amended = await next('a', sensor)
    }
  }

  async amendmentDocuments(sensor: SensorId, fromDay: string, toDay: string): Promise<readonly DocumentId[]> {
    const documents: DocumentId[] = []
    for await (const key of this.#reader.keys({
      gte: `a\0${sensor}\0${fromDay}\0`,
      lt: `a\0${sensor}\0${toDay}\u0001`,
    }))
      documents.push(documentOf(key))
    return documents
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#reader[Symbol.asyncDispose]()
  }
}

function documentOf(key: string): DocumentId {
  return key.slice(key.lastIndexOf('\0') + 1) as DocumentId
}

/** Reads rows held in memory. */
function rowsReader(rows: readonly { readonly key: string; readonly value: Uint8Array }[]): OrderedReader {
  const byKey = new Map(rows.map(({ key, value }) => [key, value]))
  const sorted = [...byKey.keys()].sort()
  return {
    get: async (key) => byKey.get(key),
    async *range(from, to, { reverse = false, limit = Infinity } = {}) {
      const found = sorted.filter((key) => key >= from && key < to)
      if (reverse) found.reverse()
      for (const key of found.slice(0, limit)) yield [key, byKey.get(key) as Uint8Array]
    },
  }
}

async function first<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item
  return undefined
}
