/** Up to which time this node has appended readings of each sensor: a later reading cannot be a duplicate. */
import { DamagedError, type NodeId, type Reading, type SensorId, type TimeUs } from '../model/index.ts'
import type { Database, Operation } from './database.ts'
import type { DocumentsSnapshot } from './documents.ts'
import { keys } from './keys.ts'

/** Sensors remembered in memory; the others are read from the disk when asked for. */
const rememberedSensors = 100_000
/** The mark of a sensor of which nothing was appended. */
const never = -1

export class AppendedMarks {
  readonly #database: Database
  readonly #snapshot: () => Promise<DocumentsSnapshot>
  readonly #node: NodeId | undefined
  /** The ones used longest ago stand first. */
  readonly #until = new Map<SensorId, TimeUs>()

  constructor(database: Database, snapshot: () => Promise<DocumentsSnapshot>, node: NodeId | undefined) {
    this.#database = database
    this.#snapshot = snapshot
    this.#node = node
  }

  /** The mark of a sensor, readings that wait for their flush included. */
  async get(sensor: SensorId): Promise<TimeUs | undefined> {
    const known = this.#until.get(sensor) ?? (await this.#load(sensor))
    return known === never ? undefined : known
  }

  async #load(sensor: SensorId): Promise<TimeUs> {
    const stored = (await this.#stored(sensor)) ?? (await this.#indexed(sensor))
    // Another call may have read and raised it meanwhile.
    const until = Math.max(stored, this.#until.get(sensor) ?? never)
    this.#remember(sensor, until)
    return until
  }

  async #stored(sensor: SensorId): Promise<TimeUs | undefined> {
    try {
      const stored = await this.#database.get(keys.appended(sensor))
      if (stored === undefined) return undefined
      return Buffer.from(stored.buffer, stored.byteOffset, stored.length).readDoubleBE(0)
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      return undefined
    }
  }

  /** Where there is no mark (a restored store) or it is damaged: the last reading in this node's journals. */
  async #indexed(sensor: SensorId): Promise<TimeUs> {
    await using snapshot = await this.#snapshot()
    let last = never
    for (const month of await snapshot.months(sensor))
      for (const row of await snapshot.index(sensor, month))
        if (row.node === this.#node) last = Math.max(last, row.last)
    return last
  }

  /**
   * Notes a reading that is about to be written; `false` if it may not be later than all before. Call `get` for its sensor
   * before: a mark that is not in memory any more counts as later.
   */
  raise(sensor: SensorId, time: TimeUs): boolean {
    const known = this.#until.get(sensor)
    if (known === undefined || known >= time) return false
    this.#remember(sensor, time)
    return true
  }

  #remember(sensor: SensorId, until: TimeUs): void {
    this.#until.delete(sensor)
    if (this.#until.size >= rememberedSensors) {
      const [oldest] = this.#until.keys()
      if (oldest !== undefined) this.#until.delete(oldest)
    }
    this.#until.set(sensor, until)
  }

  /** Puts for the flush of these readings. A mark that is too high costs a look-up, never a reading. */
  async operations(readings: readonly Reading[]): Promise<Operation[]> {
    const last = new Map<SensorId, TimeUs>()
    for (const { sensor, time } of readings) last.set(sensor, Math.max(last.get(sensor) ?? 0, time))
    const operations: Operation[] = []
    for (const [sensor, time] of last) {
      const value = Buffer.alloc(8)
      value.writeDoubleBE(Math.max(time, this.#until.get(sensor) ?? (await this.#load(sensor))))
      operations.push({ type: 'put', key: keys.appended(sensor), value })
    }
    return operations
  }
}
