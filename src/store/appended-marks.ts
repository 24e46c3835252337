/** Up to which time this node has appended readings of each sensor: a later reading cannot be a duplicate. */
import type { Reading, SensorId, TimeUs } from '../model/index.ts'
import type { Database, Operation } from './database.ts'
import { keys } from './keys.ts'

/** Sensors remembered in memory; the others are read from the disk when asked for. */
const rememberedSensors = 100_000

export class AppendedMarks {
  readonly #database: Database
  readonly #until = new Map<SensorId, TimeUs>()

  constructor(database: Database) {
    this.#database = database
  }

  /** The mark of a sensor, readings that wait for their flush included. */
  async get(sensor: SensorId): Promise<TimeUs | undefined> {
    const known = this.#until.get(sensor)
    if (known !== undefined) return known
    const stored = await this.#database.get(keys.appended(sensor))
    if (stored === undefined) return this.#until.get(sensor)
    const time = Buffer.from(stored.buffer, stored.byteOffset, stored.length).readDoubleBE(0)
    this.raise(sensor, time)
    return this.#until.get(sensor)
  }

  /** Notes a reading that is about to be written; `false` if it is not later than all before. Call `get` for its sensor before. */
  raise(sensor: SensorId, time: TimeUs): boolean {
    const known = this.#until.get(sensor)
    if (known !== undefined && known >= time) return false
    if (known === undefined && this.#until.size >= rememberedSensors) this.#until.clear()
    this.#until.set(sensor, time)
    return true
  }

  /** Puts for the flush of these readings. A mark that is too high costs a look-up, never a reading. */
  operations(readings: readonly Reading[]): Operation[] {
    const last = new Map<SensorId, TimeUs>()
    for (const { sensor, time } of readings) last.set(sensor, Math.max(last.get(sensor) ?? 0, time))
    return [...last].map(([sensor, time]) => {
      const value = Buffer.alloc(8)
      value.writeDoubleBE(Math.max(time, this.#until.get(sensor) ?? 0))
      return { type: 'put', key: keys.appended(sensor), value }
    })
  }
}
