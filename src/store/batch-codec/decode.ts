import { constants, zstdDecompressSync, type ZstdOptions } from 'node:zlib'
import {
  qualities as qualityNames,
  type FieldName,
  type FieldReading,
  type Quality,
  type Reading,
  type SensorId,
  type TimeUs,
  type Value,
  type ValueType,
} from '../../model/index.ts'
import { damaged } from './bytes.ts'
import { decodeFloats } from './float-column.ts'
import { rawBytesOf, readHeader, type Header, type HeaderColumn } from './header.ts'
import { readKeys, type TableRows } from './keys.ts'
import { decodeInts, decodeSymbols, decodeTexts } from './other-columns.ts'
import { RangeDecoder } from './range-coder.ts'

/** Which readings and fields to decode. What is left out does not limit. */
export interface BatchFilter {
  readonly sensors?: (sensor: SensorId) => boolean
  /** First time, inclusive; last time, exclusive; µs. */
  readonly from?: TimeUs
  readonly to?: TimeUs
  readonly fields?: ReadonlySet<FieldName>
}

/** One value per place: float64, 64-bit integers, 0 and 1, or texts. */
export type ColumnValues = Float64Array | BigInt64Array | Uint8Array | readonly string[]

/** The values of one series in one table of a batch, in the order of its readings. */
export interface BatchColumn {
  readonly sensor: SensorId
  readonly field: FieldName
  readonly type: ValueType
  readonly unit?: string
  readonly times: Float64Array
  /** By `type`: `float` Float64Array, `int` BigInt64Array, `bool` Uint8Array, `string` texts. */
  readonly values: ColumnValues
  /** Places in model's `qualities`; absent: all good. */
  readonly qualities?: Uint8Array
  /** Which reading of the batch each value is of. */
  readonly readings: Uint16Array
}

/** One column of all sensors. */
interface DecodedColumn {
  readonly column: HeaderColumn
  readonly values: ColumnValues
  readonly qualities: Uint8Array | undefined
}

interface OpenBatch {
  readonly header: Header
  readonly keys: readonly TableRows[]
  /** Per sensor of the dictionary. */
  readonly wanted: readonly boolean[]
  /** Decodes the wanted columns of the next table. */
  readonly nextColumns: () => (DecodedColumn | undefined)[]
}

/** Decodes the readings of a batch in the order in which they were encoded, the fields of each by name. */
export function decodeBatch(bytes: Uint8Array, filter: BatchFilter = {}): Reading[] {
  const { header, keys, wanted, nextColumns } = open(bytes, filter)
  if (!wanted.includes(true)) return []
  const { from = -Infinity, to = Infinity } = filter
  const readings: (Reading | undefined)[] = []
  for (let i = 0; i < header.readings; i++) readings.push(undefined)
  let isWhole = true
  for (const rows of keys) {
    const columns = nextColumns()
    const cursors = new Uint16Array(columns.length)
    let row = 0
    for (let s = 0; s < rows.counts.length; s++) {
      const sensor = header.sensors[s] as SensorId
      for (const end = row + (rows.counts[s] as number); row < end; row++) {
        const time = rows.times[row] as number
        const isWanted = wanted[s] === true && time >= from && time < to
        const fields: FieldReading[] = []
        for (let c = 0; c < columns.length; c++) {
          if (rows.absent[c]?.[row] === 1) continue
          const at = (cursors[c] as number)++
          const column = columns[c]
          if (isWanted && column !== undefined) fields.push(fieldAt(column, at))
        }
        if (fields.length > 0) readings[rows.readings[row] as number] = { sensor, time, fields }
        else isWhole = false
      }
    }
  }
  return (isWhole ? readings : readings.filter((reading) => reading !== undefined)) as Reading[]
}

function fieldAt({ column, values, qualities }: DecodedColumn, at: number): FieldReading {
  const { field, type, unit } = column
  const raw = values[at] as Value
  const value = type === 'bool' ? raw === 1 : raw
  const code = qualities === undefined ? 0 : (qualities[at] as number)
  if (code === 0) return unit === undefined ? { field, value } : { field, value, unit }
  const quality = qualityNames[code] as Quality
  return unit === undefined ? { field, value, quality } : { field, value, quality, unit }
}

/** Decodes a batch to columns, one per table, field and sensor: the fast way to scan. Columns without a wanted value are left out. */
export function* decodeColumns(bytes: Uint8Array, filter: BatchFilter = {}): Generator<BatchColumn> {
  const { header, keys, wanted, nextColumns } = open(bytes, filter)
  if (!wanted.includes(true)) return
  for (const rows of keys) {
    const columns = nextColumns()
    for (let c = 0; c < columns.length; c++) {
      const decoded = columns[c]
      if (decoded === undefined) continue
      const absent = rows.absent[c]
      let row = 0
      let at = 0
      for (let s = 0; s < rows.counts.length; s++) {
        const start = row
        const first = at
        row += rows.counts[s] as number
        at += absent === undefined ? row - start : presentIn(absent, start, row)
        if (at > first && wanted[s] === true) {
          const column = slice(header.sensors[s] as SensorId, rows, decoded, absent, start, row, first, filter)
          if (column !== undefined) yield column
        }
      }
    }
  }
}

function presentIn(absent: Uint8Array, start: number, end: number): number {
  let count = 0
  for (let i = start; i < end; i++) count += 1 - (absent[i] as number)
  return count
}

/** Cuts one sensor's part, rows [start, end) with values from `first` on, out of a column. */
function slice(
  sensor: SensorId,
  rows: TableRows,
  { column, values, qualities }: DecodedColumn,
  absent: Uint8Array | undefined,
  start: number,
  end: number,
  first: number,
  { from = -Infinity, to = Infinity }: BatchFilter,
): BatchColumn | undefined {
  const { field, type, unit } = column
  const places: number[] = []
  const kept: number[] = []
  let isWhole = absent === undefined
  for (let row = start, at = first; row < end; row++) {
    if (absent?.[row] === 1) continue
    const time = rows.times[row] as number
    if (time >= from && time < to) {
      if (!isWhole) {
        places.push(row)
        kept.push(at)
      }
    } else if (isWhole) {
      // The first row out of range: from here on rows are picked one by one.
      isWhole = false
      for (let before = start; before < row; before++) {
        places.push(before)
        kept.push(first + before - start)
      }
    }
    at++
  }
  if (!isWhole && kept.length === 0) return undefined
  const count = end - start
  const pick = <T extends Numbers>(all: T, chosen: readonly number[], low: number): T =>
    isWhole ? (all.subarray(low, low + count) as T) : gather(all, chosen)
  return {
    sensor,
    field,
    type,
    ...(unit === undefined ? {} : { unit }),
    times: pick(rows.times, places, start),
    values: isTexts(values)
      ? isWhole
        ? values.slice(first, first + count)
        : kept.map((at) => values[at] as string)
      : pick(values, kept, first),
    ...(qualities === undefined ? {} : { qualities: pick(qualities, kept, first) }),
    readings: pick(rows.readings, places, start),
  }
}

type Numbers = Float64Array | BigInt64Array | Uint8Array | Uint16Array

function gather<T extends Numbers>(all: T, chosen: readonly number[]): T {
  const out = all.slice(0, chosen.length) as T
  for (let i = 0; i < chosen.length; i++) out[i] = all[chosen[i] as number] as never
  return out
}

function isTexts(values: ColumnValues): values is readonly string[] {
  return Array.isArray(values)
}

function open(bytes: Uint8Array, filter: BatchFilter): OpenBatch {
  const header = readHeader(bytes)
  const { coder } = header
  const keys = readKeys(header)
  const wanted = header.sensors.map((sensor) => filter.sensors?.(sensor) ?? true)
  checkRawLength(header, keys)
  let raw: Uint8Array | undefined
  let rawAt = 0
  let next = 0
  const nextColumns = (): (DecodedColumn | undefined)[] => {
    const { columns } = header.tables[next] as Header['tables'][number]
    const rows = keys[next] as TableRows
    next++
    return columns.map((column, c) => {
      const n = rows.present[c] as number
      const rawLength = rawBytesOf(column.values, n)
      const start = rawAt
      rawAt += rawLength
      const isWanted = filter.fields?.has(column.field) ?? true
      // Columns of one common stream can only be left out by decoding them.
      if (!isWanted && column.stream !== undefined) return undefined
      if (rawLength > 0) raw ??= unpack(header)
      const part = raw === undefined ? noBytes : raw.subarray(start, rawAt)
      const own = column.stream === undefined ? coder : new RangeDecoder(column.stream)
      const decoded = decodeColumn(column, n, own, part)
      return isWanted ? decoded : undefined
    })
  }
  return { header, keys, wanted, nextColumns }
}

const noBytes = new Uint8Array(0)

function decodeColumn(column: HeaderColumn, n: number, coder: RangeDecoder, raw: Uint8Array): DecodedColumn {
  const { plan, fill } = column.qualities
  const qualities =
    plan === undefined && fill === 0 ? undefined : decodeSymbols(column.qualities, n, qualityNames.length - 1, coder)
  return { column, values: decodeValues(column, n, coder, raw), qualities }
}

function decodeValues({ values }: HeaderColumn, n: number, coder: RangeDecoder, raw: Uint8Array): ColumnValues {
  switch (values.type) {
    case 'float':
      return decodeFloats(values.is, n, coder, raw)
    case 'int':
      return decodeInts(values.is, n, coder, raw)
    case 'bool':
      return decodeSymbols(values.is, n, 1, coder)
    case 'string':
      return decodeTexts(values.is, n, coder, raw)
  }
}

/** Holds the declared length of the raw bytes against what the columns take, before anything is decompressed. */
function checkRawLength({ tables, rawLength, isCompressed, raw }: Header, keys: readonly TableRows[]): void {
  let expected = 0
  tables.forEach(({ columns }, t) =>
    columns.forEach(({ values }, c) => (expected += rawBytesOf(values, keys[t]?.present[c] as number))),
  )
  if (expected !== rawLength) damaged(`its columns take ${expected} raw bytes, it declares ${rawLength}`)
  if ((!isCompressed || rawLength === 0) && raw.length !== rawLength)
    damaged(`${raw.length} raw bytes instead of ${rawLength}`)
}

/** Largest window that a frame may ask for: 2^24 bytes, as many as raw bytes are allowed. */
const maxWindowLog = 24

function unpack({ raw, rawLength, isCompressed }: Header): Uint8Array {
  if (!isCompressed) return raw
  let unpacked: Uint8Array
  let used: number
  try {
    const options: ZstdOptions & { info: true } = {
      info: true,
      maxOutputLength: rawLength,
      params: { [constants.ZSTD_d_windowLogMax]: maxWindowLog },
    }
    const result: unknown = zstdDecompressSync(raw, options)
    const { buffer, engine } = result as Unpacked
    unpacked = buffer
    used = engine.bytesWritten
  } catch (cause) {
    damaged('its compressed bytes cannot be read', cause)
  }
  if (unpacked.length !== rawLength) damaged('its compressed bytes have another length than declared')
  if (used !== raw.length) damaged('there are bytes behind its end')
  return unpacked
}

/** What `info: true` gives, which the declarations of Node lack. */
interface Unpacked {
  readonly buffer: Uint8Array
  readonly engine: { readonly bytesWritten: number }
}
