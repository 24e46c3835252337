/**
 * Reads what there is, record by record: journals of all nodes and amendments merged by (time, sensor), in windows of
 * time. Everything that shows records is made of this.
 */
import {
  HedgerowError,
  parseDocumentId,
  usPerDay,
  type DocumentId,
  type FieldName,
  type NodeId,
  type Reading,
  type SensorId,
  type TimeUs,
} from '../../model/index.ts'
import type { DocumentsSnapshot, IndexRow, JournalBatch } from '../documents.ts'
import type { AmendmentEntry, EntryField } from './amendment-entry.ts'
import { readAmendments, type RecordEntries } from './amendment-set.ts'
import type { DamageLog } from './damage-log.ts'
import type { PolicyResolver } from './policy.ts'
import type { RecordInput, SourcedReading } from './record-view.ts'
import { compareText } from './value-key.ts'
import {
  dayBounds,
  monthBounds,
  monthRange,
  overlaps,
  slices,
  startOfDay,
  type Extent,
  type TimeRange,
} from './window-plan.ts'

/** What the records need of the batch codec. */
export interface BatchReader {
  decode(bytes: Uint8Array, filter: BatchFilter): readonly Reading[]
  /** Times and number of readings of each sensor, without decoding values. */
  spans(bytes: Uint8Array): readonly (Extent & { readonly sensor: SensorId })[]
}

export interface BatchFilter {
  readonly sensors?: (sensor: SensorId) => boolean
  readonly from?: TimeUs
  readonly to?: TimeUs
  readonly fields?: ReadonlySet<FieldName>
}

export interface ScanSource {
  readonly snapshot: DocumentsSnapshot
  readonly codec: BatchReader
  readonly policy: PolicyResolver
  readonly damage: DamageLog
}

export interface ScanOptions extends TimeRange {
  readonly sensors: readonly SensorId[]
  readonly fields?: ReadonlySet<FieldName> | undefined
  readonly descending?: boolean
  /** Readings of a window, by estimate. */
  readonly target: number
  readonly signal?: AbortSignal | undefined
}

/** What is known of one UTC month from the index alone. */
export interface MonthPlan extends TimeRange {
  readonly month: string
  readonly sensors: readonly SensorId[]
  readonly rows: readonly (IndexRow & { readonly sensor: SensorId })[]
  readonly amendments: readonly AmendmentDocument[]
}

export interface AmendmentDocument {
  readonly id: DocumentId
  readonly sensor: SensorId
  readonly day: string
}

/** Gives the months in which there is anything, in the order of the scan. */
export async function* planMonths(source: ScanSource, options: ScanOptions): AsyncGenerator<MonthPlan> {
  const { snapshot } = source
  const months = new Map<string, { sensors: Set<SensorId>; amendments: AmendmentDocument[] }>()
  const monthOf = (month: string): { sensors: Set<SensorId>; amendments: AmendmentDocument[] } => {
    let known = months.get(month)
    if (known === undefined) months.set(month, (known = { sensors: new Set(), amendments: [] }))
    return known
  }
  if (options.from >= options.to) return
  const bounds = monthBounds(options)
  const days = dayBounds(options)
  for (const sensor of options.sensors) {
    options.signal?.throwIfAborted()
    for (const month of await snapshot.months(sensor))
      if (month >= bounds.first && month <= bounds.last) monthOf(month).sensors.add(sensor)
    for (const id of await snapshot.amendmentDocuments(sensor, days.first, days.last)) {
      const parsed = parseDocumentId(id)
      if (parsed.kind !== 'amendments') continue
      const month = monthOf(parsed.day.slice(0, 7))
      month.amendments.push({ id, sensor, day: parsed.day })
    }
  }
  const names = [...months.keys()].sort(compareText)
  for (const name of options.descending === true ? names.reverse() : names) {
    const { sensors, amendments } = monthOf(name)
    const rows: (IndexRow & { sensor: SensorId })[] = []
    for (const sensor of sensors) for (const row of await snapshot.index(sensor, name)) rows.push({ ...row, sensor })
    yield {
      ...monthRange(name, options),
      month: name,
      sensors: [...new Set([...sensors, ...amendments.map((document) => document.sensor)])],
      rows,
      amendments,
    }
    months.delete(name)
  }
}

/** Scans everything in a range, a window of records at a time. */
export async function* scan(source: ScanSource, options: ScanOptions): AsyncGenerator<RecordInput[]> {
  for await (const plan of planMonths(source, options)) yield* scanMonth(source, plan, options)
}

/** Scans one month. Records come by time, then sensor; with `descending` exactly the other way round. */
export async function* scanMonth(
  source: ScanSource,
  plan: MonthPlan,
  options: ScanOptions,
): AsyncGenerator<RecordInput[]> {
  const { snapshot, codec, damage } = source
  const descending = options.descending === true
  const days: (Extent & AmendmentDocument)[] = []
  for (const document of plan.amendments) {
    const first = startOfDay(document.day)
    const state = await snapshot.state(document.id)
    if (state !== undefined) days.push({ ...document, first, last: first + usPerDay - 1, count: state.records })
  }
  // The index knows months only; where readings cluster, the batches show it and the slice is cut again.
  for (const slice of slices(plan, [...plan.rows, ...days], options.target, descending)) {
    options.signal?.throwIfAborted()
    const rows = plan.rows.filter((row) => overlaps(row, slice))
    const wanted = new Set(rows.map((row) => row.sensor))
    const batches: NodeBatch[] = []
    for (const [document, node] of new Map(rows.map((row) => [row.document, row.node]))) {
      const nodes = [node] as const
      for (const batch of await snapshot.batches(document)) {
        const extent = readExtent(codec, document, batch, wanted, damage)
        if (extent !== undefined && overlaps(extent, slice))
          batches.push({ ...extent, document, bytes: batch.bytes, nodes })
      }
    }
    const inSlice = days.filter((day) => overlaps(day, slice))
    for (const window of slices(slice, [...batches, ...inSlice], options.target, descending)) {
      options.signal?.throwIfAborted()
      const amendments = await windowAmendments(source, inSlice, window)
      const readings = windowReadings(source, batches, window, wanted, options.fields)
      const records = mergeRecords(readings, amendments, source.policy)
      if (records.length > 0) yield descending ? records.reverse() : records
    }
  }
}

interface NodeBatch extends Extent {
  readonly document: DocumentId
  readonly bytes: Uint8Array
  readonly nodes: readonly [NodeId]
}

type Spans = ReturnType<BatchReader['spans']>
const spansOf = new WeakMap<JournalBatch, Spans>()

/** What a batch holds of the wanted sensors; `undefined`: nothing. */
function readExtent(
  codec: BatchReader,
  document: DocumentId,
  batch: JournalBatch,
  wanted: ReadonlySet<SensorId>,
  damage: DamageLog,
): Extent | undefined {
  let spans = spansOf.get(batch)
  if (spans === undefined) {
    spans = tryDecode(document, damage, () => codec.spans(batch.bytes)) ?? []
    spansOf.set(batch, spans)
  }
  let first = Number.POSITIVE_INFINITY
  let last = Number.NEGATIVE_INFINITY
  let count = 0
  for (const span of spans) {
    if (!wanted.has(span.sensor)) continue
    if (span.first < first) first = span.first
    if (span.last > last) last = span.last
    count += span.count
  }
  return count === 0 ? undefined : { first, last, count }
}

/** A batch is signed and whole before it is stored, but its author may have written nonsense: that must not stop reads. */
function tryDecode<T>(document: DocumentId, damage: DamageLog, decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (!(error instanceof HedgerowError)) throw error
    damage.report(document, 1, error.message)
    return undefined
  }
}

function windowReadings(
  source: ScanSource,
  batches: readonly NodeBatch[],
  window: TimeRange,
  sensors: ReadonlySet<SensorId>,
  fields: ReadonlySet<FieldName> | undefined,
): SourcedReading[] {
  const readings: SourcedReading[] = []
  const filter = {
    sensors: (sensor: SensorId): boolean => sensors.has(sensor),
    from: window.from,
    to: window.to,
    ...(fields !== undefined && { fields }),
  }
  for (const batch of batches) {
    if (!overlaps(batch, window)) continue
    const decoded = tryDecode(batch.document, source.damage, () => source.codec.decode(batch.bytes, filter)) ?? []
    for (const reading of decoded) readings.push({ reading, nodes: batch.nodes })
  }
  return readings
}

type SensorEntries = Map<SensorId, Map<TimeUs, RecordEntries>>

/** Entries of the window's records. Those of one record may stand in documents of several groups: their union counts. */
async function windowAmendments(
  { snapshot, damage }: ScanSource,
  documents: readonly (Extent & AmendmentDocument)[],
  window: TimeRange,
): Promise<SensorEntries> {
  const sensors: SensorEntries = new Map()
  for (const document of documents) {
    if (!overlaps(document, window)) continue
    const set = readAmendments(await snapshot.shared(document.id), document.day)
    if (set.damaged > 0) damage.report(document.id, set.damaged, set.reason ?? '')
    let times = sensors.get(document.sensor)
    if (times === undefined) sensors.set(document.sensor, (times = new Map()))
    for (const [time, entries] of set.byTime) {
      if (time < window.from || time >= window.to) continue
      const known = times.get(time)
      times.set(time, known === undefined ? entries : uniteEntries(known, entries))
    }
  }
  return sensors
}

function uniteEntries(a: RecordEntries, b: RecordEntries): RecordEntries {
  const united = new Map<EntryField, readonly AmendmentEntry[]>(a)
  for (const [field, entries] of b) united.set(field, [...(united.get(field) ?? []), ...entries])
  return united
}

function mergeRecords(readings: SourcedReading[], amendments: SensorEntries, policy: PolicyResolver): RecordInput[] {
  readings.sort(compareReadings)
  const records: RecordInput[] = []
  const amended = amendments.size > 0
  for (let i = 0; i < readings.length;) {
    const first = readings[i] as SourcedReading
    const { sensor, time } = first.reading
    let end = i + 1
    for (; end < readings.length; end++) {
      const { reading } = readings[end] as SourcedReading
      if (reading.time !== time || reading.sensor !== sensor) break
    }
    const group = end === i + 1 ? [first] : readings.slice(i, end)
    i = end
    if (time < policy.markOf(sensor)) continue
    const times = amended ? amendments.get(sensor) : undefined
    records.push({ sensor, time, readings: group, entries: times?.get(time) })
    times?.delete(time)
  }
  if (!amended) return records
  const merged = records.length
  for (const [sensor, times] of amendments)
    for (const [time, entries] of times)
      if (time >= policy.markOf(sensor)) records.push({ sensor, time, readings: [], entries })
  return records.length === merged ? records : records.sort(compareRecords)
}

function compareReadings(a: SourcedReading, b: SourcedReading): number {
  return a.reading.time - b.reading.time || compareText(a.reading.sensor, b.reading.sensor)
}

function compareRecords(a: RecordInput, b: RecordInput): number {
  return a.time - b.time || compareText(a.sensor, b.sensor)
}

/** Everything at one record; `undefined` if there is nothing. */
export async function readRecord(source: ScanSource, sensor: SensorId, time: TimeUs): Promise<RecordInput | undefined> {
  const options = { sensors: [sensor], from: time, to: time + 1, target: Number.MAX_SAFE_INTEGER }
  for await (const [record] of scan(source, options)) return record
  return undefined
}
