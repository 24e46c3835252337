/**
 * The ledger of documents: the one place where a document's row changes. Each commit is one LevelDB batch with the bytes,
 * the row, and everything derived from it, and is known to anybody only after its fsync.
 */
import { decode, encode } from 'cborg'
import {
  DamagedError,
  limits,
  type Clock,
  type DocumentId,
  type NodeId,
  type Random,
  type RunId,
} from '../model/index.ts'
import type { Database, Operation, Reader } from './database.ts'
import { applyFingerprintChanges, fingerprintRows, type FingerprintItem, type OrderedReader } from './fingerprints.ts'
import { JournalContents, verifyDocument } from './journal-contents.ts'
import { keys, under } from './keys.ts'
import type { MembersSet } from './members.ts'
import { KeyedMutex } from './mutex.ts'
import type { OrderClock } from './order.ts'
import { decodeDocumentRow, emptyRow, encodeDocumentRow, stateHash, stateOf, type DocumentRow } from './rows.ts'
import { SharedContents } from './shared-contents.ts'
import { RunningTotals, sum, type Totals } from './totals.ts'
import type { ChangeSet, Signer, StoreChange, StoreLog } from './types.ts'

export interface LedgerOptions {
  readonly database: Database
  readonly members: MembersSet
  readonly clock: Clock
  readonly random: Random
  readonly order: OrderClock
  readonly run: RunId
  readonly signer: Signer | undefined
  readonly log: StoreLog
  readonly keepActors: boolean
}

const fingerprintLock = '\0fingerprints'

export class Ledger {
  readonly options: LedgerOptions
  readonly journals: JournalContents = new JournalContents()
  readonly shared: SharedContents
  /** Documents that are not settled: hundreds, whatever the number of all. */
  readonly open: Set<DocumentId> = new Set()
  readonly quarantined: Set<DocumentId> = new Set()
  /** Whether a journal is being written now; set by the writer. */
  isWriting: (id: DocumentId) => boolean = () => false
  readonly totals: RunningTotals = new RunningTotals()
  readonly #locks = new KeyedMutex()
  readonly #listeners = new Set<(change: StoreChange) => void>()

  constructor(options: LedgerOptions) {
    this.options = options
    this.shared = new SharedContents({
      node: options.signer?.node,
      random: options.random,
      keepActors: options.keepActors,
    })
  }

  onChange(listener: (change: StoreChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Runs edits of one document one after the other. */
  lock<T>(id: DocumentId, task: () => Promise<T>): Promise<T> {
    return this.#locks.run(id, task)
  }

  /**
   * Runs a task inside the document's lock. Where it meets damage in what is stored of the document, quarantines it and
   * runs the task once more.
   */
  lockHealing<T>(id: DocumentId, task: () => Promise<T>): Promise<T> {
    return this.lock(id, async () => {
      try {
        return await task()
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error
        await this.quarantine(id, error, { locked: true })
        return await task()
      }
    })
  }

  async row(id: DocumentId, reader: Reader = this.options.database): Promise<DocumentRow | undefined> {
    const stored = await reader.get(keys.document(id))
    return stored === undefined ? undefined : decodeDocumentRow(stored)
  }

  /** The row of a document that is about to be written; an empty one if it is new. Quarantined ones are empty too. */
  async rowForWrite(id: DocumentId): Promise<DocumentRow> {
    const { database } = this.options
    return (await this.readable(id, database, { locked: true })) ?? (await this.row(id)) ?? emptyRow
  }

  /**
   * Writes a document's new row with its operations in one synced batch, then tells. Call inside `lock(id)`. `before` is
   * the row as it stands.
   */
  async commit(
    id: DocumentId,
    before: DocumentRow,
    after: DocumentRow,
    operations: readonly Operation[],
    event: { readonly from: 'local' | NodeId; readonly changes?: ChangeSet },
  ): Promise<void> {
    const write = (derived: readonly Operation[]): Promise<void> => this.#write(id, before, after, operations, derived)
    if (before.settled || after.settled) {
      await this.#locks.run(fingerprintLock, async () => {
        const item = after.settled ? stateHash(id, after.heads) : undefined
        await write(await this.#fingerprints(id, item))
      })
    } else {
      await write([])
    }
    this.#tell({ state: stateOf(id, after), ...event })
  }

  /** `before` undefined: not known, its totals are counted again. */
  async #write(
    id: DocumentId,
    before: DocumentRow | undefined,
    after: DocumentRow,
    operations: readonly Operation[],
    derived: readonly Operation[],
  ): Promise<void> {
    const { database } = this.options
    const put: Operation = { type: 'put', key: keys.document(id), value: encodeDocumentRow(after) }
    await this.totals.writing(async () => {
      await database.write([...operations, put, ...derived])
      this.#account(id, before ?? emptyRow, after)
    })
    if (before === undefined) this.#recount()
  }

  /** Tells what became durable. It has happened: a listener that throws cannot undo it. */
  #tell(change: StoreChange): void {
    for (const listener of this.#listeners)
      try {
        listener(change)
      } catch (error) {
        this.options.log('error', 'a listener to changes failed', { document: change.state.id, reason: String(error) })
      }
  }

  #account(id: DocumentId, before: DocumentRow, after: DocumentRow): void {
    const { order, signer } = this.options
    if (signer !== undefined && isJournalOf(id, signer.node)) order.seed(after.order)
    else order.observe(after.order)
    this.totals.add(sum(totalsOf(id, after), totalsOf(id, before), -1))
    if (after.settled || !exists(after)) this.open.delete(id)
    else this.open.add(id)
    if (after.quarantined === undefined) this.quarantined.delete(id)
    else this.quarantined.add(id)
  }

  #recount(): void {
    const { database, log } = this.options
    this.totals
      .recount(async () => {
        await using reader = database.snapshot()
        let total: Totals = { records: 0, documents: 0, bytes: 0 }
        for await (const key of reader.keys(under('d'))) {
          const id = key.slice(2) as DocumentId
          const row = await this.#undamaged(id, reader)
          if (row !== undefined) total = sum(total, totalsOf(id, row), 1)
        }
        return total
      })
      .catch((error: unknown) => log('error', 'counting documents again failed', { reason: String(error) }))
  }

  /**
   * Takes a document whose bytes are damaged out of use: it reads as absent, peers see that it is lacking and send it
   * again. Its bytes stay until then. Damage that only an earlier moment shows (it was refilled since) changes nothing.
   */
  quarantine(id: DocumentId, error: Error, options: { readonly locked?: boolean } = {}): Promise<void> {
    return options.locked === true ? this.#quarantine(id, error) : this.lock(id, () => this.#quarantine(id, error))
  }

  async #quarantine(id: DocumentId, found: Error, options: { readonly counted?: boolean } = {}): Promise<void> {
    const { database, clock, log } = this.options
    let before: DocumentRow | undefined = options.counted === false ? emptyRow : undefined
    let reason = found.message
    this.journals.forget(id)
    await this.shared.drop(id)
    try {
      before = (await this.row(id)) ?? emptyRow
      if (before.quarantined !== undefined) return
      if (exists(before)) await verifyDocument(database, id, before)
      log('warn', 'damage that was seen in a document is not there any more', { document: id, reason })
      return
    } catch (cause) {
      if (!(cause instanceof DamagedError)) throw cause
      reason = cause.message
    }
    log('error', 'document damaged: quarantined until a peer or a backup refills it', { document: id, reason })
    const after: DocumentRow = { ...emptyRow, quarantined: { reason, at: clock.nowUs(), tips: before?.tips ?? [] } }
    const stale = await this.#indexRows(id)
    await this.#locks.run(fingerprintLock, async () => {
      await this.#write(id, before, after, stale, await this.#fingerprints(id, undefined))
    })
    // What read an earlier moment meanwhile may have opened it again.
    this.journals.forget(id)
    await this.shared.drop(id)
    this.#tell({ state: stateOf(id, after), from: 'local' })
  }

  /** Deletes of a journal's index rows: as long as it reads as absent, they would count what nobody can read. */
  async #indexRows(id: DocumentId): Promise<Operation[]> {
    const operations: Operation[] = []
    if (!id.startsWith('journal.')) return operations
    for await (const key of this.options.database.keys(under('i')))
      if (key.endsWith(`\0${id}`)) operations.push({ type: 'del', key })
    return operations
  }

  /** Operations on the fingerprint rows for one document's new item; rebuilds the rows where they are damaged. */
  async #fingerprints(id: DocumentId, item: Uint8Array | undefined): Promise<Operation[]> {
    const { database } = this.options
    const changes = new Map([[id, item]])
    try {
      return (await applyFingerprintChanges(fingerprintReader(database), changes)).map(fingerprintOperation)
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      await this.#rebuildFingerprints(error.message)
      return (await applyFingerprintChanges(fingerprintReader(database), changes)).map(fingerprintOperation)
    }
  }

  /** Makes the rows of fingerprints anew from the documents' rows. */
  rebuildFingerprints(reason: string): Promise<void> {
    return this.#locks.run(fingerprintLock, () => this.#rebuildFingerprints(reason))
  }

  async #rebuildFingerprints(reason: string): Promise<void> {
    const { database, log } = this.options
    log('warn', 'fingerprint rows damaged: rebuilding them', { reason })
    const operations: Operation[] = []
    for await (const key of database.keys(under('f'))) operations.push({ type: 'del', key })
    for await (const { key, value } of fingerprintRows(this.settledItems(database)))
      operations.push({ type: 'put', key: keys.fingerprint(key), value })
    await database.write(operations)
  }

  /** Settled documents as fingerprint items, in order. Leaves out rows that cannot be read: they lead to a quarantine elsewhere. */
  async *settledItems(reader: Reader): AsyncGenerator<FingerprintItem> {
    for await (const key of reader.keys(under('d'))) {
      const id = key.slice(2) as DocumentId
      const row = await this.#undamaged(id, reader)
      if (row?.settled === true) yield { id, hash: stateHash(id, row.heads) }
    }
  }

  /** Deletes of all bytes a document may have: rows that a quarantine left behind, or that a seal replaces. */
  async clearing(id: DocumentId): Promise<Operation[]> {
    const operations: Operation[] = []
    for (const prefix of [`c\0${id}`, `p\0${id}`])
      for await (const key of this.options.database.keys(under(prefix))) operations.push({ type: 'del', key })
    operations.push({ type: 'del', key: keys.seal(id) })
    return operations
  }

  /**
   * Reads every row once: counts, open and quarantined documents, greatest order. Gives those it could not read;
   * `quarantineUnread` takes them out of use.
   */
  async load(reader: Reader = this.options.database): Promise<DocumentId[]> {
    this.totals.reset()
    this.open.clear()
    this.quarantined.clear()
    const unread: DocumentId[] = []
    for await (const key of reader.keys(under('d'))) {
      const id = key.slice(2) as DocumentId
      const row = await this.#undamaged(id, reader)
      if (row === undefined) unread.push(id)
      else this.#account(id, emptyRow, row)
    }
    await this.#seedOrder(reader)
    return unread
  }

  async #seedOrder(reader: Reader): Promise<void> {
    const { order, log } = this.options
    try {
      const stored = await reader.get(keys.order)
      if (stored !== undefined) order.seed(decode(stored) as number)
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      log('warn', 'the last order of edits is damaged: taken from the documents', { reason: error.message })
    }
  }

  /** Takes rows that `load` could not read out of use. */
  async quarantineUnread(unread: readonly DocumentId[]): Promise<void> {
    for (const id of unread)
      await this.lock(id, () => this.#quarantine(id, new DamagedError('its row is damaged'), { counted: false }))
  }

  /** All rows in id order. A row that cannot be read is quarantined and left out. */
  async *rows(
    reader: Reader,
    range: { readonly gte: string; readonly lt: string } = under('d'),
  ): AsyncIterable<readonly [DocumentId, DocumentRow]> {
    for await (const key of reader.keys(range)) {
      const id = key.slice(2) as DocumentId
      const row = await this.readable(id, reader)
      if (row !== undefined) yield [id, row]
    }
  }

  /** A document's row as readers see it: `undefined` where it is absent or damaged (then it is quarantined). */
  async readable(
    id: DocumentId,
    reader: Reader,
    options: { readonly locked?: boolean } = {},
  ): Promise<DocumentRow | undefined> {
    try {
      return await this.row(id, reader)
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      await this.quarantine(id, error, options)
      return undefined
    }
  }

  async #undamaged(id: DocumentId, reader: Reader): Promise<DocumentRow | undefined> {
    try {
      return await this.row(id, reader)
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      return undefined
    }
  }

  /** Settles multi-writer documents that nobody changed for a while. */
  async settle(): Promise<void> {
    const before = this.options.clock.nowUs() - limits.settleMs * 1000
    for (const id of [...this.open]) {
      if (!id.startsWith('amendments.')) continue
      await this.lock(id, async () => {
        const row = await this.readable(id, this.options.database, { locked: true })
        if (row === undefined || row.settled || row.touched > before || row.quarantined !== undefined) return
        await this.commit(id, row, { ...row, settled: true }, [], { from: 'local' })
      })
    }
  }

  /** The put that keeps the order of edits across restarts; it goes into the batch of the edit. */
  orderOperation(): Operation {
    return { type: 'put', key: keys.order, value: encode(this.options.order.last) }
  }
}

function exists(row: DocumentRow): boolean {
  return row.tips.length > 0
}

function totalsOf(id: DocumentId, row: DocumentRow): Totals {
  const { records, bytes } = stateOf(id, row)
  return { records, bytes, documents: Number(exists(row)) }
}

function isJournalOf(id: DocumentId, node: NodeId): boolean {
  return id.startsWith('journal.1/') && id.split('/')[2] === node
}

export function fingerprintReader(reader: Reader): OrderedReader {
  return {
    get: (key) => reader.get(keys.fingerprint(key)),
    async *range(from, to, options = {}) {
      for await (const [key, value] of reader.entries({
        gte: keys.fingerprint(from),
        lt: keys.fingerprint(to),
        ...options,
      }))
        yield [key.slice(2), value]
    },
  }
}

function fingerprintOperation(
  operation:
    | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
    | { readonly type: 'del'; readonly key: string },
): Operation {
  return { ...operation, key: keys.fingerprint(operation.key) }
}
