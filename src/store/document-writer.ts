/** Writes documents of this node: journals through one writer a group, multi-writer documents edit by edit. */
import {
  DamagedError,
  LimitError,
  limits,
  NotAllowedError,
  parseDocumentId,
  type DocumentId,
  type GroupName,
  type Reading,
  type SensorId,
  type TimeUs,
} from '../model/index.ts'
import { AppendedMarks } from './appended-marks.ts'
import { readChangeHeader } from './change.ts'
import type { Operation } from './database.ts'
import type { Documents, DocumentsSnapshot } from './documents.ts'
import { JournalWriter } from './journal-writer.ts'
import { keys } from './keys.ts'
import type { Ledger } from './ledger.ts'
import { stateOf, type DocumentRow } from './rows.ts'
import { tipMessage } from './signing.ts'
import { LedgerSnapshot } from './snapshot.ts'
import type { DocumentState, Lane, Signer } from './types.ts'

export class DocumentWriter implements Documents {
  readonly #ledger: Ledger
  readonly #journals = new Map<GroupName, JournalWriter>()
  readonly marks: AppendedMarks

  constructor(ledger: Ledger) {
    this.#ledger = ledger
    ledger.isWriting = (id) => this.writing.has(id)
    this.marks = new AppendedMarks(ledger.options.database, () => this.snapshot(), ledger.options.signer?.node)
    // A journal that is being written is whole in memory: no peer has to refill it.
    ledger.onChange(({ state: { id } }) => {
      if (!ledger.quarantined.has(id)) return
      for (const writer of this.#journals.values()) if (writer.writing === id) writer.mend()
    })
  }

  get #signer(): Signer {
    const { signer } = this.#ledger.options
    if (signer === undefined)
      throw new NotAllowedError(
        'this directory has no identity: give it one with `hedgerow identity import` or `hedgerow join`, or found a new site',
      )
    return signer
  }

  snapshot(): Promise<DocumentsSnapshot> {
    return LedgerSnapshot.take(this.#ledger)
  }

  append(group: GroupName, lane: Lane, readings: readonly Reading[], flush: boolean): Promise<void> {
    let writer = this.#journals.get(group)
    if (writer === undefined) {
      writer = new JournalWriter(this.#ledger, this.#signer, this.marks, group)
      this.#journals.set(group, writer)
    }
    return writer.append(readings, lane, flush)
  }

  appendedUntil(sensor: SensorId): Promise<TimeUs | undefined> {
    return this.marks.get(sensor)
  }

  /** Readings that wait for their flush, all groups. */
  get queued(): number {
    let queued = 0
    for (const writer of this.#journals.values()) queued += writer.queued
    return queued
  }

  /** Journals this run is writing. */
  get writing(): ReadonlySet<DocumentId> {
    return new Set([...this.#journals.values()].flatMap(({ writing }) => writing ?? []))
  }

  async flush(): Promise<void> {
    await Promise.all([...this.#journals.values()].map((writer) => writer.flush()))
  }

  /** Writes what waits and seals every open journal. Throws the first failure after all were tried. */
  async seal(): Promise<void> {
    await this.flush()
    const failures: unknown[] = []
    for (const writer of this.#journals.values())
      await writer.seal().catch((error: unknown) => {
        failures.push(error)
      })
    if (failures.length > 0) throw failures[0]
  }

  abandon(): void {
    for (const writer of this.#journals.values()) writer.abandon()
  }

  edit(
    id: DocumentId,
    edit: (
      snapshot: DocumentsSnapshot,
      order: number,
    ) => Promise<ReadonlyMap<string, Uint8Array | string | number | boolean>>,
  ): Promise<DocumentState> {
    const ledger = this.#ledger
    const { database, order, clock } = ledger.options
    const signer = this.#signer
    return ledger.lock(id, async () => {
      const before = await ledger.rowForWrite(id)
      checkUsable(ledger, id)
      const time = order.next()
      await using snapshot = await LedgerSnapshot.take(ledger, { locked: id })
      const puts = await edit(snapshot, time)
      checkUsable(ledger, id)
      if (puts.size === 0) return stateOf(id, before)
      checkPuts(id, puts, stateOf(id, before))
      try {
        const chunk = await ledger.shared.put(database, id, before, puts, time)
        if (chunk === undefined) return stateOf(id, before)
        const { actor, seq, hash } = readChangeHeader(chunk)
        const held = before.tips.find((tip) => tip.actor === actor)
        const tip = {
          actor,
          seq,
          hash,
          records: (held?.records ?? 0) + puts.size,
          bytes: (held?.bytes ?? 0) + chunk.length,
          signature: signer.sign(tipMessage(id, actor, seq, hash)),
        }
        const after: DocumentRow = {
          tips: [...before.tips.filter((other) => other !== held), tip].sort((a, b) => (a.actor < b.actor ? -1 : 1)),
          heads: [hash],
          changes: before.changes + 1,
          order: Math.max(before.order, time),
          touched: clock.nowUs(),
          settled: false,
        }
        const operations: Operation[] = [
          { type: 'put', key: keys.change(id, after.changes), value: chunk },
          ledger.orderOperation(),
        ]
        const parsed = parseDocumentId(id)
        if (parsed.kind === 'amendments')
          operations.push({ type: 'put', key: keys.amended(parsed.sensor, parsed.day, id), value: new Uint8Array(0) })
        await ledger.commit(id, before, after, operations, {
          from: 'local',
          changes: { document: id, changes: [chunk], tips: [tip] },
        })
        return stateOf(id, after)
      } catch (error) {
        // The open handle may be ahead of the disk, and its actor may have signed what is not there: neither is used again.
        await ledger.shared.drop(id)
        if (error instanceof DamagedError) {
          await ledger.quarantine(id, error, { locked: true })
          checkUsable(ledger, id)
        }
        throw error
      }
    })
  }
}

function checkUsable(ledger: Ledger, id: DocumentId): void {
  if (ledger.quarantined.has(id))
    throw new DamagedError(
      `document ${id} is damaged and waits to be refilled from a peer or a backup; try again after that`,
    )
}

/** Half of what is accepted from others: edits made apart by several nodes still fit together. */
const ownPuts = 2 * limits.documentKeys
const ownBytes = limits.documentBytes / 2

function checkPuts(
  id: DocumentId,
  puts: ReadonlyMap<string, Uint8Array | string | number | boolean>,
  state: DocumentState,
): void {
  if (puts.size > limits.changePuts)
    throw new LimitError(`one edit of ${puts.size} entries; at most ${limits.changePuts} fit one change`)
  if (state.tips.length >= limits.documentActors / 2)
    throw new LimitError(`document ${id} is full: ${state.tips.length} runs of nodes have edited it`)
  if (state.records + puts.size > ownPuts || state.bytes > ownBytes)
    throw new LimitError(`document ${id} is full: it holds ${state.records} entries of ${state.bytes} bytes`)
  for (const [key, value] of puts) {
    const size = value instanceof Uint8Array ? value.length : typeof value === 'string' ? Buffer.byteLength(value) : 8
    if (size + key.length > limits.entryBytes)
      throw new LimitError(
        `entry ${key} has ${size} bytes; at most ${limits.entryBytes} are kept: shorten note or text`,
      )
  }
}
