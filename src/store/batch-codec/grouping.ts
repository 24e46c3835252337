/** Sorts the readings of a flush into tables: rows of one set of series. Pure; nothing here is in the format. */
import {
  InvalidInputError,
  LimitError,
  limits,
  typeOf,
  type FieldName,
  type FieldReading,
  type Reading,
  type SensorId,
  type ValueType,
} from '../../model/index.ts'

/** One column of a table: a field with its type and unit. */
export interface ColumnName {
  readonly field: FieldName
  readonly type: ValueType
  readonly unit: string | undefined
}

/** The fields of a reading in their order. Readings that share it share its table and the places of its columns. */
export interface Shape {
  readonly columns: readonly ColumnName[]
  rows: number
  table: number
  /** Per column of the table the place of its field in the reading, or −1. */
  places: Int16Array
}

export interface Table {
  /** Ascending by field name (code units); no field twice. */
  columns: ColumnName[]
  readonly shapes: Shape[]
  rows: number
}

export interface Grouping {
  /** In order of first appearance. */
  readonly sensors: readonly SensorId[]
  /** Per reading. */
  readonly sensorOf: Uint16Array
  readonly shapeOf: readonly Shape[]
  readonly tables: readonly Table[]
}

/** Tables that a further shape is compared with: bounds the work on readings that all differ. */
const mergeCandidates = 16
/** Places (rows × columns) that merging may make of each value. Keeps a batch within `maxCells`. */
const maxSpread = 1.6

interface SensorState {
  readonly index: number
  shape: Shape
}

export function groupReadings(readings: readonly Reading[]): Grouping {
  const n = readings.length
  const sensors: SensorId[] = []
  const states = new Map<SensorId, SensorState>()
  const shapes = new Map<string, Shape>()
  const sensorOf = new Uint16Array(n)
  const shapeOf: Shape[] = []
  let sensor: SensorId | undefined
  let state: SensorState | undefined
  for (let i = 0; i < n; i++) {
    const reading = readings[i] as Reading
    if (state === undefined || reading.sensor !== sensor) {
      sensor = reading.sensor
      state = states.get(sensor)
      if (state === undefined) {
        if (sensor.length === 0 || sensor.length > limits.sensorChars)
          throw new LimitError(`a sensor name has ${sensor.length} characters; 1 to ${limits.sensorChars} are allowed`)
        state = { index: sensors.length, shape: shapeFor(reading.fields, shapes) }
        states.set(sensor, state)
        sensors.push(sensor)
      }
    }
    if (!fits(state.shape, reading.fields)) state.shape = shapeFor(reading.fields, shapes)
    state.shape.rows++
    sensorOf[i] = state.index
    shapeOf.push(state.shape)
  }
  return { sensors, sensorOf, shapeOf, tables: makeTables([...shapes.values()]) }
}

function fits({ columns }: Shape, fields: readonly FieldReading[]): boolean {
  if (fields.length !== columns.length) return false
  for (let i = 0; i < fields.length; i++) {
    const column = columns[i] as ColumnName
    const field = fields[i] as FieldReading
    if (field.field !== column.field || field.unit !== column.unit || typeOf(field.value) !== column.type) return false
  }
  return true
}

function shapeFor(fields: readonly FieldReading[], shapes: Map<string, Shape>): Shape {
  const key = fields.map(({ field, value, unit }) => `${field} ${typeOf(value)} ${unit ?? ''}`).join('\n')
  const known = shapes.get(key)
  if (known !== undefined) return known
  if (fields.length === 0) throw new InvalidInputError('a reading has no fields')
  if (fields.length > limits.fieldsPerRecord)
    throw new LimitError(`a reading has ${fields.length} fields; at most ${limits.fieldsPerRecord} are allowed`)
  const columns = fields.map(({ field, value, unit }) => {
    if (field.length === 0 || field.length > limits.fieldChars)
      throw new LimitError(`field ${field.slice(0, 20)}… has more than ${limits.fieldChars} characters or none`)
    if (unit !== undefined && (unit.length === 0 || unit.length > limits.unitChars))
      throw new LimitError(`field ${field}: a unit has 1 to ${limits.unitChars} characters`)
    return { field, type: typeOf(value), unit }
  })
  if (new Set(columns.map((column) => column.field)).size < columns.length)
    throw new InvalidInputError('a reading has a field twice')
  const shape: Shape = { columns, rows: 0, table: -1, places: new Int16Array(0) }
  shapes.set(key, shape)
  return shape
}

function makeTables(shapes: readonly Shape[]): Table[] {
  const tables: Table[] = []
  // The widest first: narrower ones lack fields of it rather than the other way round.
  const order = shapes.length === 1 ? shapes : shapes.toSorted((a, b) => b.columns.length - a.columns.length)
  for (const shape of order) {
    let home = -1
    for (let t = Math.max(0, tables.length - mergeCandidates); t < tables.length && home < 0; t++)
      if (merge(tables[t] as Table, shape)) home = t
    if (home < 0) {
      home = tables.length
      const columns = shape.columns.toSorted((a, b) => (a.field < b.field ? -1 : 1))
      tables.push({ columns, shapes: [shape], rows: shape.rows })
    }
    shape.table = home
  }
  for (const table of tables)
    for (const shape of table.shapes)
      shape.places = Int16Array.from(table.columns, (column) =>
        shape.columns.findIndex((candidate) => candidate.field === column.field),
      )
  return tables
}

/** Takes a shape into a table if no field has another type or unit there and few places stay empty. */
function merge(table: Table, shape: Shape): boolean {
  const byName = new Map(table.columns.map((column) => [column.field, column]))
  const added: ColumnName[] = []
  for (const column of shape.columns) {
    const there = byName.get(column.field)
    if (there === undefined) added.push(column)
    else if (there.type !== column.type || there.unit !== column.unit) return false
  }
  const width = table.columns.length + added.length
  if (added.length > shape.columns.length / 2 || width > limits.fieldsPerRecord) return false
  const rows = table.rows + shape.rows
  let values = shape.rows * shape.columns.length
  for (const other of table.shapes) values += other.rows * other.columns.length
  if (rows * width > maxSpread * values) return false
  if (added.length > 0) table.columns = [...table.columns, ...added].sort((a, b) => (a.field < b.field ? -1 : 1))
  table.shapes.push(shape)
  table.rows = rows
  return true
}
