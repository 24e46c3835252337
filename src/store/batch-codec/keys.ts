/** Keys of a batch: in which table a reading is, whose it is and when, and which fields it has. */
import { limits } from '../../model/index.ts'
import { damaged } from './bytes.ts'
import type { Header, HeaderTable } from './header.ts'
import { fromSymbols, maxCells, sortBySensor } from './layout.ts'
import type { RangeDecoder } from './range-coder.ts'
import { scratch } from './scratch.ts'
import { decodeSequence } from './sequence.ts'

/** Rows of one table. */
export interface TableRows {
  readonly rows: number
  /** Index of the reading, and its time, at each place: ordered by sensor. */
  readonly readings: Uint16Array
  readonly times: Float64Array
  /** Rows per sensor of the batch. */
  readonly counts: Uint16Array
  /** Per column: 1 where it is absent; `undefined`: nowhere. And how many rows have it. */
  readonly absent: readonly (Uint8Array | undefined)[]
  readonly present: readonly number[]
}

/** Reads tables, sensors, times and presence of all readings, which follow the names in the first stream. To be called once. */
export function readKeys(header: Header): TableRows[] {
  const { coder } = header
  const readingsOf = readTables(header, coder)
  const used = new Uint8Array(header.sensors.length)
  let cells = 0
  let series = 0
  const keys: TableRows[] = []
  for (let t = 0; t < header.tables.length; t++) {
    const table = header.tables[t] as HeaderTable
    const readings = readingsOf[t] as Uint16Array
    if (readings.length === 0) damaged('a table has no rows')
    cells += readings.length * table.columns.length
    if (cells > maxCells) damaged(`it has more than ${maxCells} values`)
    const rows = readTableKeys(header, table, readings, coder)
    let sensorCount = 0
    for (let sensor = 0; sensor < used.length; sensor++)
      if ((rows.counts[sensor] as number) > 0) {
        used[sensor] = 1
        sensorCount++
      }
    series += sensorCount * table.columns.length
    if (series > limits.batchSeries) damaged(`it has more than ${limits.batchSeries} series`)
    keys.push(rows)
  }
  if (used.includes(0)) damaged('a sensor has no readings')
  return keys
}

function readTables({ readings, tableOf, tables }: Header, coder: RangeDecoder): Uint16Array[] {
  if (tableOf === undefined) {
    const all = new Uint16Array(readings)
    for (let i = 0; i < readings; i++) all[i] = i
    return [all]
  }
  const numbers = scratch.a
  decodeSequence(coder, tableOf, readings, numbers)
  if (!fromSymbols(numbers, readings, tables.length)) damaged('a reading is in no table')
  const sizes = new Uint16Array(tables.length)
  for (let i = 0; i < readings; i++) (sizes[numbers[i] as number] as number)++
  const lists = tables.map((_, t) => new Uint16Array(sizes[t] as number))
  const fill = new Uint16Array(tables.length)
  for (let i = 0; i < readings; i++) {
    const t = numbers[i] as number
    ;(lists[t] as Uint16Array)[fill[t] as number] = i
    ;(fill[t] as number)++
  }
  return lists
}

function readTableKeys(header: Header, table: HeaderTable, members: Uint16Array, coder: RangeDecoder): TableRows {
  const rows = members.length
  const sensors = header.sensors.length
  let readings = members
  let order: Uint16Array | undefined
  let counts: Uint16Array
  if (typeof table.sensors === 'number') {
    counts = new Uint16Array(sensors)
    counts[table.sensors] = rows
  } else {
    decodeSequence(coder, table.sensors, rows, scratch.a)
    if (!fromSymbols(scratch.a, rows, sensors)) damaged('a row has no sensor')
    const sorted = sortBySensor(scratch.a, rows, sensors)
    order = sorted.order
    counts = sorted.counts
    readings = order.map((row) => members[row] as number)
  }
  const times = new Float64Array(rows)
  if (order === undefined || table.timesBySensor) decodeSequence(coder, table.times, rows, times)
  else {
    decodeSequence(coder, table.times, rows, scratch.a)
    for (let i = 0; i < rows; i++) times[i] = scratch.a[order[i] as number] as number
  }
  for (let i = 0; i < rows; i++) {
    const time = times[i] as number
    if (!(time >= limits.timeMinUs && time < limits.timeMaxUs)) damaged('a time is out of range')
  }
  return { rows, readings, times, counts, ...readPresence(table, rows, coder) }
}

/** Reads which rows have which column. */
function readPresence(table: HeaderTable, rows: number, coder: RangeDecoder): Pick<TableRows, 'absent' | 'present'> {
  const absent: (Uint8Array | undefined)[] = []
  const present: number[] = []
  let isComplete = false
  const absences = new Uint16Array(rows)
  for (const { presence } of table.columns) {
    if (presence === undefined) {
      isComplete = true
      absent.push(undefined)
      present.push(rows)
      continue
    }
    decodeSequence(coder, presence, rows, scratch.a)
    const marks = new Uint8Array(rows)
    let missing = 0
    for (let i = 0; i < rows; i++) {
      const mark = scratch.a[i] as number
      if (mark !== 0 && mark !== 1) damaged('a mark is neither present nor absent')
      marks[i] = mark
      absences[i] = (absences[i] as number) + mark
      missing += mark
    }
    if (missing === rows) damaged('a column has no values')
    absent.push(marks)
    present.push(rows - missing)
  }
  if (!isComplete && absences.includes(table.columns.length)) damaged('a reading has no fields')
  return { absent, present }
}
