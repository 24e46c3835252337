import { z } from 'zod'
import {
  checkZone,
  InvalidInputError,
  LimitError,
  limits,
  parseFieldName,
  parseSensorId,
  type FieldName,
  type ValueType,
} from '../../model/index.ts'
import { parseCheckedYaml, strictMap } from './checked-yaml.ts'
import { formatLimits } from './limits.ts'
import { checkTimeFormat } from './times.ts'

/** How the rows of a table become readings. See docs/profiles.md. */
export interface CsvProfile {
  /** A label of the WHATWG Encoding Standard, such as `utf-8` or `latin1`. */
  readonly encoding: string
  /** One character, or `whitespace`: any run of spaces and tabs. */
  readonly delimiter: string
  readonly quote: string | undefined
  /** Lines before the header, or before the first row where there is none. */
  readonly skip: number
  /** Names of the columns where the file has no header. */
  readonly columns: readonly string[] | undefined
  readonly decimal: string
  readonly thousands: readonly string[]
  /** Text that means missing, or numbers, however they are written; an empty cell always does. */
  readonly missing: readonly (string | number)[]
  readonly time: { readonly columns: readonly string[]; readonly format: string; readonly zone: string | undefined }
  /** A sensor's name, with `{column}` where a cell is put in; `undefined`: a column `sensor`, or the caller, says it. */
  readonly sensor: string | undefined
  readonly fields: ReadonlyMap<string, FieldMapping>
  readonly ignore: readonly string[]
  /** What a column is that is named nowhere here. */
  readonly others: 'field' | 'ignore' | 'refuse'
}

export interface FieldMapping {
  /** The column's own name when left out. */
  readonly field: FieldName | undefined
  /** Left out: a number (an int beyond 2^53) or `true` or `false`. */
  readonly type: ValueType | undefined
  readonly unit: string | undefined
}

/** Comma, header, a `time` column of ISO 8601 with zone, every other column a field. */
export const defaultProfile: CsvProfile = {
  encoding: 'utf-8',
  delimiter: ',',
  quote: '"',
  skip: 0,
  columns: undefined,
  decimal: '.',
  thousands: [],
  missing: [],
  time: { columns: ['time'], format: 'iso', zone: undefined },
  sensor: undefined,
  fields: new Map(),
  ignore: [],
  others: 'field',
}

/** Reads a profile. Throws `InvalidInputError` with every fault at its line and column. */
export function parseProfile(text: string, file: string): CsvProfile {
  if (text.length > formatLimits.profileChars)
    throw new LimitError(
      `${file} has ${text.length} characters; a profile has ${formatLimits.profileChars} at most: is it the data file?`,
    )
  const read = parseCheckedYaml(text, schema, file)
  const fields = new Map<string, FieldMapping>()
  for (const [column, mapping] of Array.isArray(read.fields)
    ? read.fields.map((name) => [name, name] as const)
    : Object.entries(read.fields ?? {})) {
    const { field, type, unit } = typeof mapping === 'string' ? { field: mapping } : mapping
    fields.set(column, { field: field as FieldName | undefined, type, unit })
  }
  const delimiter = read.delimiter ?? defaultProfile.delimiter
  return {
    encoding: read.encoding ?? defaultProfile.encoding,
    delimiter,
    quote:
      read.quote === 'none' || (delimiter === 'whitespace' && read.quote === undefined)
        ? undefined
        : (read.quote ?? '"'),
    skip: read.skip ?? 0,
    columns: read.columns,
    decimal: read.decimal ?? '.',
    thousands: listOf(read.thousands),
    missing: listOf(read.missing),
    time: {
      columns: read.time?.columns === undefined ? ['time'] : listOf(read.time.columns),
      format: read.time?.format ?? 'iso',
      zone: read.time?.zone,
    },
    sensor: read.sensor,
    fields,
    ignore: read.ignore ?? [],
    others: read.others ?? (fields.size === 0 ? 'field' : 'refuse'),
  }
}

/** Gives the columns that a sensor's name takes cells from. */
export function sensorColumns(template: string): string[] {
  return [...template.matchAll(/\{([^{}]*)\}/g)].map((match) => match[1] as string)
}

const columnName = z.string().min(1)
const mark = z
  .string()
  .refine(
    (text) => text.length === 1 && !/[\r\n0-9eE+-]/.test(text),
    'expected a single character, no digit and no sign',
  )

const field = z.string().superRefine(asCheck(parseFieldName))

const schema = strictMap({
  encoding: z
    .string()
    .superRefine(
      asCheck((label) => {
        try {
          return new TextDecoder(label, { fatal: true })
        } catch (cause) {
          throw new InvalidInputError(
            `encoding ${JSON.stringify(label)} is not known; use utf-8, latin1, utf-16le, …`,
            {
              cause,
            },
          )
        }
      }),
    )
    .optional(),
  delimiter: z.union([z.literal('whitespace'), mark], 'expected a single character or whitespace').optional(),
  quote: z.union([z.literal('none'), mark], 'expected a single character or none').optional(),
  skip: z.int().min(0).max(1_000).optional(),
  header: z.boolean().optional(),
  columns: z.array(columnName).min(1).max(formatLimits.columns).optional(),
  decimal: mark.optional(),
  thousands: z.union([mark, z.array(mark)], 'expected a single character or a list of them').optional(),
  missing: z
    .union(
      [z.string(), z.number(), z.array(z.union([z.string(), z.number()]))],
      'expected text, a number or a list of them',
    )
    .optional(),
  time: strictMap({
    columns: z.union([columnName, z.array(columnName).min(1)], 'expected a column or a list of columns').optional(),
    format: z.string().superRefine(asCheck(checkTimeFormat)).optional(),
    zone: z.string().superRefine(asCheck(checkZone)).optional(),
  }).optional(),
  sensor: z
    .string()
    // A placeholder may become one character or many; what it becomes is checked in each row.
    .superRefine(asCheck((template) => parseSensorId(template.replaceAll(/\{[^{}]+\}/g, 'x'))))
    .optional(),
  fields: z
    .union(
      [
        z.array(field),
        z.record(
          columnName,
          z.union(
            [
              field,
              strictMap({
                field: field.optional(),
                type: z.enum(['float', 'int', 'bool', 'string']).optional(),
                unit: z
                  .string()
                  .min(1)
                  .max(limits.unitChars)
                  .regex(/^[^\u0000-\u001f\u007f]*$/, 'expected printable characters')
                  .optional(),
              }),
            ],
            'expected a field name or { field, type, unit }',
          ),
        ),
      ],
      'expected a list of columns, or column: field',
    )
    .optional(),
  ignore: z.array(columnName).optional(),
  others: z.enum(['field', 'ignore', 'refuse']).optional(),
}).superRefine((profile, context) => {
  const fault = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message })
  if (profile.header === false && profile.columns === undefined)
    fault('header', 'header: false needs columns: the names of the columns in their order')
  if (profile.header !== false && profile.columns !== undefined)
    fault('columns', 'columns go with header: false; skip a header that is not to be used with skip: 1')
  if (profile.delimiter === 'whitespace' && profile.quote !== undefined && profile.quote !== 'none')
    fault('quote', 'columns parted by whitespace have no quotes')
  const { delimiter = ',', quote = '"', decimal = '.' } = profile
  if (delimiter === quote) fault('delimiter', 'delimiter and quote are the same character')
  for (const name of listOf(profile.thousands))
    if (name === decimal || name === delimiter)
      fault('thousands', `${JSON.stringify(name)} cannot be the thousands mark beside being decimal mark or delimiter`)
})

type Refinement = z.core.$RefinementCtx<string>

/** Makes of a function that throws `InvalidInputError` a check that reports what it threw. */
function asCheck(check: (text: string) => unknown): (text: string, context: Refinement) => void {
  return (text, context) => {
    try {
      check(text)
    } catch (error) {
      if (!(error instanceof InvalidInputError)) throw error
      context.addIssue({ code: 'custom', message: error.message, input: text })
    }
  }
}

function listOf<T extends string | number>(value: T | T[] | undefined): T[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value]
}
