/** How records look: as JSON and in a table. */
import type { RecordItem } from '../gateway/index.ts'
import { formatTime, type FieldName } from '../model/index.ts'
import { numberText, type Amendment, type FieldView } from '../gateway/index.ts'
import type { Output } from './output.ts'
import { table, tableWidth, type Column } from './table.ts'
import { printable } from './values.ts'

/** One record as `--json` gives it. */
export function recordJson(record: RecordItem): object {
  return {
    sensor: record.sensor,
    time: formatTime(record.time),
    fields: Object.fromEntries(record.fields.map((field) => [field.field, fieldJson(field)])),
    ...(record.seen === undefined ? {} : { seen: record.seen }),
  }
}

/** A field with everything that is known of it; what every plain reading has is left out. */
export function fieldJson(field: FieldView): object {
  const { shown, removed, conflict, readings, amendments } = field
  const plain = amendments.length === 0 && conflict === undefined
  return {
    ...shown,
    ...(removed ? { removed } : {}),
    ...(conflict === undefined ? {} : { conflict }),
    ...(plain ? {} : { readings, amendments: amendments.map(amendmentJson) }),
    ...(plain && readings[0] !== undefined ? { nodes: readings[0].nodes } : {}),
  }
}

function amendmentJson(amendment: Amendment): object {
  return { ...amendment, at: formatTime(amendment.at) }
}

/** Writes a value as text: numbers so that they read back the same. */
export function valueText(value: FieldView['readings'][number]['value']): string {
  return typeof value === 'number' || typeof value === 'bigint' ? numberText(value) : String(value)
}

/** A field's cell: the value shown, `!` after one in conflict, `?` after an uncertain and `x` after a bad one. */
export function cellText(field: FieldView): string {
  const { shown, removed, conflict } = field
  const marks = `${shown?.quality === 'uncertain' ? '?' : shown?.quality === 'bad' ? 'x' : ''}${conflict === undefined ? '' : '!'}`
  const text = shown === undefined ? (removed ? '(removed)' : '(unresolved)') : printable(valueText(shown.value))
  return text + marks
}

/** Records that are laid out together: columns are as wide as their widest cell among these. */
const blockRecords = 1_000

/** Prints records in columns: a column per field where that fits the terminal, else a `field=value` list. */
export class RecordTable {
  readonly #output: Output
  #block: RecordItem[] = []
  #marks = new Set<string>()

  constructor(output: Output) {
    this.#output = output
  }

  async add(record: RecordItem): Promise<void> {
    this.#block.push(record)
    for (const { conflict, shown } of record.fields) {
      if (conflict !== undefined) this.#marks.add('! in conflict: see hedgerow conflicts')
      if (shown?.quality === 'uncertain') this.#marks.add('? uncertain')
      if (shown?.quality === 'bad') this.#marks.add('x bad')
    }
    if (this.#block.length >= blockRecords) await this.#print()
  }

  async end(): Promise<void> {
    await this.#print()
    if (this.#marks.size > 0) this.#output.note([...this.#marks].sort().join('; '))
  }

  async #print(): Promise<void> {
    const records = this.#block
    if (records.length === 0) return
    this.#block = []
    const { columns } = this.#output
    const wide = wideTable(records)
    const rows = [wide.columns.map(({ title }) => title), ...wide.rows]
    const narrow = columns !== undefined && tableWidth(rows) > columns ? listTable(records) : wide
    await this.#output.data(table(narrow.columns, narrow.rows, columns))
  }
}

interface Laid {
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly string[])[]
}

function wideTable(records: readonly RecordItem[]): Laid {
  const units = new Map<FieldName, Set<string>>()
  for (const { fields } of records)
    for (const { field, shown } of fields) {
      const known = units.get(field) ?? new Set()
      if (shown?.unit !== undefined) known.add(shown.unit)
      units.set(field, known)
    }
  const names = [...units.keys()].sort()
  const title = (name: FieldName): string => {
    const [unit, ...others] = units.get(name) ?? []
    return unit === undefined || others.length > 0 ? name : `${name} [${unit}]`
  }
  return {
    columns: [
      { title: 'time' },
      { title: 'sensor' },
      ...names.map((name) => ({ title: title(name), align: 'right' as const })),
    ],
    rows: records.map(({ time, sensor, fields }) => {
      const cells = new Map(fields.map((field) => [field.field, cellText(field)]))
      return [formatTime(time), sensor, ...names.map((name) => cells.get(name) ?? '')]
    }),
  }
}

function listTable(records: readonly RecordItem[]): Laid {
  return {
    columns: [{ title: 'time' }, { title: 'sensor' }, { title: 'fields' }],
    rows: records.map(({ time, sensor, fields }) => [
      formatTime(time),
      sensor,
      fields
        .map(
          (field) =>
            `${field.field}=${cellText(field)}${field.shown?.unit === undefined ? '' : ` ${field.shown.unit}`}`,
        )
        .join('  '),
    ]),
  }
}
