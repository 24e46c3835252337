/** What encoder and decoder of a batch share: flags, bounds, and the order of rows. */
import { limits, type ValueType } from '../../model/index.ts'

export const batchVersion = 1

export const batchFlags = { sensors: 1, tables: 2, streams: 4, raw: 8, zstd: 16 } as const
export const knownBatchFlags = 31

/** Byte of a column: type (2 bits), mode (3), quality (2), partial (1). */
export const types: readonly ValueType[] = ['float', 'int', 'bool', 'string']
export const modeShift = 2
export const qualityShift = 5
/** Quality code beyond the three qualities: every value has its own. */
export const ownQuality = 3
export const partialFlag = 0x80

/** Byte of a table where the batch has several sensors. */
export const tableFlags = { severalSensors: 1, timesBySensor: 2 } as const

/** Rows × columns over all tables: what a decoder may have to keep, at eight bytes each. */
export const maxCells: number = limits.batchRawBytes / 8

/** From this many values on every column gets a stream of its own, so that a reader can leave columns out. */
export const ownStreamValues = 8192

/**
 * Orders rows by sensor, rows of one sensor as they were (a counting sort). Gives the row at each place, and how many
 * rows each sensor has; for one sensor the rows as they are.
 */
export function sortBySensor(
  sensorOf: ArrayLike<number>,
  rows: number,
  sensors: number,
): { order: Uint16Array; counts: Uint16Array } {
  const counts = new Uint16Array(sensors)
  for (let row = 0; row < rows; row++) (counts[sensorOf[row] as number] as number)++
  const next = new Uint16Array(sensors)
  for (let sensor = 1; sensor < sensors; sensor++)
    next[sensor] = (next[sensor - 1] as number) + (counts[sensor - 1] as number)
  const order = new Uint16Array(rows)
  for (let row = 0; row < rows; row++) {
    const sensor = sensorOf[row] as number
    order[next[sensor] as number] = row
    ;(next[sensor] as number)++
  }
  return { order, counts }
}

/**
 * Turns numbers (sensors of rows, tables of readings) into symbols: 0 where a number follows the one it followed last
 * time (at first: its successor), else the number + 1. A round of sensors costs next to nothing.
 */
export function toSymbols(numbers: ArrayLike<number>, n: number, kinds: number, out: Float64Array): void {
  const follower = firstFollowers(kinds)
  let before = 0
  for (let i = 0; i < n; i++) {
    const number = numbers[i] as number
    out[i] = follower[before] === number ? 0 : number + 1
    follower[before] = number
    before = number + 1
  }
}

/** Undoes `toSymbols` in place; `false` if a number is out of range. */
export function fromSymbols(symbols: Float64Array, n: number, kinds: number): boolean {
  const follower = firstFollowers(kinds)
  let before = 0
  for (let i = 0; i < n; i++) {
    const symbol = symbols[i] as number
    const number = symbol === 0 ? (follower[before] as number) : symbol - 1
    if (!(number >= 0 && number < kinds)) return false
    follower[before] = number
    before = number + 1
    symbols[i] = number
  }
  return true
}

/** Slot 0 is the start, slot k + 1 belongs to number k. */
function firstFollowers(kinds: number): Uint16Array {
  return Uint16Array.from({ length: kinds + 1 }, (_, i) => i)
}
