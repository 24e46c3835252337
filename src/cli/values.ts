/** What stands in arguments and in words to people: values, times, durations, counts. */
import {
  InvalidInputError,
  UsageError,
  checkValue,
  checkZone,
  parseFieldName,
  parseSensorId,
  parseSensorPattern,
  parseTime,
  type FieldName,
  type SensorId,
  type SensorPattern,
  type TimeUs,
  type Value,
  type ValueType,
} from '../model/index.ts'

const numberForm = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/
const integerForm = /^[+-]?\d+$/

/**
 * Reads a value as written in an argument: numbers are float64 (integers beyond 2^53 are 64-bit ints), `true` and `false` bools,
 * everything else, and what stands in double quotes, text. A type given for the field wins.
 */
export function parseValue(text: string, field: string, type?: ValueType): Value {
  const value = type === undefined ? guess(text, field) : coerce(text, field, type)
  checkValue(value, field)
  return value
}

function guess(text: string, field: string): Value {
  if (text === 'true') return true
  if (text === 'false') return false
  if (integerForm.test(text) && !Number.isSafeInteger(Number(text))) return BigInt(text.replace(/^\+/, ''))
  if (numberForm.test(text)) return Number(text)
  if (/^[+-]?(nan|inf|infinity)$/i.test(text))
    throw new InvalidInputError(`field ${field}: ${text} is not a value; leave the field out when nothing was measured`)
  return unquote(text)
}

function coerce(text: string, field: string, type: ValueType): Value {
  const wrong = (): never => {
    throw new InvalidInputError(`field ${field}: ${JSON.stringify(text.slice(0, 60))} is not of its type ${type}`)
  }
  switch (type) {
    case 'float':
      return numberForm.test(text) ? Number(text) : wrong()
    case 'int':
      return integerForm.test(text) ? BigInt(text.replace(/^\+/, '')) : wrong()
    case 'bool':
      return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : wrong()
    case 'string':
      return unquote(text)
  }
}

function unquote(text: string): string {
  return text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text
}

/** Splits `field=value`; `example` is a right one. */
function parseAssignment(text: string, example: string): { readonly field: FieldName; readonly text: string } {
  const at = text.indexOf('=')
  if (at <= 0) throw new UsageError(`${JSON.stringify(text.slice(0, 60))} is not of the form ${example}`)
  return { field: parseFieldName(text.slice(0, at)), text: text.slice(at + 1) }
}

/** Reads `field=value…` as a record of texts, refusing a field that stands there twice. */
export function parseAssignments(
  texts: readonly string[],
  example = 'field=value, such as temperature=21.5',
): ReadonlyMap<FieldName, string> {
  const fields = new Map<FieldName, string>()
  for (const each of texts) {
    const { field, text } = parseAssignment(each, example)
    if (fields.has(field)) throw new UsageError(`field ${field} stands there twice`)
    fields.set(field, text)
  }
  return fields
}

/** Reads a time: ISO 8601 with a zone, or in the zone of `--tz`, which is checked either way. */
export function parseTimeArgument(text: string, zone?: string): TimeUs {
  return parseTime(text, zone === undefined ? {} : { zone: checkZone(zone) }).time
}

const durationUnits = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

/** Longest duration, ms: ten years. */
const longestMs = 315_360_000_000

/** Reads a duration such as `90m`, `24h` or `7d`, giving ms. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,6})([smhdw])$/.exec(text)
  if (match === null || Number(match[1]) === 0)
    throw new UsageError(`${JSON.stringify(text)} is not a duration: use a number and s, m, h, d or w, such as 24h`)
  const ms = Number(match[1]) * durationUnits[match[2] as keyof typeof durationUnits]
  if (ms > longestMs) throw new UsageError(`${text} is longer than ten years`)
  return ms
}

export function parseCount(text: string): number {
  const count = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count) || count < 1)
    throw new UsageError(`${JSON.stringify(text)} is not a number of records: use a whole number from 1`)
  return count
}

export function parsePatterns(texts: readonly string[]): SensorPattern[] {
  return texts.map(parseSensorPattern)
}

export function sensorArgument(text: string): SensorId {
  return parseSensorId(text)
}

const spans = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
] as const

/** Says how many: `1 record`, `2 records`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

/** Says how long ago: `12 s`, `5 min`, `3 h`, `2 d`. */
export function formatAge(us: number): string {
  const seconds = Math.max(0, Math.round(us / 1_000_000))
  for (const [size, unit] of spans) if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`
  return `${seconds} s`
}

/** Says a size: `512 B`, `3.4 kB`, `1.2 MB`. */
export function formatBytes(bytes: number): string {
  for (const [size, unit] of [
    [1e9, 'GB'],
    [1e6, 'MB'],
    [1e3, 'kB'],
  ] as const)
    if (bytes >= size) return `${(bytes / size).toFixed(1)} ${unit}`
  return `${bytes} B`
}

/** An id with the name that people gave it. */
export function named(id: string, name: string | undefined): string {
  return name === undefined ? id : `${id} (${printable(name)})`
}

/** Control characters of a text must not reach the terminal. */
export function printable(text: string): string {
  return /[\u0000-\u001f\u007f-\u009f]/.test(text) ? JSON.stringify(text) : text
}
