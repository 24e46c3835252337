/** Index rows and seal statements count readings per sensor and month; this adds them up batch by batch. */
import { utcMonth, type DocumentId, type SensorId, type TimeUs } from '../model/index.ts'
import { decodeBatch, summarizeBatch, type BatchSummary } from './batch-codec/index.ts'
import type { Operation } from './database.ts'
import { keys } from './keys.ts'
import { encodeIndexRow } from './rows.ts'
import type { SensorMonth, SeriesSummary } from './types.ts'

interface Counts {
  first: TimeUs
  last: TimeUs
  count: number
}

/** Counts the readings of one batch per sensor and month. Decodes it only where a sensor's readings cross a month. */
export function monthsOf(batch: Uint8Array, summary: BatchSummary = summarizeBatch(batch)): SensorMonth[] {
  const months: SensorMonth[] = []
  for (const { sensor, first, last, count } of summary.sensors) {
    const month = monthOf(first)
    if (month === monthOf(last)) {
      months.push({ sensor, month, first, last, count })
      continue
    }
    const counts = new Map<string, Counts>()
    for (const { time } of decodeBatch(batch, { sensors: (other) => other === sensor }))
      add(counts, monthOf(time), time, time, 1)
    for (const [name, row] of counts) months.push({ sensor, month: name, ...row })
  }
  return months
}

/** What one journal holds: its index rows and its series. */
export class JournalIndex {
  readonly #months = new Map<SensorId, Map<string, Counts>>()
  readonly #series = new Map<string, { readonly summary: SeriesSummary; readonly counts: Counts }>()

  /** Adds a batch; gives the sensor months it touched, with the journal's counts. */
  add(batch: Uint8Array): SensorMonth[] {
    const summary = summarizeBatch(batch)
    for (const series of summary.series) {
      const key = `${series.sensor}\0${series.field}\0${series.type}\0${series.unit ?? ''}`
      const known = this.#series.get(key)
      if (known === undefined)
        this.#series.set(key, {
          summary: series,
          counts: { first: series.first, last: series.last, count: series.count },
        })
      else extend(known.counts, series.first, series.last, series.count)
    }
    return monthsOf(batch, summary).map(({ sensor, month, first, last, count }) => {
      let months = this.#months.get(sensor)
      if (months === undefined) this.#months.set(sensor, (months = new Map<string, Counts>()))
      return { sensor, month, ...add(months, month, first, last, count) }
    })
  }

  months(): SensorMonth[] {
    return [...this.#months].flatMap(([sensor, months]) =>
      [...months].map(([month, counts]) => ({ sensor, month, ...counts })),
    )
  }

  series(): SeriesSummary[] {
    return [...this.#series.values()].map(({ summary, counts }) => ({ ...summary, ...counts }))
  }
}

/** Puts of a journal's index rows. */
export function indexOperations(id: DocumentId, months: readonly SensorMonth[]): Operation[] {
  return months.map((row) => ({ type: 'put', key: keys.index(row.sensor, row.month, id), value: encodeIndexRow(row) }))
}

function add(rows: Map<string, Counts>, key: string, first: TimeUs, last: TimeUs, count: number): Counts {
  const row = rows.get(key)
  if (row === undefined) {
    const made = { first, last, count }
    rows.set(key, made)
    return made
  }
  extend(row, first, last, count)
  return row
}

function extend(counts: Counts, first: TimeUs, last: TimeUs, count: number): void {
  counts.first = Math.min(counts.first, first)
  counts.last = Math.max(counts.last, last)
  counts.count += count
}

const monthNames = new Map<number, string>()

/** `utcMonth`, remembered per day: it is asked for on every flush. */
function monthOf(time: TimeUs): string {
  const day = Math.floor(time / 86_400_000_000)
  let month = monthNames.get(day)
  if (month === undefined) {
    if (monthNames.size > 10_000) monthNames.clear()
    monthNames.set(day, (month = utcMonth(time)))
  }
  return month
}
