import { constants, zstdCompressSync } from 'node:zlib'
import { checkTime, LimitError, limits, qualities, type FieldReading, type Reading } from '../../model/index.ts'
import { encodeFloats } from './float-column.ts'
import { groupReadings, type ColumnName, type Grouping, type Table } from './grouping.ts'
import {
  batchFlags,
  batchVersion,
  maxCells,
  modeShift,
  ownQuality,
  ownStreamValues,
  partialFlag,
  qualityShift,
  sortBySensor,
  tableFlags,
  toSymbols,
  types,
} from './layout.ts'
import { encodeBools, encodeInts, encodeTexts } from './other-columns.ts'
import { scratch } from './scratch.ts'
import { encodeSequence, planSequence, writeSequence, type Sequence } from './sequence.ts'
import { putSymbols, sink } from './sink.ts'
import { NameWriter } from './names.ts'
import { ByteWriter } from './bytes.ts'

/** Raw bytes below which zstd is not tried: its frame alone has a dozen. */
const zstdFrom = 64
const zstdOptions = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }

/** Range-coded streams of the batch in work. */
const streams = new ByteWriter(65_536)

/** Rows of one table in the order in which its columns are written. */
interface Rows {
  readonly table: Table
  /** Index of the reading at each place: by sensor. */
  readonly readings: Uint16Array
  /** Where the bytes of its columns stand in the header. */
  readonly columnBytes: number[]
}

/** Encodes the readings of one flush. Throws `LimitError` beyond what one batch may hold: then split it. */
export function encodeBatch(readings: readonly Reading[]): Uint8Array {
  const n = readings.length
  if (n === 0 || n > limits.batchReadings)
    throw new LimitError(`a batch holds 1 to ${limits.batchReadings} readings, not ${n}`)
  const grouping = groupReadings(readings)
  const { sensors, tables } = grouping
  const { header, coder, raw } = sink
  for (const part of [header, coder, raw, streams]) part.reset()

  let cells = 0
  for (const table of tables) cells += table.rows * table.columns.length
  if (cells > maxCells) throw new LimitError(`a batch holds at most ${maxCells} values; split it`)
  const ownStreams = cells >= ownStreamValues
  let flags =
    (sensors.length > 1 ? batchFlags.sensors : 0) |
    (tables.length > 1 ? batchFlags.tables : 0) |
    (ownStreams ? batchFlags.streams : 0)
  header.u8(batchVersion)
  header.u8(flags)
  header.varint(n)
  const columnBytes = writeNames(grouping)
  const rows = writeKeys(readings, grouping, columnBytes)
  if (ownStreams) endStream()
  for (const part of rows) writeColumns(readings, grouping, part, ownStreams)
  if (!ownStreams) endStream()

  let rawBytes = raw.view()
  const rawLength = rawBytes.length
  checkRaw(rawLength)
  if (rawLength > 0) {
    flags |= batchFlags.raw
    header.varint(rawLength)
    if (rawLength >= zstdFrom) {
      const packed = zstdCompressSync(rawBytes, zstdOptions)
      if (packed.length < rawLength) {
        flags |= batchFlags.zstd
        rawBytes = packed
      }
    }
  }
  header.patch(1, flags)
  const batch = new Uint8Array(header.length + streams.length + rawBytes.length)
  if (batch.length > limits.batchBytes)
    throw new LimitError(`a batch of ${batch.length} bytes; at most ${limits.batchBytes} are allowed: split it`)
  batch.set(header.view())
  batch.set(streams.view(), header.length)
  batch.set(rawBytes, header.length + streams.length)
  return batch
}

function checkRaw(bytes: number): void {
  if (bytes > limits.batchRawBytes)
    throw new LimitError(`a batch of more than ${limits.batchRawBytes} bytes before compression: split it`)
}

/** Ends the present stream and writes its length. */
function endStream(): void {
  const stream = sink.coder.finish()
  sink.header.varint(stream.length)
  streams.bytes(stream)
  sink.coder.reset()
}

/** Writes the names of sensors and columns. Gives per table where the bytes of its columns stand, which only their values decide. */
function writeNames({ sensors, tables }: Grouping): number[][] {
  const { header, coder } = sink
  const names = new NameWriter(header, coder)
  if (sensors.length > 1) header.varint(sensors.length)
  names.sensors(sensors)
  if (tables.length > 1) header.varint(tables.length)
  return tables.map(({ columns }) => {
    header.varint(columns.length)
    return columns.map(({ field, unit }) => {
      names.field(field)
      names.unit(unit)
      header.u8(0)
      return header.length - 1
    })
  })
}

/** Writes what a summary needs beside names: tables, sensors and times of rows, and which have which column. */
function writeKeys(readings: readonly Reading[], grouping: Grouping, columnBytes: readonly number[][]): Rows[] {
  const { sensors, sensorOf, shapeOf, tables } = grouping
  const n = readings.length
  const members = tables.map((table) => new Uint16Array(table.rows))
  if (tables.length === 1) for (let i = 0; i < n; i++) (members[0] as Uint16Array)[i] = i
  else {
    const tableOf = new Uint16Array(n)
    const fill = new Uint16Array(tables.length)
    for (let i = 0; i < n; i++) {
      const table = (tableOf[i] = shapeOf[i]?.table as number)
      ;(members[table] as Uint16Array)[(fill[table] as number)++] = i
    }
    toSymbols(tableOf, n, tables.length, scratch.a)
    putSymbols(sink, scratch.a, n)
  }
  let series = 0
  return tables.map((table, t) => {
    const readingOf = members[t] as Uint16Array
    const rows = writeTable(readings, readingOf, table, sensorOf, sensors.length)
    series += rows.sensorCount * table.columns.length
    if (series > limits.batchSeries)
      throw new LimitError(`a batch has at most ${limits.batchSeries} series (sensors × fields); split it`)
    const placed = { table, readings: rows.readings, columnBytes: columnBytes[t] as number[] }
    for (let c = 0; c < table.columns.length; c++) writePresence(grouping, placed, c)
    return placed
  })
}

/** Writes sensors and times of a table's rows and gives its readings ordered by sensor. */
function writeTable(
  readings: readonly Reading[],
  readingOf: Uint16Array,
  table: Table,
  sensorOf: Uint16Array,
  sensors: number,
): { readings: Uint16Array; sensorCount: number } {
  const { header } = sink
  const n = table.rows
  const { a, b, c, d } = scratch
  if (sensors === 1) {
    for (let i = 0; i < n; i++) a[i] = checkTime((readings[readingOf[i] as number] as Reading).time)
    putSequence(planSequence(a, n, b), b, n)
    return { readings: readingOf, sensorCount: 1 }
  }
  const sensorOfRow = readingOf.map((reading) => sensorOf[reading] as number)
  const { order, counts } = sortBySensor(sensorOfRow, n, sensors)
  let sensorCount = 0
  for (const count of counts) if (count > 0) sensorCount++
  const sorted = order.map((row) => readingOf[row] as number)

  for (let i = 0; i < n; i++) {
    a[i] = checkTime((readings[readingOf[i] as number] as Reading).time)
    c[i] = (readings[sorted[i] as number] as Reading).time
  }
  const asWritten = planSequence(a, n, b)
  const bySensor = planSequence(c, n, d)
  const isBySensor = bySensor.bits < asWritten.bits
  header.u8((sensorCount > 1 ? tableFlags.severalSensors : 0) | (isBySensor ? tableFlags.timesBySensor : 0))
  if (sensorCount > 1) {
    toSymbols(sensorOfRow, n, sensors, a)
    putSymbols(sink, a, n)
  } else header.varint(sensorOfRow[0] as number)
  if (isBySensor) putSequence(bySensor, d, n)
  else putSequence(asWritten, b, n)
  return { readings: sorted, sensorCount }
}

function putSequence(plan: Sequence, differences: Float64Array, n: number): void {
  writeSequence(sink.header, plan)
  encodeSequence(sink.coder, differences, n, plan)
}

/** Marks which rows have the column, unless all have. */
function writePresence({ shapeOf }: Grouping, { table, readings, columnBytes }: Rows, c: number): void {
  if (table.shapes.every((shape) => (shape.places[c] as number) >= 0)) return
  for (let i = 0; i < table.rows; i++) scratch.a[i] = (shapeOf[readings[i] as number]?.places[c] as number) < 0 ? 1 : 0
  putSymbols(sink, scratch.a, table.rows)
  sink.header.patch(columnBytes[c] as number, partialFlag)
}

function writeColumns(readings: readonly Reading[], grouping: Grouping, rows: Rows, ownStreams: boolean): void {
  const { table, columnBytes } = rows
  for (let c = 0; c < table.columns.length; c++) {
    const isPartial = table.shapes.some((shape) => (shape.places[c] as number) < 0)
    const { type } = table.columns[c] as ColumnName
    const { mode, quality } = writeValues(readings, grouping, rows, c)
    if (ownStreams) endStream()
    sink.header.patch(
      columnBytes[c] as number,
      types.indexOf(type) | (mode << modeShift) | (quality << qualityShift) | (isPartial ? partialFlag : 0),
    )
  }
}

/** Writes qualities (if they differ) and values of one column. */
function writeValues(
  readings: readonly Reading[],
  { shapeOf }: Grouping,
  { table, readings: order }: Rows,
  c: number,
): { mode: number; quality: number } {
  const { type } = table.columns[c] as ColumnName
  const others: (bigint | boolean | string)[] = []
  const { a, b } = scratch
  let n = 0
  let bytes = sink.raw.length
  let quality = -1
  for (let i = 0; i < order.length; i++) {
    const reading = order[i] as number
    const place = shapeOf[reading]?.places[c] as number
    if (place < 0) continue
    const field = (readings[reading] as Reading).fields[place] as FieldReading
    const { value } = field
    if (typeof value === 'number') a[n] = value
    else {
      others.push(value)
      if (typeof value === 'string') {
        if (value.length > limits.stringBytes || Buffer.byteLength(value) > limits.stringBytes)
          throw new LimitError(`field ${field.field}: a text has at most ${limits.stringBytes} bytes`)
        checkRaw((bytes += value.length))
      }
    }
    const code = field.quality === undefined || field.quality === 'good' ? 0 : qualities.indexOf(field.quality)
    b[n] = code
    if (quality < 0) quality = code
    else if (quality !== code) quality = ownQuality
    n++
  }
  if (quality === ownQuality) putSymbols(sink, b, n)
  switch (type) {
    case 'float':
      return { mode: encodeFloats(sink, a, n), quality }
    case 'int':
      return { mode: encodeInts(sink, others as bigint[]), quality }
    case 'bool':
      return { mode: encodeBools(sink, others as boolean[]), quality }
    case 'string':
      return { mode: encodeTexts(sink, others as string[]), quality }
  }
}
