/** How a read is cut into windows of time, so that its memory is bounded by one of them. Pure. */
import { limits, utcDay, type TimeUs } from '../../model/index.ts'

/** Readings that a window should not exceed: some 20 MB of objects. */
export const windowReadings = 50_000

/** Something that holds about `count` readings, spread over [first, last]. */
export interface Extent {
  readonly first: TimeUs
  readonly last: TimeUs
  readonly count: number
}

/** Half-open. */
export interface TimeRange {
  readonly from: TimeUs
  readonly to: TimeUs
}

export function overlaps(extent: Extent, range: TimeRange): boolean {
  return extent.first < range.to && extent.last >= range.from
}

/**
 * Halves a range until each piece holds at most `target` readings by estimate. Pieces without anything in them are
 * left out. In order of time, or against it.
 */
export function* slices(
  range: TimeRange,
  extents: readonly Extent[],
  target: number,
  descending: boolean,
): Generator<TimeRange> {
  if (range.from >= range.to) return
  const inside = extents.filter((extent) => overlaps(extent, range))
  if (inside.length === 0) return
  if (estimate(range, inside) <= target || range.to - range.from <= 1) {
    yield range
    return
  }
  const middle = Math.floor((range.from + range.to) / 2)
  const halves = [
    { from: range.from, to: middle },
    { from: middle, to: range.to },
  ]
  for (const half of descending ? halves.reverse() : halves) yield* slices(half, inside, target, descending)
}

function estimate(range: TimeRange, extents: readonly Extent[]): number {
  let sum = 0
  for (const { first, last, count } of extents) {
    const shared = Math.min(range.to - 1, last) - Math.max(range.from, first) + 1
    sum += (count * shared) / (last - first + 1)
  }
  return sum
}

/** The part of a range within a UTC month (`yyyy-mm`). */
export function monthRange(month: string, range: TimeRange): TimeRange {
  const year = Number(month.slice(0, 4))
  const number = Number(month.slice(5))
  return {
    from: Math.max(range.from, Date.UTC(year, number - 1) * 1000),
    to: Math.min(range.to, Date.UTC(year, number) * 1000),
  }
}

/** First and last UTC day of a range. */
export function dayBounds(range: TimeRange): { readonly first: string; readonly last: string } {
  const from = Math.min(Math.max(range.from, limits.timeMinUs), limits.timeMaxUs - 1)
  const to = Math.min(Math.max(range.to - 1, limits.timeMinUs), limits.timeMaxUs - 1)
  return { first: utcDay(from), last: utcDay(to) }
}

/** First and last UTC month of a range. */
export function monthBounds(range: TimeRange): { readonly first: string; readonly last: string } {
  const days = dayBounds(range)
  return { first: days.first.slice(0, 7), last: days.last.slice(0, 7) }
}

export function startOfDay(day: string): TimeUs {
  return Date.parse(`${day}T00:00:00Z`) * 1000
}
