import {
  checkReading,
  checkTime,
  HedgerowError,
  InvalidInputError,
  limits,
  parseFieldName,
  parseSensorId,
  parseTime,
  qualities,
  type FieldReading,
  type ParsedTime,
  type Quality,
  type Value,
} from '../../model/index.ts'
import { newTally, quoted, type NdjsonItem, type UntimedReading } from './items.ts'
import { readLines } from './lines.ts'
import { integerOf } from './numbers.ts'

export interface NdjsonOptions {
  /** Zone of times that state none. Without it such a time is a fault. */
  readonly zone?: string
  /** Name of the file or stream in messages. */
  readonly file: string
}

/**
 * Reads one JSON object a line, `{ sensor, time?, fields }`: a reading for each good line, a fault for each bad one, the counts
 * last. What a chunk of input completes is yielded before more is asked for. A line has at most `formatLimits.rowBytes`.
 */
export async function* readNdjson(input: AsyncIterable<Uint8Array>, options: NdjsonOptions): AsyncIterable<NdjsonItem> {
  const tally = newTally()
  for await (const lines of readLines(input, { file: options.file }))
    for (const line of lines) {
      const { row } = line
      if ('text' in line && line.text.trim() === '') {
        tally.emptyRows++
        continue
      }
      tally.rows++
      try {
        if ('fault' in line) throw new InvalidInputError(line.fault)
        const { reading, cut } = parseReading(line.text, options)
        tally.readings++
        if (cut) tally.cutTimes++
        yield { row, reading }
      } catch (error) {
        if (!(error instanceof HedgerowError)) throw error
        tally.faults++
        yield { fault: { row, message: error.message } }
      }
    }
  yield { counts: { ...tally } }
}

/**
 * Reads one JSON object as a reading. `time` is ISO 8601 text, or a whole number of microseconds since the epoch, or left out
 * for the caller to stamp; a field is a value or `{ value, quality?, unit? }`. Integers beyond 2^53 become 64-bit ints, every
 * digit kept. Throws `InvalidInputError` or `LimitError`; `cut`: digits of the time beyond the microsecond were cut.
 */
export function parseReading(
  text: string,
  options: { readonly zone?: string } = {},
): { readonly reading: UntimedReading; readonly cut: boolean } {
  const object = parseExactJson(text)
  if (!isObject(object)) throw new InvalidInputError('expected a JSON object { sensor, time, fields }')
  onlyKeys(object, ['sensor', 'time', 'fields'], 'a reading')
  const { sensor, time, fields } = object
  if (typeof sensor !== 'string') throw new InvalidInputError('expected sensor: the name of a sensor')
  if (!isObject(fields)) throw new InvalidInputError('expected fields: an object such as { "temperature": 21.5 }')
  if (Object.keys(fields).length === 0) throw new InvalidInputError('no fields: expected at least one')
  const parsed = time === undefined ? { time: undefined, cut: false } : timeOf(time, options)
  const reading = { sensor: parseSensorId(sensor), time: parsed.time, fields: Object.entries(fields).map(fieldOf) }
  checkReading({ ...reading, time: reading.time ?? limits.timeMinUs })
  return { reading, cut: parsed.cut }
}

/** An integer literal that a float64 would not hold. */
class TooLong {
  readonly literal: string

  constructor(literal: string) {
    this.literal = literal
  }
}

function parseExactJson(text: string): unknown {
  try {
    return JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) => {
      if (typeof value !== 'number' || context?.source === undefined || !/^-?\d+$/.test(context.source)) return value
      return integerOf(context.source) ?? new TooLong(context.source)
    })
  } catch (cause) {
    // RangeError: nested so deeply that the reviver ran out of stack.
    if (!(cause instanceof SyntaxError) && !(cause instanceof RangeError)) throw cause
    throw new InvalidInputError(`not JSON: ${quoted(text.trim())} (one object a line)`, { cause })
  }
}

/**
 * Whole numbers below this are seconds or milliseconds by mistake: as microseconds they all lie before 1970-03-26, as
 * milliseconds they reach the year 2200.
 */
const leastTimeUs = limits.timeMaxUs / 1000

function timeOf(time: unknown, options: { readonly zone?: string }): ParsedTime {
  if (typeof time === 'string') return parseTime(time, options)
  if (typeof time !== 'number')
    throw new InvalidInputError('expected time: ISO 8601 text such as "2026-11-20T08:30:00Z", or whole microseconds')
  checkTime(time)
  if (time < leastTimeUs)
    throw new InvalidInputError(
      `time ${time}: a number is microseconds since the epoch, and this one looks like seconds or milliseconds`,
    )
  return { time, cut: false }
}

function fieldOf([name, given]: [string, unknown]): FieldReading {
  const field = parseFieldName(name)
  if (!isObject(given)) return { field, value: valueOf(given, field) }
  onlyKeys(given, ['value', 'quality', 'unit'], `field ${field}`)
  const { value, quality, unit } = given
  if (quality !== undefined && !(qualities as readonly unknown[]).includes(quality))
    throw new InvalidInputError(`field ${field}: expected quality: one of ${qualities.join(', ')}`)
  if (unit !== undefined && typeof unit !== 'string')
    throw new InvalidInputError(`field ${field}: expected unit: text such as "Cel"`)
  return {
    field,
    value: valueOf(value, field),
    ...(quality === undefined ? {} : { quality: quality as Quality }),
    ...(unit === undefined ? {} : { unit }),
  }
}

function valueOf(value: unknown, field: string): Value {
  if (value instanceof TooLong)
    throw new InvalidInputError(
      `field ${field}: ${quoted(value.literal)} does not fit 64 bits; write it with an exponent`,
    )
  switch (typeof value) {
    case 'number':
    case 'bigint':
    case 'boolean':
    case 'string':
      return value
    default:
      throw new InvalidInputError(
        `field ${field}: expected a number, a bool, text or { value, quality, unit }; leave the field out when nothing was measured`,
      )
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof TooLong)
}

function onlyKeys(object: Record<string, unknown>, known: readonly string[], what: string): void {
  for (const key of Object.keys(object))
    if (!known.includes(key))
      throw new InvalidInputError(`unknown key ${quoted(key)} in ${what}; known are ${known.join(', ')}`)
}
