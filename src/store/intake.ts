/** Takes readings in: checks them, leaves out what this node has already appended, and hands them to their group's journal. */
import {
  checkReading,
  limits,
  sameValue,
  utcMonth,
  type FieldReading,
  type GroupName,
  type Reading,
  type SensorId,
  type TimeUs,
} from '../model/index.ts'
import { decodeBatch } from './batch-codec/index.ts'
import type { DiskWatch } from './disk-watch.ts'
import type { DocumentWriter } from './document-writer.ts'
import type { Ledger } from './ledger.ts'
import { KeyedMutex } from './mutex.ts'
import type { PolicyResolver } from './records/index.ts'
import type { AppendOptions, AppendResult } from './types.ts'

/** How long a full queue is looked at again. */
const roomMs = 5

export class Intake {
  readonly #ledger: Ledger
  readonly #writer: DocumentWriter
  readonly #disk: DiskWatch
  readonly #policy: () => Promise<PolicyResolver>
  readonly #locks = new KeyedMutex()
  readonly #entering = new Set<Promise<unknown>>()

  constructor(ledger: Ledger, writer: DocumentWriter, policy: () => Promise<PolicyResolver>, disk: DiskWatch) {
    this.#ledger = ledger
    this.#writer = writer
    this.#policy = policy
    this.#disk = disk
  }

  async append(readings: readonly Reading[], options: AppendOptions = {}): Promise<AppendResult> {
    const { promise: queued, resolve } = Promise.withResolvers<void>()
    this.#entering.add(queued)
    const entered = (): void => {
      this.#entering.delete(queued)
      resolve()
    }
    try {
      return await this.#append(readings, options, entered)
    } finally {
      entered()
    }
  }

  /** Resolves when every append called before now waits for its flush, or has ended. */
  async entered(): Promise<void> {
    await Promise.all(this.#entering)
  }

  async #append(
    readings: readonly Reading[],
    { flush = false, signal }: AppendOptions,
    entered: () => void,
  ): Promise<AppendResult> {
    for (const reading of readings) checkReading(reading)
    await this.#disk.check()
    while (this.#writer.queued >= limits.queuedReadings)
      await this.#ledger.options.clock.sleep(roomMs, signal ? { signal } : {})
    const policy = await this.#policy()
    const late = await this.#late(readings)
    if (!late) return this.#write(policy, readings, 0, flush, entered)
    // One at a time: two appends of the same late reading must see each other.
    return this.#locks.run('late', async () => {
      await this.#writer.flush()
      const { fresh, duplicates } = await this.#withoutDuplicates(readings)
      return this.#write(policy, fresh, duplicates, true, entered)
    })
  }

  async #write(
    policy: PolicyResolver,
    readings: readonly Reading[],
    duplicates: number,
    flush: boolean,
    entered: () => void,
  ): Promise<AppendResult> {
    const groups = new Map<GroupName, Reading[]>()
    for (const reading of readings) {
      const group = policy.groupOf(reading.sensor)
      const list = groups.get(group)
      if (list === undefined) groups.set(group, [reading])
      else list.push(reading)
    }
    const written = [...groups].map(([group, list]) => this.#writer.append(group, policy.laneOf(group), list, flush))
    entered()
    await Promise.all(written)
    return { appended: readings.length, duplicates }
  }

  /** Raises the marks of all sensors; tells whether some reading is not later than all that this node has of its sensor. */
  async #late(readings: readonly Reading[]): Promise<boolean> {
    const { marks } = this.#writer
    for (const sensor of new Set(readings.map((reading) => reading.sensor))) await marks.get(sensor)
    // From here to the end nothing waits: of two appends of one reading the second sees the mark of the first.
    let late = false
    for (const { sensor, time } of readings) if (!marks.raise(sensor, time)) late = true
    return late
  }

  async #withoutDuplicates(
    readings: readonly Reading[],
  ): Promise<{ readonly fresh: Reading[]; readonly duplicates: number }> {
    const own = await this.#own(readings)
    const fresh: Reading[] = []
    let duplicates = 0
    for (const reading of readings) {
      const key = `${reading.sensor}\0${reading.time}`
      const known = own.get(key) ?? []
      const fields = reading.fields.filter((field) => !known.some((other) => sameReading(field, other)))
      duplicates += reading.fields.length - fields.length
      if (fields.length === 0) continue
      fresh.push(fields.length === reading.fields.length ? reading : { ...reading, fields })
      own.set(key, [...known, ...fields])
    }
    return { fresh, duplicates }
  }

  /** What this node's journals hold at the (sensor, time) of these readings. */
  async #own(readings: readonly Reading[]): Promise<Map<string, readonly FieldReading[]>> {
    const { signer } = this.#ledger.options
    const wanted = new Map<SensorId, { from: TimeUs; to: TimeUs; times: Set<TimeUs> }>()
    for (const { sensor, time } of readings) {
      const range = wanted.get(sensor)
      if (range === undefined) wanted.set(sensor, { from: time, to: time, times: new Set([time]) })
      else {
        range.from = Math.min(range.from, time)
        range.to = Math.max(range.to, time)
        range.times.add(time)
      }
    }
    const own = new Map<string, readonly FieldReading[]>()
    await using snapshot = await this.#writer.snapshot()
    for (const [sensor, { from, to, times }] of wanted) {
      const documents = new Set<Parameters<typeof snapshot.batches>[0]>()
      for (const month of await snapshot.months(sensor)) {
        if (month < utcMonth(from) || month > utcMonth(to)) continue
        for (const row of await snapshot.index(sensor, month))
          if (row.node === signer?.node && row.first <= to && row.last >= from) documents.add(row.document)
      }
      for (const document of documents)
        for (const { bytes } of await snapshot.batches(document))
          for (const reading of decodeBatch(bytes, { sensors: (other) => other === sensor, from, to: to + 1 })) {
            if (!times.has(reading.time)) continue
            const key = `${sensor}\0${reading.time}`
            own.set(key, [...(own.get(key) ?? []), ...reading.fields])
          }
    }
    return own
  }
}

function sameReading(a: FieldReading, b: FieldReading): boolean {
  return a.field === b.field && (a.quality ?? 'good') === (b.quality ?? 'good') && sameValue(a.value, b.value)
}
