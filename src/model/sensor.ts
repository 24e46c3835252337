import { InvalidInputError } from './errors.ts'
import { limits } from './limits.ts'

declare const brand: unique symbol
/** A sensor's path, NFC, 1–200 characters, segments joined by `/`: its identity for ever. */
export type SensorId = string & { readonly [brand]: 'SensorId' }
/** Name of a measured quantity: `[A-Za-z0-9_.-]{1,64}`. */
export type FieldName = string & { readonly [brand]: 'FieldName' }
/** A sensor name in which `*` stands for any characters of one segment and `**` for any across segments. */
export type SensorPattern = string & { readonly [brand]: 'SensorPattern' }

// Letters of the Basic Multilingual Plane only: there the orders of UTF-8 bytes (LevelDB) and of UTF-16 units (JavaScript) agree.
const beyondBmp = /[\ud800-\udfff]/
const sensorForm = /^[\p{L}0-9\-:._]+(\/[\p{L}0-9\-:._]+)*$/u
const patternForm = /^[\p{L}0-9\-:._*]+(\/[\p{L}0-9\-:._*]+)*$/u
const fieldForm = /^[A-Za-z0-9_.-]{1,64}$/

const sensorWords = 'letters, digits and - : . _ in segments joined by /'

export function parseSensorId(text: string): SensorId {
  const name = text.length <= 4 * limits.sensorChars ? text.normalize('NFC') : text
  if (name.length > limits.sensorChars)
    throw new InvalidInputError(
      `sensor name ${quote(name)} has ${name.length} characters; at most ${limits.sensorChars} are allowed`,
    )
  if (!sensorForm.test(name) || beyondBmp.test(name))
    throw new InvalidInputError(`sensor name ${quote(name)}: use ${sensorWords}, such as greenhouse-1/air`)
  return name as SensorId
}

export function parseFieldName(text: string): FieldName {
  if (!fieldForm.test(text))
    throw new InvalidInputError(`field name ${quote(text)}: use 1 to ${limits.fieldChars} of A–Z, a–z, 0–9, _ . and -`)
  return text as FieldName
}

export function parseSensorPattern(text: string): SensorPattern {
  const pattern = text.length <= 4 * limits.sensorChars ? text.normalize('NFC') : text
  if (pattern.length > limits.sensorChars || !patternForm.test(pattern) || beyondBmp.test(pattern))
    throw new InvalidInputError(
      `sensor pattern ${quote(pattern)}: use ${sensorWords}; * matches within a segment, ** across, such as greenhouse-1/**`,
    )
  return pattern as SensorPattern
}

/** Gives the test for one pattern. */
export function sensorMatcher(pattern: SensorPattern): (sensor: SensorId) => boolean {
  if (!pattern.includes('*')) return (sensor) => (sensor as string) === pattern
  const source = pattern
    .replace(/\*{3,}/g, '**')
    .split(/(\*\*|\*)/)
    .map((piece) => (piece === '**' ? '.*' : piece === '*' ? '[^/]*' : escape(piece)))
    .join('')
  const form = new RegExp(`^${source}$`, 'u')
  return (sensor) => form.test(sensor)
}

/** The characters a pattern may hold need no escape but these. */
function escape(text: string): string {
  return text.replaceAll('.', '\\.').replaceAll('/', '\\/')
}

/** Compares patterns: the one with more literal characters is the more specific; ties by code unit. Sorts most specific first. */
export function comparePatterns(a: SensorPattern, b: SensorPattern): number {
  const literal = (pattern: string): number => pattern.replaceAll('*', '').length
  return Number(a.includes('*')) - Number(b.includes('*')) || literal(b) - literal(a) || (a < b ? -1 : a > b ? 1 : 0)
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}…` : text)
}
