import { InvalidInputError, LimitError } from './errors.ts'
import { limits } from './limits.ts'
import { parseFieldName, type FieldName, type SensorId } from './sensor.ts'
import { checkTime, type TimeUs } from './time.ts'

/** number = float64 (no NaN, no infinity), bigint = 64-bit integer. */
export type Value = number | bigint | boolean | string
export type ValueType = 'float' | 'int' | 'bool' | 'string'
export const qualities = ['good', 'uncertain', 'bad'] as const
export type Quality = (typeof qualities)[number]

/** One field of a reading as appended. `unit` is a SenML symbol (RFC 8428, `Cel`, `%RH`) or free text. */
export interface FieldReading {
  readonly field: FieldName
  readonly value: Value
  /** `good` when left out. */
  readonly quality?: Quality
  readonly unit?: string
}

/** What a sensor measured at one time: the unit of `append`. A fact, never edited in place. */
export interface Reading {
  readonly sensor: SensorId
  readonly time: TimeUs
  /** At least one; no field twice. */
  readonly fields: readonly FieldReading[]
}

export function typeOf(value: Value): ValueType {
  switch (typeof value) {
    case 'number':
      return 'float'
    case 'bigint':
      return 'int'
    case 'boolean':
      return 'bool'
    case 'string':
      return 'string'
  }
}

/** Whether two values are the same: numerically equal (21 = 21.0, −0 = 0, exactly, whatever the types) or equal strings or bools. */
export function sameValue(a: Value, b: Value): boolean {
  // Loose equality of bigint and number is exact by ECMAScript; strings must not be coerced.
  if (typeof a === typeof b) return a === b
  return isNumeric(a) && isNumeric(b) && a == b
}

/** Total order of values for deterministic choices: bools, numbers by size, strings by UTF-8 bytes; equal numbers float before int. */
export function compareValues(a: Value, b: Value): number {
  const rank = (value: Value): number => (typeof value === 'boolean' ? 0 : typeof value === 'string' ? 2 : 1)
  if (rank(a) !== rank(b)) return rank(a) - rank(b)
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b))
  if (a < b) return -1
  if (a > b) return 1
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1
  return Object.is(a, b) ? 0 : Object.is(a, -0) ? -1 : Object.is(b, -0) ? 1 : 0
}

function isNumeric(value: Value): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint'
}

const intMin = -(2n ** 63n)
const intMax = 2n ** 63n - 1n

/** Throws `InvalidInputError` or `LimitError` unless the value can be kept exactly. */
export function checkValue(value: Value, field: string): void {
  switch (typeof value) {
    case 'number':
      if (!Number.isFinite(value))
        throw new InvalidInputError(
          `field ${field}: ${value} is not a value; leave the field out when nothing was measured`,
        )
      return
    case 'bigint':
      if (value < intMin || value > intMax) throw new InvalidInputError(`field ${field}: ${value} does not fit 64 bits`)
      return
    case 'string':
      // A string is at least as many bytes as it has UTF-16 units: the cheap test spares encoding a 10 MB field.
      if (value.length > limits.stringBytes || Buffer.byteLength(value) > limits.stringBytes)
        throw new LimitError(
          `field ${field}: the text has ${value.length} characters; at most ${limits.stringBytes} bytes are kept`,
        )
      if (!value.isWellFormed()) throw new InvalidInputError(`field ${field}: the text is not well-formed Unicode`)
      return
    case 'boolean':
      return
    default:
      throw new InvalidInputError(`field ${field}: ${typeof value} is not a value; use a number, a bool or text`)
  }
}

/** Checks a whole reading; throws on the first fault, naming sensor, time and field. */
export function checkReading(reading: Reading): void {
  checkTime(reading.time)
  const { fields } = reading
  if (fields.length === 0) throw new InvalidInputError(`record ${reading.sensor} at ${reading.time}: no fields`)
  if (fields.length > limits.fieldsPerRecord)
    throw new LimitError(
      `record ${reading.sensor} at ${reading.time}: ${fields.length} fields; at most ${limits.fieldsPerRecord} are allowed`,
    )
  for (let i = 0; i < fields.length; i++) {
    const { field, value, quality, unit } = fields[i] as FieldReading
    parseFieldName(field)
    checkValue(value, field)
    if (quality !== undefined && !qualities.includes(quality))
      throw new InvalidInputError(
        `field ${field}: quality ${JSON.stringify(quality)} is none of ${qualities.join(', ')}`,
      )
    if (unit !== undefined && (unit === '' || unit.length > limits.unitChars || /[\u0000-\u001f\u007f]/.test(unit)))
      throw new InvalidInputError(`field ${field}: a unit has 1 to ${limits.unitChars} printable characters`)
    for (let j = 0; j < i; j++)
      if (fields[j]?.field === field)
        throw new InvalidInputError(`record ${reading.sensor} at ${reading.time}: field ${field} stands there twice`)
  }
  if (readingBytes(reading) > limits.recordBytes)
    throw new LimitError(`record ${reading.sensor} at ${reading.time}: more than ${limits.recordBytes} bytes`)
}

/** Estimates the bytes of a reading before encoding: 9 a number, texts and all names at their longest in UTF-8. */
export function readingBytes(reading: Reading): number {
  let bytes = 16 + 3 * reading.sensor.length
  for (const { field, value, unit } of reading.fields)
    bytes += (typeof value === 'string' ? 3 * value.length : 9) + field.length + 3 * (unit?.length ?? 0)
  return bytes
}
