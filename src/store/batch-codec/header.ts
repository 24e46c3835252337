/** The header of a batch: everything but sequences and raw bytes. */
import {
  HedgerowError,
  LimitError,
  limits,
  parseFieldName,
  parseSensorId,
  VersionError,
  type SensorId,
} from '../../model/index.ts'
import { ByteReader, damaged } from './bytes.ts'
import { floatRawBytes, readFloatParameters, type FloatParameters } from './float-column.ts'
import type { ColumnName } from './grouping.ts'
import {
  batchFlags,
  batchVersion,
  knownBatchFlags,
  modeShift,
  ownQuality,
  partialFlag,
  qualityShift,
  tableFlags,
  types,
} from './layout.ts'
import { NameReader, type NameLength } from './names.ts'
import {
  readBoolParameters,
  readIntParameters,
  readTextParameters,
  type IntParameters,
  type SymbolParameters,
  type TextParameters,
} from './other-columns.ts'
import { RangeDecoder } from './range-coder.ts'
import { readSequence, readSymbols, type Sequence } from './sequence.ts'

export type ValueParameters =
  | { readonly type: 'float'; readonly is: FloatParameters }
  | { readonly type: 'int'; readonly is: IntParameters }
  | { readonly type: 'bool'; readonly is: SymbolParameters }
  | { readonly type: 'string'; readonly is: TextParameters }

export interface HeaderColumn extends ColumnName {
  /** Absent: every row has the column. */
  readonly presence: Sequence | undefined
  readonly qualities: SymbolParameters
  readonly values: ValueParameters
  /** The column's own stream, if columns have their own. */
  readonly stream: Uint8Array | undefined
}

export interface HeaderTable {
  /** Sequence of the rows' sensors, or the one sensor of all rows. */
  readonly sensors: Sequence | number
  readonly timesBySensor: boolean
  readonly times: Sequence
  readonly columns: readonly HeaderColumn[]
}

export interface Header {
  readonly readings: number
  readonly sensors: readonly SensorId[]
  /** Sequence of the readings' tables if there are several. */
  readonly tableOf: Sequence | undefined
  readonly tables: readonly HeaderTable[]
  /** The first stream behind the names: keys; then, unless columns have their own streams, all values. */
  readonly coder: RangeDecoder
  readonly rawLength: number
  readonly isCompressed: boolean
  /** Raw bytes as they stand in the batch. */
  readonly raw: Uint8Array
}

/** Reads all parameters and names of a batch. Decodes no sequence and decompresses nothing. */
export function readHeader(bytes: Uint8Array): Header {
  if (bytes.length > limits.batchBytes)
    throw new LimitError(`a batch of ${bytes.length} bytes; at most ${limits.batchBytes} are allowed`)
  const input = new ByteReader(bytes)
  const version = input.u8()
  if (version !== batchVersion)
    throw new VersionError(`this batch has format version ${version}; a newer release of Hedgerow reads it`)
  const flags = input.u8()
  if ((flags & ~knownBatchFlags) !== 0) damaged('unknown flags')
  const readings = input.count(limits.batchReadings, 'readings')
  if (readings === 0) damaged('it has no readings')
  const names = new NameReader(input)
  const sensorCount = (flags & batchFlags.sensors) === 0 ? 1 : input.count(readings, 'sensors')
  if (sensorCount === 0) damaged('it has no sensors')
  const sensorLengths: NameLength[] = []
  for (let i = 0; i < sensorCount; i++) sensorLengths.push(names.sensorLength(i === 0))
  const tableCount = (flags & batchFlags.tables) === 0 ? 1 : input.count(readings, 'tables')
  if (tableCount === 0) damaged('it has no tables')
  const drafts: ColumnDraft[][] = []
  let columnsLeft: number = limits.batchSeries
  for (let t = 0; t < tableCount; t++) {
    const columns = readColumns(input, names, columnsLeft)
    columnsLeft -= columns.length
    drafts.push(columns)
  }
  const tableOf = (flags & batchFlags.tables) === 0 ? undefined : readSymbols(input)
  const keys = drafts.map((columns) => readKeyParameters(input, columns, sensorCount))
  const ownStreams = (flags & batchFlags.streams) !== 0
  let length = ownStreams ? input.varint() : 0
  const parameters = drafts.map((columns) =>
    columns.map(({ byte }) => readColumnParameters(input, byte, readings, ownStreams)),
  )
  if (!ownStreams) length = input.varint()
  const rawLength = (flags & batchFlags.raw) === 0 ? 0 : input.count(limits.batchRawBytes, 'raw bytes')

  const coder = new RangeDecoder(input.bytes(length))
  names.start()
  const sensors = readSensorNames(names, sensorLengths, coder)
  const tables: HeaderTable[] = drafts.map((draft, t) => {
    const columnNames = readColumnNames(names, draft, coder)
    const { presence, ...rest } = keys[t] as KeyParameters
    const columns = columnNames.map((name, c): HeaderColumn => {
      const { qualities, values, streamLength } = (parameters[t] as ColumnParameters[])[c] as ColumnParameters
      const stream = streamLength === undefined ? undefined : input.bytes(streamLength)
      return { ...name, presence: presence[c], qualities, values, stream }
    })
    return { ...rest, columns }
  })
  const isCompressed = (flags & batchFlags.zstd) !== 0
  return { readings, sensors, tableOf, tables, coder, rawLength, isCompressed, raw: input.bytes(input.left) }
}

interface ColumnDraft {
  readonly field: NameLength
  readonly unit: NameLength | undefined
  /** Type, mode, quality and partial. */
  readonly byte: number
}

function readColumns(input: ByteReader, names: NameReader, columnsLeft: number): ColumnDraft[] {
  const width = input.count(Math.min(limits.fieldsPerRecord, columnsLeft), 'columns')
  if (width === 0) damaged('a table has no columns')
  return Array.from({ length: width }, () => {
    const field = names.fieldLength()
    return { field, unit: names.unitLength(), byte: input.u8() }
  })
}

/** Parameters of a table's keys. */
interface KeyParameters extends Pick<HeaderTable, 'sensors' | 'timesBySensor' | 'times'> {
  readonly presence: readonly (Sequence | undefined)[]
}

function readKeyParameters(input: ByteReader, columns: readonly ColumnDraft[], sensorCount: number): KeyParameters {
  const flags = sensorCount > 1 ? input.u8() : 0
  if (flags > 3) damaged('unknown flags of a table')
  let sensors: Sequence | number = 0
  if ((flags & tableFlags.severalSensors) !== 0) sensors = readSymbols(input)
  else if (sensorCount > 1) sensors = input.count(sensorCount - 1, 'as number of a sensor')
  const times = readSequence(input)
  const presence = columns.map(({ byte }) => ((byte & partialFlag) === 0 ? undefined : readSymbols(input)))
  return { sensors, timesBySensor: (flags & tableFlags.timesBySensor) !== 0, times, presence }
}

function readSensorNames(names: NameReader, lengths: readonly NameLength[], coder: RangeDecoder): SensorId[] {
  const sensors = lengths.map((length) => {
    const text = names.read(coder, length)
    const sensor = checked(() => parseSensorId(text))
    if (sensor !== text) damaged('a sensor name is not normalized')
    return sensor
  })
  if (sensors.length > 1 && new Set(sensors).size < sensors.length) damaged('it has a sensor twice')
  return sensors
}

function readColumnNames(names: NameReader, columns: readonly ColumnDraft[], coder: RangeDecoder): ColumnName[] {
  let before = ''
  return columns.map((column) => {
    const text = names.read(coder, column.field)
    const field = checked(() => parseFieldName(text))
    if (field <= before) damaged('the columns of a table are not in order')
    before = field
    const unit = column.unit === undefined ? undefined : names.read(coder, column.unit)
    if (unit !== undefined && (unit.length > limits.unitChars || /[\u0000-\u001f\u007f]/.test(unit)))
      damaged('a unit is not one')
    return { field, type: types[column.byte & 3] ?? damaged('unknown type'), unit }
  })
}

/** Turns the model's refusal of a name into damage. */
function checked<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (error instanceof HedgerowError) damaged(error.message, error)
    throw error
  }
}

interface ColumnParameters {
  readonly qualities: SymbolParameters
  readonly values: ValueParameters
  readonly streamLength: number | undefined
}

function readColumnParameters(input: ByteReader, byte: number, most: number, ownStreams: boolean): ColumnParameters {
  const quality = (byte >>> qualityShift) & 3
  const mode = (byte >>> modeShift) & 7
  const qualities = { plan: quality === ownQuality ? readSymbols(input) : undefined, fill: quality }
  const values = readValueParameters(input, byte & 3, mode, most)
  return { qualities, values, streamLength: ownStreams ? input.varint() : undefined }
}

function readValueParameters(input: ByteReader, type: number, mode: number, most: number): ValueParameters {
  switch (types[type]) {
    case 'float':
      return { type: 'float', is: readFloatParameters(input, mode, most) }
    case 'int':
      return { type: 'int', is: readIntParameters(input, mode) }
    case 'bool':
      return { type: 'bool', is: readBoolParameters(input, mode) }
    default:
      return { type: 'string', is: readTextParameters(input, mode, most) }
  }
}

/** Raw bytes that the values of a column take. */
export function rawBytesOf(values: ValueParameters, n: number): number {
  if (values.type === 'float') return floatRawBytes(values.is, n)
  if (values.type === 'int') return values.is.kind === 'planes' ? 8 * n : 0
  return values.type === 'string' ? values.is.rawBytes : 0
}
