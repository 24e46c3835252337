/**
 * Writes the journals of one group: readings wait for their lane's flush, one flush is one change, one signature, one
 * synced batch. After a failed batch the open handle is given up, its actor is never used again, and intake goes on in a
 * new journal.
 */
import {
  journalId,
  limits,
  makeActorId,
  readingBytes,
  type ActorId,
  type DocumentId,
  type GroupName,
  type Reading,
  type Timer,
} from '../model/index.ts'
import type { AppendedMarks } from './appended-marks.ts'
import { newHandle, type Handle } from './automerge.ts'
import { encodeBatch } from './batch-codec/index.ts'
import { readChangeHeader } from './change.ts'
import type { Operation } from './database.ts'
import { indexOperations, JournalIndex } from './journal-index.ts'
import { keys } from './keys.ts'
import type { Ledger } from './ledger.ts'
import { KeyedMutex } from './mutex.ts'
import { emptyRow, type DocumentRow } from './rows.ts'
import { sealWith } from './sealing.ts'
import { tipMessage } from './signing.ts'
import type { Lane, Signer } from './types.ts'

/** How long readings of a lane may wait, unacknowledged, for their flush. */
const flushMs: Readonly<Record<Lane, number>> = { critical: 50, normal: 2_000, bulk: 30_000 }

/** What one flush holds: readings, their values (each may be a series of its own) and their estimated bytes. */
interface Size {
  readonly readings: number
  readonly values: number
  readonly bytes: number
}

interface Waiting {
  readonly readings: readonly Reading[]
  readonly size: Size
  taken: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

interface OpenJournal {
  readonly id: DocumentId
  readonly actor: ActorId
  readonly handle: Handle
  readonly index: JournalIndex
  readonly startedMs: number
  row: DocumentRow
}

export class JournalWriter {
  readonly #ledger: Ledger
  readonly #signer: Signer
  readonly #marks: AppendedMarks
  readonly #group: GroupName
  readonly #waiting: Waiting[] = []
  #queued = 0
  #urgent = false
  #timer: Timer | undefined
  #deadlineMs = Infinity
  #pumping: Promise<void> | undefined
  /** Writes and seals of the open journal, one after the other. */
  readonly #turns = new KeyedMutex()
  #journal: OpenJournal | undefined
  #journals = 0

  constructor(ledger: Ledger, signer: Signer, marks: AppendedMarks, group: GroupName) {
    this.#ledger = ledger
    this.#signer = signer
    this.#marks = marks
    this.#group = group
  }

  /** Readings that wait for their flush. */
  get queued(): number {
    return this.#queued
  }

  /** Resolves when the readings are durable. */
  append(readings: readonly Reading[], lane: Lane, flush: boolean): Promise<void> {
    if (readings.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waiting.push({ readings, size: readings.reduce(grown, empty), taken: 0, resolve, reject })
      this.#queued += readings.length
      if (flush || this.#queued >= limits.flushReadings) this.#pump()
      else this.#schedule(flushMs[lane])
    })
  }

  /** Writes what waits. Failures reject the appends that wait, not this. */
  async flush(): Promise<void> {
    if (this.#queued > 0) this.#pump()
    await this.#pumping
  }

  /** Rotates: seals the open journal. The next flush begins a new one. */
  async seal(): Promise<void> {
    await this.flush()
    await this.#turns.run('', async () => {
      const journal = this.#journal
      this.#journal = undefined
      if (journal !== undefined) await this.#seal(journal)
    })
  }

  /** Writes the open journal anew from memory, where its stored bytes were found damaged. */
  mend(): void {
    const { log } = this.#ledger.options
    this.#turns
      .run('', async () => {
        const journal = this.#journal
        if (journal !== undefined) await this.#ledger.lock(journal.id, () => this.#mend(journal))
      })
      .catch((error: unknown) => log('error', 'writing a damaged journal anew failed', { reason: String(error) }))
  }

  /** Frees the open journal without sealing it. */
  abandon(): void {
    this.#timer?.cancel()
    this.#journal?.handle.free()
    this.#journal = undefined
  }

  /** Ids of journals that are being written. */
  get writing(): DocumentId | undefined {
    return this.#journal?.id
  }

  #schedule(delayMs: number): void {
    const { clock } = this.#ledger.options
    const deadline = clock.monotonicMs() + delayMs
    if (deadline >= this.#deadlineMs) return
    this.#timer?.cancel()
    this.#deadlineMs = deadline
    this.#timer = clock.setTimer(() => this.#pump(), delayMs)
  }

  #pump(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#deadlineMs = Infinity
    if (this.#waiting.length === 0) return
    this.#urgent = true
    this.#pumping ??= this.#drain()
  }

  /** Ends in the same turn in which it finds nothing to do: a pump either reaches it or starts the next. */
  async #drain(): Promise<void> {
    while (this.#urgent) {
      // Appends of the same turn share the flush; what comes during it goes into the next.
      await Promise.resolve()
      this.#urgent = false
      const { readings, whole } = this.#take()
      try {
        await this.#turns.run('', () => this.#write(readings))
        for (const { resolve } of whole) resolve()
      } catch (error) {
        for (const { reject } of whole) reject(error)
        const [next] = this.#waiting
        if (next !== undefined && next.taken > 0) {
          this.#waiting.shift()
          this.#queued -= next.readings.length - next.taken
          next.reject(error)
        }
      }
      this.#urgent = this.#waiting.length > 0
    }
    this.#pumping = undefined
  }

  /**
   * Takes what one flush holds: the waiting readings in order, up to the limits, and the appends they complete. An append
   * that fits one flush is never cut in two: it becomes durable whole or not at all.
   */
  #take(): { readonly readings: Reading[]; readonly whole: Waiting[] } {
    const readings: Reading[] = []
    const whole: Waiting[] = []
    let size = empty
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (next.taken === 0 && fits(next.size) && !fits(sumOf(size, next.size))) break
      while (next.taken < next.readings.length) {
        const reading = next.readings[next.taken] as Reading
        const taken = grown(size, reading)
        if (readings.length > 0 && !fits(taken)) break
        size = taken
        readings.push(reading)
        next.taken++
      }
      if (next.taken < next.readings.length) break
      whole.push(next)
      this.#waiting.shift()
    }
    this.#queued -= readings.length
    return { readings, whole }
  }

  async #write(readings: readonly Reading[]): Promise<void> {
    const batch = encodeBatch(readings)
    const marks = await this.#marks.operations(readings)
    const journal = (this.#journal ??= await this.#begin())
    try {
      await this.#ledger.lock(journal.id, () => this.#commit(journal, batch, readings.length, marks))
    } catch (error) {
      this.#journal = undefined
      journal.handle.free()
      throw error
    }
    const { row } = journal
    const { clock } = this.#ledger.options
    if (
      row.changes >= limits.journalChanges ||
      (row.tips[0]?.bytes ?? 0) >= limits.journalBytes ||
      clock.monotonicMs() - journal.startedMs >= limits.journalAgeMs
    ) {
      this.#journal = undefined
      // The readings are durable: a seal that fails is made by the next run.
      await this.#seal(journal).catch((error: unknown) => {
        this.#ledger.options.log('error', 'sealing a journal failed', { document: journal.id, reason: String(error) })
      })
    }
  }

  /** Begins a journal that nobody has written to: not even a process with the same run id, such as a clone of this machine. */
  async #begin(): Promise<OpenJournal> {
    const { run, random, clock, database } = this.#ledger.options
    let id: DocumentId
    do {
      id = journalId(this.#group, this.#signer.node, run, ++this.#journals)
    } while ((await this.#ledger.readable(id, database)) !== undefined || this.#ledger.quarantined.has(id))
    const actor = makeActorId(this.#signer.node, random.bytes(8))
    return {
      id,
      actor,
      handle: newHandle(actor),
      index: new JournalIndex(),
      startedMs: clock.monotonicMs(),
      row: emptyRow,
    }
  }

  async #commit(journal: OpenJournal, batch: Uint8Array, readings: number, marks: readonly Operation[]): Promise<void> {
    const { id, actor, handle, row } = journal
    const { order, clock } = this.#ledger.options
    const seq = row.changes + 1
    const time = order.next()
    handle.put('_root', String(seq), batch, 'bytes')
    handle.commit(undefined, time)
    const chunk = handle.getLastLocalChange() as Uint8Array
    const { hash } = readChangeHeader(chunk)
    const before = row.tips[0]
    const tip = {
      actor,
      seq,
      hash,
      records: (before?.records ?? 0) + readings,
      bytes: (before?.bytes ?? 0) + chunk.length,
      signature: this.#signer.sign(tipMessage(id, actor, seq, hash)),
    }
    const after: DocumentRow = {
      tips: [tip],
      heads: [hash],
      changes: seq,
      order: time,
      touched: clock.nowUs(),
      settled: false,
    }
    const months = journal.index.add(batch)
    const damaged = this.#ledger.quarantined.has(id)
    const operations: Operation[] = damaged
      ? await this.#whole(journal)
      : [{ type: 'put', key: keys.change(id, seq), value: chunk }, ...indexOperations(id, months)]
    const stored = damaged ? await this.#ledger.rowForWrite(id) : row
    await this.#ledger.commit(id, stored, after, [...operations, ...marks], {
      from: 'local',
      changes: { document: id, changes: [chunk], tips: [tip] },
    })
    journal.row = after
  }

  async #mend(journal: OpenJournal): Promise<void> {
    const { id, row } = journal
    if (!this.#ledger.quarantined.has(id)) return
    const stored = await this.#ledger.rowForWrite(id)
    await this.#ledger.commit(id, stored, row, await this.#whole(journal), { from: 'local' })
    this.#ledger.options.log('info', 'a damaged journal was written anew from memory', { document: id })
  }

  /** Operations that write all there is of the open journal, from memory. */
  async #whole({ id, handle, index }: OpenJournal): Promise<Operation[]> {
    const operations = await this.#ledger.clearing(id)
    for (const [i, value] of handle.getChanges([]).entries())
      operations.push({ type: 'put', key: keys.change(id, i + 1), value })
    operations.push(...indexOperations(id, index.months()))
    return operations
  }

  async #seal({ id, row, handle, index }: OpenJournal): Promise<void> {
    const ledger = this.#ledger
    try {
      await ledger.lock(id, async () => {
        const stored = ledger.quarantined.has(id) ? await ledger.rowForWrite(id) : row
        await sealWith(ledger, this.#signer, id, row, handle, index, stored)
      })
    } finally {
      handle.free()
    }
  }
}

const empty: Size = { readings: 0, values: 0, bytes: 0 }

function sumOf(a: Size, b: Size): Size {
  return { readings: a.readings + b.readings, values: a.values + b.values, bytes: a.bytes + b.bytes }
}

function grown(size: Size, reading: Reading): Size {
  return sumOf(size, { readings: 1, values: reading.fields.length, bytes: readingBytes(reading) })
}

function fits({ readings, values, bytes }: Size): boolean {
  return readings <= limits.batchReadings && values <= limits.batchSeries && bytes <= limits.flushBytes
}
