/**
 * The ledger of documents: the one place where a document's row changes. Each commit is one LevelDB batch with the bytes,
 * the row, and everything derived from it, and is known to anybody only after its fsync.
 */
import {
  limits,
  type Clock,
  type DocumentId,
  type NodeId,
  type Random,
  type RunId,
  DamagedError,
} from '../model/index.ts'
import type { Database, Operation, Reader } from './database.ts'
import { applyFingerprintChanges, fingerprintRows, type FingerprintItem, type OrderedReader } from './fingerprints.ts'
import { JournalContents } from './journal-contents.ts'
import { keys, under } from './keys.ts'
import type { MembersSet } from './members.ts'
import { KeyedMutex } from './mutex.ts'
import type { OrderClock } from './order.ts'
import { decodeDocumentRow, emptyRow, encodeDocumentRow, stateHash, stateOf, type DocumentRow } from './rows.ts'
import { SharedContents } from './shared-contents.ts'
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

export interface Totals {
  records: number
  documents: number
  bytes: number
}

const fingerprintLock = '\0fingerprints'

export class Ledger {
  readonly options: LedgerOptions
  readonly journals: JournalContents = new JournalContents()
  readonly shared: SharedContents
  /** Documents that are not settled: hundreds, whatever the number of all. */
  readonly open: Set<DocumentId> = new Set()
  readonly quarantined: Set<DocumentId> = new Set()
  readonly totals: Totals = { records: 0, documents: 0, bytes: 0 }
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

  async row(id: DocumentId, reader: Reader = this.options.database): Promise<DocumentRow | undefined> {
    const stored = await reader.get(keys.document(id))
    return stored === undefined ? undefined : decodeDocumentRow(stored)
  }

  /** The row of a document that is about to be written; an empty one if it is new. Quarantined ones are empty too. */
  async rowForWrite(id: DocumentId): Promise<DocumentRow> {
    try {
      return (await this.row(id)) ?? emptyRow
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      await this.quarantine(id, error, { locked: true })
      return (await this.row(id)) ?? emptyRow
    }
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
    const { database } = this.options
    const put: Operation = { type: 'put', key: keys.document(id), value: encodeDocumentRow(after) }
    if (before.settled || after.settled) {
      await this.#locks.run(fingerprintLock, async () => {
        const item = after.settled ? stateHash(id, after.heads) : undefined
        await database.write([...operations, put, ...(await this.#fingerprints(id, item))])
      })
    } else {
      await database.write([...operations, put])
    }
    this.#account(id, before, after)
    const change: StoreChange = { state: stateOf(id, after), ...event }
    for (const listener of this.#listeners) listener(change)
  }

  #account(id: DocumentId, before: DocumentRow, after: DocumentRow): void {
    this.options.order.observe(after.order)
    const was = stateOf(id, before)
    const is = stateOf(id, after)
    this.totals.records += is.records - was.records
    this.totals.bytes += is.bytes - was.bytes
    this.totals.documents += Number(exists(after)) - Number(exists(before))
    if (after.settled || !exists(after)) this.open.delete(id)
    else this.open.add(id)
    if (after.quarantined === undefined) this.quarantined.delete(id)
    else this.quarantined.add(id)
  }

  /**
   * Takes a document whose bytes are damaged out of use: it reads as absent, peers see that it is lacking and send it
   * again. Its bytes stay until then.
   */
  async quarantine(id: DocumentId, error: Error, options: { readonly locked?: boolean } = {}): Promise<void> {
    const { database, clock, log } = this.options
    const task = async (): Promise<void> => {
      let before = emptyRow
      try {
        before = (await this.row(id)) ?? emptyRow
      } catch (cause) {
        if (!(cause instanceof DamagedError)) throw cause
        // The row itself is what is damaged: totals are counted again at the next start.
      }
      if (before.quarantined !== undefined) return
      log('error', 'document damaged: quarantined until a peer or a backup refills it', {
        document: id,
        reason: error.message,
      })
      const after: DocumentRow = { ...emptyRow, quarantined: { reason: error.message, at: clock.nowUs() } }
      this.journals.forget(id)
      await this.shared.drop(id)
      await this.#locks.run(fingerprintLock, async () => {
        const put: Operation = { type: 'put', key: keys.document(id), value: encodeDocumentRow(after) }
        await database.write([put, ...(await this.#fingerprints(id, undefined))])
      })
      this.#account(id, before, after)
      for (const listener of this.#listeners) listener({ state: stateOf(id, after), from: 'local' })
    }
    await (options.locked === true ? task() : this.lock(id, task))
  }

  /** Operations on the fingerprint rows for one document's new item; rebuilds the rows where they are damaged. */
  async #fingerprints(id: DocumentId, item: Uint8Array | undefined): Promise<Operation[]> {
    const { database, log } = this.options
    const changes = new Map([[id, item]])
    try {
      return (await applyFingerprintChanges(fingerprintReader(database), changes)).map(fingerprintOperation)
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      log('warn', 'fingerprint rows damaged: rebuilding them', { reason: error.message })
      await this.#rebuildFingerprints()
      return (await applyFingerprintChanges(fingerprintReader(database), changes)).map(fingerprintOperation)
    }
  }

  async #rebuildFingerprints(): Promise<void> {
    const { database } = this.options
    const stale: Operation[] = []
    for await (const key of database.keys(under('f'))) stale.push({ type: 'del', key })
    const items: FingerprintItem[] = []
    for await (const [, value] of this.#settledRows()) items.push(value)
    const rows: Operation[] = []
    for await (const { key, value } of fingerprintRows(items))
      rows.push({ type: 'put', key: keys.fingerprint(key), value })
    await database.write([...stale, ...rows])
  }

  /** Settled documents as fingerprint items, skipping rows that cannot be read (reading them quarantines them). */
  async *#settledRows(): AsyncIterable<readonly [DocumentId, FingerprintItem]> {
    for await (const key of this.options.database.keys(under('d'))) {
      const id = key.slice(2) as DocumentId
      const row = await this.row(id).catch((error: unknown) => {
        if (error instanceof DamagedError) return undefined
        throw error
      })
      if (row?.settled === true) yield [id, { id, hash: stateHash(id, row.heads) }]
    }
  }

  /** Deletes of all bytes a document may have: rows that a quarantine left behind, or that a seal replaces. */
  async clearing(id: DocumentId): Promise<Operation[]> {
    const operations: Operation[] = []
    for (const prefix of [`c\0${id}`, `p\0${id}`, `s\0${id}`])
      for await (const key of this.options.database.keys(under(prefix))) operations.push({ type: 'del', key })
    return operations
  }

  /** Reads every row once: counts, open and quarantined documents, greatest order. */
  async load(): Promise<void> {
    for await (const [id, row] of this.rows(this.options.database)) this.#account(id, emptyRow, row)
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
  async readable(id: DocumentId, reader: Reader): Promise<DocumentRow | undefined> {
    try {
      return await this.row(id, reader)
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      await this.quarantine(id, error)
      return undefined
    }
  }

  /** Settles multi-writer documents that nobody changed for a while. */
  async settle(): Promise<void> {
    const before = this.options.clock.nowUs() - limits.settleMs * 1000
    for (const id of [...this.open]) {
      if (!id.startsWith('amendments.')) continue
      await this.lock(id, async () => {
        const row = await this.#readableLocked(id)
        if (row === undefined || row.settled || row.touched > before || row.quarantined !== undefined) return
        await this.commit(id, row, { ...row, settled: true }, [], { from: 'local' })
      })
    }
  }

  async #readableLocked(id: DocumentId): Promise<DocumentRow | undefined> {
    try {
      return await this.row(id)
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      await this.quarantine(id, error, { locked: true })
      return undefined
    }
  }
}

function exists(row: DocumentRow): boolean {
  return row.tips.length > 0
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
