import { InvalidInputError } from './errors.ts'
import { limits } from './limits.ts'

/** Integer µs since the epoch, a safe integer within 1970–2200. */
export type TimeUs = number

export const usPerSecond = 1_000_000
export const usPerDay: number = 86_400 * usPerSecond

/** Checks the range of a time in µs. */
export function checkTime(time: number): TimeUs {
  if (time < limits.timeMinUs || time >= limits.timeMaxUs)
    throw new InvalidInputError(`time ${time} µs is outside 1970-01-01 to 2200-01-01: is its unit right?`)
  if (!Number.isSafeInteger(time)) throw new InvalidInputError(`time ${time} is not a whole number of microseconds`)
  return time
}

/** What `parseTime` gives: the time, and whether digits beyond the microsecond were cut. */
export interface ParsedTime {
  readonly time: TimeUs
  readonly cut: boolean
}

const isoForm =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,18}))?)?(?:\s?([Zz]|[+-]\d{2}:?\d{2}))?)?$/

/**
 * Reads ISO 8601 / RFC 3339 text. A zone is required (`Z` or an offset) unless `zone` names the IANA zone that
 * text without one is in; a date alone is then midnight. Wall times that a zone skips are errors, times that it
 * has twice read as the earlier.
 */
export function parseTime(text: string, options: { readonly zone?: string } = {}): ParsedTime {
  const match = isoForm.exec(text.trim())
  if (match === null)
    throw new InvalidInputError(
      `time ${JSON.stringify(text.slice(0, 60))} is not ISO 8601, such as 2026-11-20T08:30:00Z`,
    )
  const [, year, month, day, hour, minute, second, fraction, offset] = match
  const parts: WallTime = {
    year: Number(year),
    month: Number(month),
    day: Number(day),
    hour: Number(hour ?? 0),
    minute: Number(minute ?? 0),
    second: Number(second ?? 0),
    us: Number((fraction ?? '').slice(0, 6).padEnd(6, '0')),
  }
  const cut = /[1-9]/.test((fraction ?? '').slice(6))
  if (offset !== undefined) return { time: checkTime(utc(parts, text) - offsetUs(offset, text)), cut }
  if (options.zone === undefined)
    throw new InvalidInputError(
      `time ${JSON.stringify(text)} has no zone: end it with Z or an offset such as +01:00, or name its zone (--tz Europe/Brussels)`,
    )
  return { time: wallTimeIn(options.zone, parts, text), cut }
}

/** A calendar time without a zone. `us` is the microsecond within the second. */
export interface WallTime {
  readonly year: number
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly us: number
}

/** Gives the instant at which clocks in an IANA zone show `wall`; of two, the earlier; throws if there is none. */
export function wallTimeIn(zone: string, wall: WallTime, text: string): TimeUs {
  const naive = utc(wall, text)
  if (zone === 'UTC') return checkTime(naive)
  // Offsets are whole seconds and change by hours at most: the offsets a day before and after cover any transition.
  const candidates = new Set([naive - usPerDay, naive + usPerDay].map((near) => naive - zoneOffsetUs(zone, near)))
  const fits = [...candidates].filter((time) => time + zoneOffsetUs(zone, time) === naive).sort((a, b) => a - b)
  if (fits[0] === undefined)
    throw new InvalidInputError(`time ${JSON.stringify(text)} does not exist in ${zone}: the clocks skip it`)
  return checkTime(fits[0])
}

/** Throws `InvalidInputError` unless the name is an IANA time zone. */
export function checkZone(zone: string): string {
  zoneFormat(zone)
  return zone
}

/** Writes a time as ISO 8601 in UTC with as many decimals as it needs: none, 3 or 6. `parseTime` reads it back exactly. */
export function formatTime(time: TimeUs): string {
  const ms = Math.floor(time / 1000)
  const iso = new Date(ms).toISOString()
  const us = time - ms * 1000
  if (us !== 0) return `${iso.slice(0, -1)}${String(us).padStart(3, '0')}Z`
  return iso.endsWith('.000Z') ? `${iso.slice(0, -5)}Z` : iso
}

/** `yyyy-mm-dd` of a time in UTC. */
export function utcDay(time: TimeUs): string {
  return new Date(Math.floor(time / 1000)).toISOString().slice(0, 10)
}

/** `yyyy-mm` of a time in UTC. */
export function utcMonth(time: TimeUs): string {
  return utcDay(time).slice(0, 7)
}

function utc(parts: WallTime, text: string): number {
  const { year, month, day, hour, minute, second, us } = parts
  const ms = Date.UTC(year, month - 1, day, hour, minute, second)
  const date = new Date(ms)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59)
    throw new InvalidInputError(`time ${JSON.stringify(text)} is not on the calendar or the clock`)
  return ms * 1000 + us
}

function offsetUs(offset: string, text: string): number {
  if (offset === 'Z' || offset === 'z') return 0
  const hours = Number(offset.slice(1, 3))
  const minutes = Number(offset.slice(-2))
  if (hours > 23 || minutes > 59) throw new InvalidInputError(`time ${JSON.stringify(text)} has no valid offset`)
  return (offset.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60 * usPerSecond
}

const formats = new Map<string, Intl.DateTimeFormat>()

function zoneFormat(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone)
  if (known !== undefined) return known
  try {
    const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' })
    formats.set(zone, format)
    return format
  } catch (cause) {
    throw new InvalidInputError(
      `${JSON.stringify(zone)} is not a time zone: use a name such as Europe/Brussels or UTC`,
      { cause },
    )
  }
}

/** Offsets of a zone change at full quarters of an hour only; formatting costs some 15 µs, so each is remembered. */
const quarterUs = 15 * 60 * usPerSecond
const rememberedOffsets = 50_000
const offsets = new Map<string, number>()

function zoneOffsetUs(zone: string, time: TimeUs): number {
  const key = `${Math.floor(time / quarterUs)} ${zone}`
  let offset = offsets.get(key)
  if (offset === undefined) {
    if (offsets.size >= rememberedOffsets) offsets.clear()
    offsets.set(key, (offset = formattedOffsetUs(zone, time)))
  }
  return offset
}

function formattedOffsetUs(zone: string, time: TimeUs): number {
  const name =
    zoneFormat(zone)
      .formatToParts(Math.floor(time / 1000))
      .find((part) => part.type === 'timeZoneName')?.value ?? 'GMT'
  const match = /^GMT(?:([+-])(\d{2}):(\d{2})(?::(\d{2}))?)?$/.exec(name)
  if (match === null || match[1] === undefined) return 0
  const seconds = Number(match[2]) * 3600 + Number(match[3]) * 60 + Number(match[4] ?? 0)
  return (match[1] === '-' ? -1 : 1) * seconds * usPerSecond
}
