/** Reads of records. Each works on one snapshot: one consistent moment. */
import {
  catalogId,
  InvalidInputError,
  limits,
  policyId,
  type SensorId,
  type SensorPattern,
  type TimeUs,
} from '../../model/index.ts'
import type { DocumentsSnapshot } from '../documents.ts'
import type { Query, RecordView } from '../types.ts'
import { catalogOf, type Catalog } from './catalog.ts'
import { contentLine, ContentSum, plainContentLine } from './content-line.ts'
import type { DamageLog } from './damage-log.ts'
import { anyMatcher } from './pattern-table.ts'
import { policyOf } from './policy.ts'
import { fieldStates, isVisible, plainReading, viewRecord, type ViewOptions } from './record-view.ts'
import { readRecord, scan, type BatchReader, type ScanOptions, type ScanSource } from './scan.ts'
import { monthBounds, windowReadings } from './window-plan.ts'

/** Puts together what a scan needs, with the policy of the snapshot. */
export async function scanSource(
  snapshot: DocumentsSnapshot,
  codec: BatchReader,
  damage: DamageLog,
): Promise<ScanSource> {
  return { snapshot, codec, damage, policy: policyOf(await snapshot.shared(policyId)) }
}

export async function readCatalog(snapshot: DocumentsSnapshot): Promise<Catalog> {
  return catalogOf(await snapshot.shared(catalogId))
}

/** Streams the records that a query asks for. Leaves off as soon as the limit is reached. */
export async function* queryRecords(source: ScanSource, query: Query = {}): AsyncGenerator<RecordView> {
  const limit = query.limit ?? Number.POSITIVE_INFINITY
  if (limit < 0 || Number.isNaN(limit)) throw new InvalidInputError(`a limit of ${limit} records cannot be kept`)
  if (limit === 0) return
  const fields = query.fields === undefined || query.fields.length === 0 ? undefined : new Set(query.fields)
  const view: ViewOptions = {
    ruleOf: source.policy.ruleOf,
    fields,
    includeRemoved: query.includeRemoved,
    onlyConflicts: query.onlyConflicts,
  }
  const options: ScanOptions = {
    ...rangeOf(query),
    sensors: await matchingSensors(source.snapshot, query.patterns),
    fields,
    descending: query.order === 'descending',
    target: windowTarget(query, limit),
    signal: query.signal,
  }
  let count = 0
  for await (const records of scan(source, options)) {
    for (const record of records) {
      const shown = viewRecord(record, view)
      if (shown === undefined) continue
      query.signal?.throwIfAborted()
      yield shown
      if (++count >= limit) return
    }
  }
}

/** Few records wanted: small windows, so that few readings are decoded for them. */
function windowTarget(query: Query, limit: number): number {
  return query.onlyConflicts === true ? windowReadings : Math.min(windowReadings, Math.max(1_000, 4 * limit))
}

export function rangeOf(range: { readonly from?: TimeUs; readonly to?: TimeUs }): { from: TimeUs; to: TimeUs } {
  return {
    from: Math.max(range.from ?? 0, limits.timeMinUs),
    to: Math.min(range.to ?? limits.timeMaxUs, limits.timeMaxUs),
  }
}

/** Ascending by code unit. */
export async function matchingSensors(
  snapshot: DocumentsSnapshot,
  patterns: readonly SensorPattern[] | undefined,
): Promise<SensorId[]> {
  const matches = anyMatcher(patterns)
  const sensors: SensorId[] = []
  for await (const sensor of snapshot.sensors()) if (matches(sensor)) sensors.push(sensor)
  return sensors.sort()
}

/** One record as it shows; removed fields, or a record removed as a whole, only with `includeRemoved`. */
export async function recordAt(
  source: ScanSource,
  sensor: SensorId,
  time: TimeUs,
  options: { readonly includeRemoved?: boolean } = {},
): Promise<RecordView | undefined> {
  const input = await readRecord(source, sensor, time)
  return input && viewRecord(input, { ruleOf: source.policy.ruleOf, includeRemoved: options.includeRemoved })
}

/** The times of the visible records nearest to `time`, nearest first; of two as near, the earlier. */
export async function nearestTimes(
  source: ScanSource,
  sensor: SensorId,
  time: TimeUs,
  count: number,
): Promise<TimeUs[]> {
  const patterns = [sensor as string as SensorPattern]
  const times: TimeUs[] = []
  for await (const record of queryRecords(source, { patterns, from: time, limit: count })) times.push(record.time)
  for await (const record of queryRecords(source, { patterns, to: time, limit: count, order: 'descending' }))
    times.push(record.time)
  return times.sort((a, b) => Math.abs(a - time) - Math.abs(b - time) || a - b).slice(0, count)
}

/** First and last reading time over the matching sensors, from index rows alone; nothing before a retention mark. */
export async function readingSpan(
  source: ScanSource,
  patterns?: readonly SensorPattern[],
): Promise<{ first: TimeUs; last: TimeUs } | undefined> {
  let first = Number.POSITIVE_INFINITY
  let last = Number.NEGATIVE_INFINITY
  for (const sensor of await matchingSensors(source.snapshot, patterns)) {
    const mark = source.policy.markOf(sensor)
    const { first: markMonth } = monthBounds({ from: mark, to: mark + 1 })
    const months = (await source.snapshot.months(sensor)).filter((month) => month >= markMonth)
    // Only the outer months can hold the ends; one that lies before the mark altogether shows no row.
    for (const month of months) {
      const rows = (await source.snapshot.index(sensor, month)).filter((row) => row.last >= mark)
      for (const row of rows) first = Math.min(first, Math.max(row.first, mark))
      if (rows.length > 0) break
    }
    for (const month of months.toReversed()) {
      const rows = (await source.snapshot.index(sensor, month)).filter((row) => row.last >= mark)
      for (const row of rows) last = Math.max(last, row.last)
      if (rows.length > 0) break
    }
  }
  return last >= first ? { first, last } : undefined
}

/** The content digest of docs/content-digest.md: 64 hex digits over everything visible. */
export async function contentDigest(source: ScanSource, signal?: AbortSignal): Promise<string> {
  const sum = new ContentSum()
  const view: ViewOptions = { ruleOf: source.policy.ruleOf }
  const sensors = await matchingSensors(source.snapshot, undefined)
  for await (const records of scan(source, { ...rangeOf({}), sensors, target: windowReadings, signal })) {
    for (const record of records) {
      const plain = plainReading(record)
      if (plain === undefined) {
        for (const state of fieldStates(record, view))
          if (isVisible(state, view)) sum.add(contentLine(record.sensor, record.time, state))
      } else {
        for (const { field, value, quality } of plain.reading.fields)
          sum.add(plainContentLine(record.sensor, record.time, field, value, quality ?? 'good', plain.nodes[0]))
      }
    }
  }
  return sum.hex()
}
