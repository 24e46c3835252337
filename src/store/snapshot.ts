/** One consistent moment of all documents, for queries, reconciliation and backups. */
import { DamagedError, parseDocumentId, type ChangeHash, type DocumentId, type SensorId } from '../model/index.ts'
import type { Reader } from './database.ts'
import type { DocumentsSnapshot, IndexRow, JournalBatch, SharedContent } from './documents.ts'
import { listRange, rangeFingerprint, splitRange } from './fingerprints.ts'
import { readChangeHeader } from './change.ts'
import { openJournal, readChanges, readPart, readSeal } from './journal-contents.ts'
import { keys, under } from './keys.ts'
import { fingerprintReader, type Ledger } from './ledger.ts'
import { decodeIndexRow, stateOf, type DocumentRow } from './rows.ts'
import type {
  ChangeSet,
  DocumentRange,
  DocumentState,
  RangeFingerprint,
  SealStatement,
  SignedSeal,
  Tip,
} from './types.ts'

export class LedgerSnapshot implements DocumentsSnapshot {
  readonly #ledger: Ledger
  readonly #reader: Reader & AsyncDisposable
  readonly #open: readonly DocumentId[]
  /** Statement read last: parts of one journal are asked for one after the other. */
  #statement: { readonly id: DocumentId; readonly statement: SealStatement } | undefined

  constructor(ledger: Ledger) {
    this.#ledger = ledger
    this.#reader = ledger.options.database.snapshot()
    this.#open = [...ledger.open].sort()
  }

  async #row(id: DocumentId): Promise<DocumentRow | undefined> {
    const row = await this.#ledger.readable(id, this.#reader)
    return row === undefined || row.tips.length === 0 ? undefined : row
  }

  /** Reads of a document's bytes: damage takes it out of use and reads as absent. */
  async #reading<T>(id: DocumentId, absent: T, read: (row: DocumentRow) => Promise<T>): Promise<T> {
    const row = await this.#row(id)
    if (row === undefined) return absent
    try {
      return await read(row)
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      await this.#ledger.quarantine(id, error)
      return absent
    }
  }

  async *documents(range: DocumentRange = {}): AsyncIterable<DocumentState> {
    const all = under('d')
    const bounds = {
      gte: range.from === undefined ? all.gte : keys.document(range.from as DocumentId),
      lt: range.to === undefined ? all.lt : keys.document(range.to as DocumentId),
    }
    for await (const [id, row] of this.#ledger.rows(this.#reader, bounds))
      if (row.tips.length > 0) yield stateOf(id, row)
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

  settled(range: DocumentRange, limit?: number): AsyncIterable<{ readonly id: DocumentId; readonly hash: Uint8Array }> {
    return listRange(fingerprintReader(this.#reader), range, limit)
  }

  fingerprint(range: DocumentRange): Promise<RangeFingerprint> {
    return rangeFingerprint(fingerprintReader(this.#reader), range)
  }

  split(range: DocumentRange, parts: number): Promise<DocumentRange[]> {
    return splitRange(fingerprintReader(this.#reader), range, parts)
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
    if (first !== undefined && readChangeHeader(first).hash === held.hash) return chunks
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
    try {
      return await readPart(this.#reader, id, statement, index)
    } catch (error) {
      if (error instanceof DamagedError) await this.#ledger.quarantine(id, error)
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
    const rows: IndexRow[] = []
    for await (const [key, value] of this.#reader.entries(under(`i\0${sensor}\0${month}`))) {
      const document = key.slice(key.lastIndexOf('\0') + 1) as DocumentId
      const parsed = parseDocumentId(document)
      if (parsed.kind === 'journal') rows.push({ document, node: parsed.node, ...decodeIndexRow(value) })
    }
    return rows
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
      documents.push(key.slice(key.lastIndexOf('\0') + 1) as DocumentId)
    return documents
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#reader[Symbol.asyncDispose]()
  }
}

async function first<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item
  return undefined
}
