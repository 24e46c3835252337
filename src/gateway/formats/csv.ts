import {
  checkReading,
  HedgerowError,
  InvalidInputError,
  type FieldReading,
  type Reading,
  type SensorId,
} from '../../model/index.ts'
import { cellReader, type Cell } from './cells.ts'
import { mapColumns, type Columns, type FieldColumn } from './columns.ts'
import { newTally, type CsvItem, type RowFault, type Tally } from './items.ts'
import { readLines, type TextLine } from './lines.ts'
import type { CsvProfile } from './profile.ts'
import { RowAssembler, type Row } from './rows.ts'
import { timeReader, type TimeReader } from './times.ts'

export interface CsvOptions {
  /** Whose readings these are; stands above the profile. */
  readonly sensor?: SensorId
  /** Zone of times that state none; stands above the profile. */
  readonly zone?: string
  /** Name of the file in messages. */
  readonly file: string
}

/**
 * Reads a table as a stream: a reading for each good row, a fault for each bad one (a row with one bad cell is refused whole),
 * the counts last. Memory is bounded by `formatLimits.rowBytes` whatever the file holds. Throws `InvalidInputError` where file
 * and profile do not go together.
 */
export async function* readCsv(
  input: AsyncIterable<Uint8Array>,
  profile: CsvProfile,
  options: CsvOptions,
): AsyncIterable<CsvItem> {
  const assembler = new RowAssembler(profile)
  const tally = newTally()
  let table = profile.columns === undefined ? undefined : new Table(profile.columns, profile, options, tally)
  const item = (row: Row): CsvItem | undefined => {
    if (table !== undefined) return table.read(row)
    if ('fault' in row)
      throw new InvalidInputError(`${options.file}: row ${row.row}, where the header should be: ${row.fault}`)
    if (isEmpty(row.cells)) tally.emptyRows++
    else table = new Table(row.cells, profile, options, tally)
    return undefined
  }
  for await (const lines of readLines(input, { encoding: profile.encoding, file: options.file }))
    for (const line of lines) {
      if (line.row <= profile.skip) continue
      for (const row of assembler.push(withoutMark(line, profile))) {
        const read = item(row)
        if (read !== undefined) yield read
      }
    }
  for (const row of assembler.end()) {
    const read = item(row)
    if (read !== undefined) yield read
  }
  if (table === undefined) throw new InvalidInputError(`${options.file} is empty: a header was expected`)
  yield { counts: { ...tally } }
}

/** Excel's first line `sep=;` says only what the profile says. */
function withoutMark(line: TextLine, profile: CsvProfile): TextLine {
  if (line.row !== 1 || 'fault' in line || !/^sep=.\r?$/.test(line.text)) return line
  return { ...line, text: line.text.startsWith(`sep=${profile.delimiter}`) ? '' : line.text }
}

/** Turns the rows of one file into readings. */
class Table {
  readonly #columns: Columns
  readonly #time: TimeReader
  readonly #timeColumn: string
  readonly #values: readonly (FieldColumn & { readonly read: (cell: string) => Cell })[]
  readonly #tally: Tally

  constructor(header: readonly string[], profile: CsvProfile, options: CsvOptions, tally: Tally) {
    this.#columns = mapColumns(header, profile, options)
    this.#time = timeReader(profile.time.format, options.zone ?? profile.time.zone)
    this.#timeColumn = profile.time.columns.join(' ')
    this.#values = this.#columns.fields.map((column) => ({ ...column, read: cellReader(profile, column.type) }))
    this.#tally = tally
  }

  read(row: Row): CsvItem | undefined {
    const tally = this.#tally
    if (!('fault' in row) && isEmpty(row.cells)) {
      tally.emptyRows++
      return undefined
    }
    tally.rows++
    const refuse = (message: string, column?: string): CsvItem => {
      tally.faults++
      const fault: RowFault = column === undefined ? { row: row.row, message } : { row: row.row, column, message }
      return { fault }
    }
    if ('fault' in row) return refuse(row.fault, row.column === undefined ? undefined : this.#nameOf(row.column))
    const { cells } = row
    const { names } = this.#columns
    const extra = cells.findIndex((cell, i) => i >= names.length && cell.trim() !== '')
    if (cells.length < names.length || extra >= 0)
      return refuse(`expected ${names.length} columns, found ${extra >= 0 ? cells.length : `only ${cells.length}`}`)

    const fields: FieldReading[] = []
    let missing = 0
    for (const { index, column, field, unit, read } of this.#values) {
      const value = read(cells[index] as string)
      if (value === undefined) missing++
      else if (typeof value === 'object') return refuse(value.refused, column)
      else fields.push(unit === undefined ? { field, value } : { field, value, unit })
    }
    let column = this.#timeColumn
    try {
      const { time, cut } = this.#readTime(cells)
      column = this.#columns.sensorColumn ?? column
      const reading: Reading = { sensor: this.#columns.sensor(cells), time, fields }
      if (fields.length > 0) checkReading(reading)
      tally.missingValues += missing
      if (cut) tally.cutTimes++
      if (fields.length === 0) {
        tally.withoutValues++
        return undefined
      }
      tally.readings++
      return { row: row.row, reading }
    } catch (error) {
      if (!(error instanceof HedgerowError)) throw error
      return refuse(error.message, column)
    }
  }

  #readTime(cells: readonly string[]): { readonly time: number; readonly cut: boolean } {
    const { time } = this.#columns
    const text = time.map((index) => (cells[index] as string).trim()).join(' ')
    if (text.trim() === '') throw new InvalidInputError('expected a time, found an empty cell')
    return this.#time(text)
  }

  #nameOf(index: number): string {
    return this.#columns.names[index] ?? String(index + 1)
  }
}

function isEmpty(cells: readonly string[]): boolean {
  return cells.every((cell) => cell.trim() === '')
}
