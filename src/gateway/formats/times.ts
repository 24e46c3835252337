import { checkTime, checkZone, InvalidInputError, parseTime, wallTimeIn, type ParsedTime } from '../../model/index.ts'
import { quoted } from './items.ts'

/** Reads the text of a time column. Throws `InvalidInputError`. */
export type TimeReader = (text: string) => ParsedTime

/** Digits of a fraction that make a microsecond, by unit; negative: digits of the whole that are beyond it. */
const epochDigits: Readonly<Record<string, number>> = { 'epoch-s': 6, 'epoch-ms': 3, 'epoch-us': 0, 'epoch-ns': -3 }

/**
 * Gives the reader of one time format: `iso`, `epoch-s`, `epoch-ms`, `epoch-us`, `epoch-ns`, or a pattern of `yyyy MM dd HH mm
 * ss S a XXX` (Unicode Technical Standard #35, the date field symbols in common use). `zone` is for text that states none.
 */
export function timeReader(format: string, zone: string | undefined): TimeReader {
  if (zone !== undefined) checkZone(zone)
  if (format === 'iso') return (text) => parseTime(text, zone === undefined ? {} : { zone })
  const digits = epochDigits[format]
  return digits === undefined ? patternReader(format, zone) : (text) => readEpoch(text, format, digits)
}

/** Throws `InvalidInputError` unless the text is a known format; says whether it needs a zone beside it. */
export function checkTimeFormat(format: string): { readonly needsZone: boolean } {
  if (format === 'iso' || format in epochDigits) return { needsZone: false }
  return { needsZone: !compile(format).parts.includes('X') }
}

function readEpoch(text: string, format: string, digits: number): ParsedTime {
  const match = /^(\d{1,25})(?:[.,](\d{1,25}))?$/.exec(text)
  if (match === null) throw new InvalidInputError(`time ${quoted(text)} is not a number of ${format}`)
  // In decimal digits, since float64 has too few of them for nanoseconds.
  const [, whole, fraction = ''] = match as unknown as [string, string, string | undefined]
  const scaled = digits >= 0 ? whole + fraction.padEnd(digits, '0').slice(0, digits) : whole.slice(0, digits)
  const rest = digits >= 0 ? fraction.slice(digits) : whole.slice(digits) + fraction
  return { time: checkTime(Number(scaled)), cut: /[1-9]/.test(rest) }
}

type Part = 'y' | 'M' | 'd' | 'H' | 'h' | 'm' | 's' | 'S' | 'a' | 'X'

interface Pattern {
  readonly form: RegExp
  readonly parts: readonly Part[]
}

/** What each symbol matches. One letter where there may be two: one or two digits. */
const symbols: Readonly<Record<string, readonly [Part, string]>> = {
  yyyy: ['y', '(\\d{4})'],
  MM: ['M', '(\\d{2})'],
  M: ['M', '(\\d{1,2})'],
  dd: ['d', '(\\d{2})'],
  d: ['d', '(\\d{1,2})'],
  HH: ['H', '(\\d{2})'],
  H: ['H', '(\\d{1,2})'],
  hh: ['h', '(\\d{2})'],
  h: ['h', '(\\d{1,2})'],
  mm: ['m', '(\\d{2})'],
  m: ['m', '(\\d{1,2})'],
  ss: ['s', '(\\d{2})'],
  s: ['s', '(\\d{1,2})'],
  a: ['a', '([AaPp]\\.?[Mm]\\.?)'],
  XXX: ['X', '(Z|[+-]\\d{2}:?\\d{2})'],
}

function compile(format: string): Pattern {
  const parts: Part[] = []
  let source = ''
  for (const [token] of format.matchAll(/'[^']*'|([A-Za-z])\1*|[^A-Za-z']+|'/g)) {
    const symbol = /^S{1,9}$/.test(token) ? (['S', '(\\d{1,18})'] as const) : symbols[token]
    if (symbol !== undefined) {
      if (parts.includes(symbol[0])) throw new InvalidInputError(`time format ${quoted(format)} has ${token} twice`)
      parts.push(symbol[0])
      source += symbol[1]
    } else if (/^[A-Za-z]/.test(token) || token === "'") {
      throw new InvalidInputError(
        `time format ${quoted(format)}: ${token} is not known; use iso, epoch-s, epoch-ms, epoch-us, epoch-ns or a pattern of yyyy MM dd HH mm ss SSS a XXX with letters in '…'`,
      )
    } else {
      const literal = token.startsWith("'") ? token.slice(1, -1) : token
      source += literal.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')
    }
  }
  for (const [part, name] of [
    ['y', 'yyyy'],
    ['M', 'MM'],
    ['d', 'dd'],
  ] as const)
    if (!parts.includes(part)) throw new InvalidInputError(`time format ${quoted(format)} has no ${name}`)
  if (parts.includes('h') !== parts.includes('a') || (parts.includes('h') && parts.includes('H')))
    throw new InvalidInputError(`time format ${quoted(format)}: hh (1 to 12) goes with a (am, pm), HH (0 to 23) alone`)
  return { form: new RegExp(`^${source}$`), parts }
}

function patternReader(format: string, zone: string | undefined): TimeReader {
  const { form, parts } = compile(format)
  if (zone === undefined && !parts.includes('X'))
    throw new InvalidInputError(
      `time format ${quoted(format)} states no zone: name it in the profile (time: { zone: Europe/Brussels }) or with --tz`,
    )
  return (text) => {
    const match = form.exec(text)
    if (match === null) throw new InvalidInputError(`time ${quoted(text)} does not fit the format ${format}`)
    const found: Partial<Record<Part, string>> = {}
    for (const [i, part] of parts.entries()) found[part] = match[i + 1] as string
    const number = (part: Part): number => Number(found[part] ?? 0)
    const fraction = found.S ?? ''
    const wall = {
      year: number('y'),
      month: number('M'),
      day: number('d'),
      hour: found.h === undefined ? number('H') : hourOf(number('h'), found.a as string, text),
      minute: number('m'),
      second: number('s'),
      us: Number(fraction.slice(0, 6).padEnd(6, '0')),
    }
    const cut = /[1-9]/.test(fraction.slice(6))
    if (found.X === undefined) return { time: wallTimeIn(zone as string, wall, text), cut }
    return { time: checkTime(wallTimeIn('UTC', wall, text) - offsetUs(found.X, text)), cut }
  }
}

function hourOf(hour: number, half: string, text: string): number {
  if (hour < 1 || hour > 12) throw new InvalidInputError(`time ${quoted(text)} is not on a clock of twelve hours`)
  return (hour % 12) + (half.toLowerCase().startsWith('p') ? 12 : 0)
}

function offsetUs(offset: string, text: string): number {
  if (offset === 'Z') return 0
  const hours = Number(offset.slice(1, 3))
  const minutes = Number(offset.slice(-2))
  if (hours > 23 || minutes > 59) throw new InvalidInputError(`time ${quoted(text)} has no valid offset`)
  return (offset.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000_000
}
