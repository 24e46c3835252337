import type { SensorId, TimeUs } from '../../model/index.ts'
import type { SeriesSummary } from '../types.ts'
import { readHeader, type HeaderTable } from './header.ts'
import { readKeys, type TableRows } from './keys.ts'

export interface SensorSpan {
  readonly sensor: SensorId
  readonly first: TimeUs
  readonly last: TimeUs
  /** Readings. */
  readonly count: number
}

export interface BatchSummary {
  readonly readings: number
  readonly sensors: readonly SensorSpan[]
  readonly series: readonly SeriesSummary[]
}

interface Span {
  first: TimeUs
  last: TimeUs
  count: number
}

/**
 * Says what a batch holds without decoding a value: it reads the header and the readings' sensors, times and presence
 * of fields. Because all of it is derived from these, a batch cannot say other than what it holds.
 */
export function summarizeBatch(bytes: Uint8Array): BatchSummary {
  const header = readHeader(bytes)
  const keys = readKeys(header)
  const sensors = new Map<number, SensorSpan & Span>()
  const series = new Map<string, SeriesSummary & Span>()
  const isOne = header.tables.length === 1
  const all: SeriesSummary[] = []
  for (let t = 0; t < keys.length; t++) {
    const table = header.tables[t] as HeaderTable
    const rows = keys[t] as TableRows
    let start = 0
    for (let s = 0; s < rows.counts.length; s++) {
      const end = start + (rows.counts[s] as number)
      if (end === start) continue
      const sensor = header.sensors[s] as SensorId
      const whole = spanOf(rows.times, start, end, undefined)
      add(sensors, s, whole, () => ({ sensor, ...whole }))
      for (let c = 0; c < table.columns.length; c++) {
        const absent = rows.absent[c]
        const span = absent === undefined ? whole : spanOf(rows.times, start, end, absent)
        if (span.count === 0) continue
        const { field, type, unit } = table.columns[c] as HeaderTable['columns'][number]
        const make = (): SeriesSummary & Span =>
          unit === undefined ? { sensor, field, type, ...span } : { sensor, field, type, unit, ...span }
        if (isOne) all.push(make())
        else add(series, `${s} ${field} ${type} ${unit ?? ''}`, span, make)
      }
      start = end
    }
  }
  return {
    readings: header.readings,
    sensors: [...sensors.values()],
    series: isOne ? all : [...series.values()],
  }
}

function spanOf(times: Float64Array, start: number, end: number, absent: Uint8Array | undefined): Span {
  let first = Infinity
  let last = -Infinity
  let count = 0
  for (let i = start; i < end; i++) {
    if (absent !== undefined && absent[i] === 1) continue
    const time = times[i] as number
    if (time < first) first = time
    if (time > last) last = time
    count++
  }
  return { first, last, count }
}

function add<K, V extends Span>(spans: Map<K, V>, key: K, span: Span, make: () => V): void {
  const there = spans.get(key)
  if (there === undefined) {
    spans.set(key, make())
    return
  }
  there.first = Math.min(there.first, span.first)
  there.last = Math.max(there.last, span.last)
  there.count += span.count
}
