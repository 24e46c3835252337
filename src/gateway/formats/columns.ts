import {
  InvalidInputError,
  LimitError,
  limits,
  parseFieldName,
  parseSensorId,
  type FieldName,
  type SensorId,
  type ValueType,
} from '../../model/index.ts'
import { formatLimits } from './limits.ts'
import { sensorColumns, type CsvProfile } from './profile.ts'

/** One column whose cells are values. */
export interface FieldColumn {
  readonly index: number
  readonly column: string
  readonly field: FieldName
  readonly type: ValueType | undefined
  readonly unit: string | undefined
}

/** Which column of a file is what. */
export interface Columns {
  /** Names in order; cells beyond them must be empty. */
  readonly names: readonly string[]
  /** Columns whose cells, joined with a space, are the time. */
  readonly time: readonly number[]
  readonly fields: readonly FieldColumn[]
  /** Gives the sensor of a row. Throws `InvalidInputError`. */
  readonly sensor: (cells: readonly string[]) => SensorId
  /** The column that a fault of the sensor's name is reported in. */
  readonly sensorColumn: string | undefined
}

/** Fits a profile to the columns that a file has. Throws `InvalidInputError` where they do not go together. */
export function mapColumns(
  header: readonly string[],
  profile: CsvProfile,
  options: { readonly sensor?: SensorId | undefined; readonly file: string },
): Columns {
  const { file } = options
  const names = header.map((name) => name.trim())
  while (names.length > 0 && names.at(-1) === '') names.pop()
  if (names.length > formatLimits.columns)
    throw new LimitError(`${file} has ${names.length} columns; at most ${formatLimits.columns} are read`)

  const indexOf = (name: string, what: string): number => {
    const index = names.indexOf(name)
    if (index < 0)
      throw new InvalidInputError(
        `${file} has no column ${JSON.stringify(name)}, which is to be ${what}; its columns are ${listed(names)}${profile.columns === undefined ? ' (does its delimiter fit the profile?)' : ''}`,
      )
    return index
  }
  const time = profile.time.columns.map((name) => indexOf(name, 'the time'))
  const template = sensorTemplate(names, profile, options)
  const parts =
    typeof template === 'string' ? [] : template.columns.map((name) => indexOf(name, 'part of the sensor name'))
  for (const name of profile.fields.keys()) indexOf(name, 'a field')
  for (const name of profile.ignore) indexOf(name, 'ignored')

  const fields = fieldColumns(names, new Set([...time, ...parts, ...sensorIndexes(names, profile)]), profile, file)
  const used = [...time, ...parts, ...fields.map(({ index }) => index)]
  for (const index of used)
    if (names.indexOf(names[index] as string) !== names.lastIndexOf(names[index] as string))
      throw new InvalidInputError(
        `${file} has two columns ${JSON.stringify(names[index])}: name its columns in a profile (skip: 1, header: false, columns: [...])`,
      )
  return {
    names,
    time,
    fields,
    sensor: typeof template === 'string' ? () => template : sensorReader(template.text, parts),
    sensorColumn: typeof template === 'string' ? undefined : template.columns[0],
  }
}

/** Columns that name the sensor and thus are no fields, even where `--sensor` names it instead. */
function sensorIndexes(names: readonly string[], profile: CsvProfile): number[] {
  const columns = profile.sensor === undefined ? [] : sensorColumns(profile.sensor)
  return columns.map((name) => names.indexOf(name)).filter((index) => index >= 0)
}

type Template = SensorId | { readonly text: string; readonly columns: readonly string[] }

function sensorTemplate(
  names: readonly string[],
  profile: CsvProfile,
  options: { readonly sensor?: SensorId | undefined; readonly file: string },
): Template {
  const { sensor, file } = options
  // Without a profile's word, a column `sensor` is the sensor unless the profile makes it something else.
  const column =
    profile.sensor === undefined &&
    names.includes('sensor') &&
    !profile.fields.has('sensor') &&
    !profile.ignore.includes('sensor')
  if (sensor !== undefined) {
    if (column)
      throw new InvalidInputError(
        `${file} has a column sensor, and --sensor ${sensor} names another: leave --sensor out, or ignore the column in a profile`,
      )
    return sensor
  }
  if (column) return { text: '{sensor}', columns: ['sensor'] }
  if (profile.sensor === undefined)
    throw new InvalidInputError(
      `${file} does not say whose readings these are: name the sensor with --sensor, in a profile (sensor: …) or in a column sensor`,
    )
  const columns = sensorColumns(profile.sensor)
  return columns.length === 0 ? parseSensorId(profile.sensor) : { text: profile.sensor, columns }
}

function sensorReader(template: string, parts: readonly number[]): (cells: readonly string[]) => SensorId {
  const literals = template.split(/\{[^{}]*\}/)
  const known = new Map<string, SensorId>()
  return (cells) => {
    let name = literals[0] as string
    for (const [i, index] of parts.entries()) {
      const part = (cells[index] as string).trim()
      if (part === '') throw new InvalidInputError('the cell is empty, but the sensor is named by it')
      name += part + (literals[i + 1] as string)
    }
    let sensor = known.get(name)
    if (sensor === undefined) {
      sensor = parseSensorId(name)
      if (known.size >= formatLimits.sensorNames) known.clear()
      known.set(name, sensor)
    }
    return sensor
  }
}

function fieldColumns(
  names: readonly string[],
  taken: ReadonlySet<number>,
  profile: CsvProfile,
  file: string,
): FieldColumn[] {
  const columns: FieldColumn[] = []
  for (const [index, column] of names.entries()) {
    const mapping = profile.fields.get(column)
    if (mapping === undefined) {
      const sensor = profile.sensor === undefined && column === 'sensor'
      if (taken.has(index) || sensor || profile.ignore.includes(column) || profile.others === 'ignore') continue
      if (column === '')
        throw new InvalidInputError(
          `${file}: column ${index + 1} has no name: give a profile with header: false and columns`,
        )
      if (profile.others === 'refuse')
        throw new InvalidInputError(
          `${file}: column ${JSON.stringify(column)} is not in the profile: list it under fields or ignore, or set others: field or others: ignore`,
        )
    }
    columns.push({
      index,
      column,
      field: mapping?.field ?? fieldOf(column, file),
      type: mapping?.type,
      unit: mapping?.unit,
    })
  }
  if (columns.length === 0)
    throw new InvalidInputError(`${file}: none of its columns is a field; its columns are ${listed(names)}`)
  if (columns.length > limits.fieldsPerRecord)
    throw new LimitError(
      `${file}: ${columns.length} columns are fields; a record has ${limits.fieldsPerRecord} at most: ignore some in a profile`,
    )
  for (const [i, { field, column }] of columns.entries()) {
    const other = columns.slice(0, i).find((earlier) => earlier.field === field)
    if (other !== undefined)
      throw new InvalidInputError(
        `${file}: columns ${JSON.stringify(other.column)} and ${JSON.stringify(column)} are both field ${field}`,
      )
  }
  return columns
}

function fieldOf(column: string, file: string): FieldName {
  try {
    return parseFieldName(column)
  } catch (cause) {
    throw new InvalidInputError(
      `${file}: column ${JSON.stringify(column)} cannot be a field of that name: map it in a profile, such as fields: { ${JSON.stringify(column)}: ${column.replace(/[^A-Za-z0-9_.-]+/g, '_').replace(/^_+|_+$/g, '') || 'name'} }`,
      { cause },
    )
  }
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 20).map((name) => JSON.stringify(name.slice(0, formatLimits.quotedChars)))
  return shown.join(', ') + (names.length > shown.length ? `, … (${names.length} in all)` : '')
}
