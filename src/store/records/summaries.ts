/** What there is of each sensor: counts, fields, last values and open conflicts. */
import { hash } from 'node:crypto'
import {
  policyId,
  typeOf,
  type FieldName,
  type NodeId,
  type Quality,
  type SensorId,
  type SensorPattern,
  type TimeUs,
  type Value,
  type ValueType,
} from '../../model/index.ts'
import type { RecordView, SensorSummary } from '../types.ts'
import { matchingSensors, rangeOf, readCatalog } from './query.ts'
import { viewRecord, type RecordInput } from './record-view.ts'
import { planMonths, scanMonth, type MonthPlan, type ScanSource } from './scan.ts'
import { compareText } from './value-key.ts'
import { windowReadings } from './window-plan.ts'

interface FieldSummary {
  readonly type: ValueType
  readonly unit?: string | undefined
  readonly last?: { readonly value: Value; readonly quality: Quality; readonly time: TimeUs } | undefined
}

/** One sensor in one month. */
interface MonthSummary {
  readings: number
  first: TimeUs
  last: TimeUs
  conflicts: number
  readonly nodes: Set<NodeId>
  readonly fields: Map<FieldName, FieldSummary>
}

/** Months of sensors that are remembered: a few hundred bytes each. */
const maxRemembered = 10_000

/**
 * Remembers what months came to, by what they were made of: only a month in which something changed is read again.
 * The oldest are forgotten first.
 */
export class SummaryCache {
  readonly #months = new Map<string, MonthSummary>()

  get(key: string): MonthSummary | undefined {
    return this.#months.get(key)
  }

  set(key: string, summary: MonthSummary): void {
    if (this.#months.size >= maxRemembered) {
      const [oldest] = this.#months.keys()
      if (oldest !== undefined) this.#months.delete(oldest)
    }
    this.#months.set(key, summary)
  }
}

/** Summarizes the matching sensors, ascending by code unit. Units, types and places of the catalog come first. */
export async function* sensorSummaries(
  source: ScanSource,
  cache: SummaryCache,
  patterns?: readonly SensorPattern[],
): AsyncGenerator<SensorSummary> {
  const { snapshot, policy } = source
  const sensors = await matchingSensors(snapshot, patterns)
  const catalog = await readCatalog(snapshot)
  const policyHeads = (await snapshot.state(policyId))?.heads.join() ?? ''
  const totals = new Map<SensorId, MonthSummary>()
  const options = { ...rangeOf({}), sensors, target: windowReadings }
  for await (const plan of planMonths(source, options))
    for (const [sensor, month] of await monthSummaries(source, cache, plan, policyHeads))
      addMonth(totals, sensor, month)
  for (const sensor of sensors) {
    const total = totals.get(sensor)
    if (total === undefined) continue
    const place = catalog.placeOf(sensor)
    yield {
      sensor,
      group: policy.groupOf(sensor),
      readings: total.readings,
      first: total.first,
      last: total.last,
      nodes: [...total.nodes].sort(compareText),
      fields: [...total.fields]
        .sort(([a], [b]) => compareText(a, b))
        .map(([field, { type, unit: ownUnit, last }]) => {
          const unit = catalog.unitOf(sensor, field) ?? ownUnit
          return {
            field,
            type: catalog.typeOf(sensor, field) ?? type,
            ...(unit !== undefined && { unit }),
            ...(last !== undefined && { last }),
          }
        }),
      conflicts: total.conflicts,
      ...(place !== undefined && { place }),
    }
  }
}

async function monthSummaries(
  source: ScanSource,
  cache: SummaryCache,
  plan: MonthPlan,
  policyHeads: string,
): Promise<Map<SensorId, MonthSummary>> {
  const keys = await monthKeys(source, plan, policyHeads)
  const summaries = new Map<SensorId, MonthSummary>()
  const missing = new Set<SensorId>()
  for (const [sensor, key] of keys) {
    const known = cache.get(key)
    if (known === undefined) missing.add(sensor)
    else summaries.set(sensor, known)
  }
  if (missing.size === 0) return summaries
  const rest: MonthPlan = {
    ...plan,
    sensors: [...missing],
    rows: plan.rows.filter((row) => missing.has(row.sensor)),
    amendments: plan.amendments.filter((document) => missing.has(document.sensor)),
  }
  for (const sensor of missing) summaries.set(sensor, emptySummary())
  const options = { from: plan.from, to: plan.to, sensors: rest.sensors, target: windowReadings }
  for await (const records of scanMonth(source, rest, options))
    for (const record of records) addRecord(summaries.get(record.sensor) as MonthSummary, record, source)
  const damaged = await sensorsOfDamage(source, rest)
  for (const sensor of missing)
    if (!damaged.has(sensor)) cache.set(keys.get(sensor) as string, summaries.get(sensor) as MonthSummary)
  return summaries
}

/** Sensors of which a document was found damaged on the way and read as absent: what lacks it must not be remembered. */
async function sensorsOfDamage({ snapshot }: ScanSource, plan: MonthPlan): Promise<Set<SensorId>> {
  const damaged = new Set<SensorId>()
  const documents = [...plan.rows.map(({ sensor, document }) => ({ sensor, id: document })), ...plan.amendments]
  for (const { sensor, id } of documents) if ((await snapshot.state(id)) === undefined) damaged.add(sensor)
  return damaged
}

/** Names what a month of a sensor is made of: documents with counts and heads, and the policy it is read under. */
async function monthKeys(source: ScanSource, plan: MonthPlan, policyHeads: string): Promise<Map<SensorId, string>> {
  const parts = new Map<SensorId, string[]>(plan.sensors.map((sensor) => [sensor, [sensor, plan.month, policyHeads]]))
  // A journal only grows, in a straight line: as many readings of a sensor in a month are the same readings.
  for (const { sensor, document, first, last, count } of plan.rows)
    parts.get(sensor)?.push(`${document} ${first} ${last} ${count}`)
  for (const { sensor, id } of plan.amendments) {
    const state = await source.snapshot.state(id)
    parts.get(sensor)?.push(`${id} ${state?.heads.join()}`)
  }
  return new Map([...parts].map(([sensor, texts]) => [sensor, hash('sha256', JSON.stringify(texts), 'base64url')]))
}

function emptySummary(): MonthSummary {
  return {
    readings: 0,
    first: Number.POSITIVE_INFINITY,
    last: Number.NEGATIVE_INFINITY,
    conflicts: 0,
    nodes: new Set(),
    fields: new Map(),
  }
}

/** Records come in ascending order, so that the last of a field is the latest. */
function addRecord(summary: MonthSummary, record: RecordInput, { policy }: ScanSource): void {
  const view = viewRecord(record, { ruleOf: policy.ruleOf })
  summary.readings += record.readings.length
  for (const { nodes } of record.readings) summary.nodes.add(nodes[0])
  if (record.readings.length > 0 || view !== undefined) {
    summary.first = Math.min(summary.first, record.time)
    summary.last = Math.max(summary.last, record.time)
  }
  if (view !== undefined) addFields(summary, view)
}

function addFields(summary: MonthSummary, { fields, time }: RecordView): void {
  for (const { field, shown, conflict, readings } of fields) {
    if (conflict !== undefined) summary.conflicts++
    const known = summary.fields.get(field)
    if (shown !== undefined) {
      const { value, quality, type, unit } = shown
      summary.fields.set(field, { type, unit: unit ?? known?.unit, last: { value, quality, time } })
    } else if (known === undefined && readings[0] !== undefined) {
      const [{ value, unit }] = readings
      summary.fields.set(field, { type: typeOf(value), unit })
    }
  }
}

function addMonth(totals: Map<SensorId, MonthSummary>, sensor: SensorId, month: MonthSummary): void {
  if (month.last < month.first) return
  let total = totals.get(sensor)
  if (total === undefined) totals.set(sensor, (total = emptySummary()))
  total.readings += month.readings
  total.first = Math.min(total.first, month.first)
  total.last = Math.max(total.last, month.last)
  total.conflicts += month.conflicts
  for (const node of month.nodes) total.nodes.add(node)
  for (const [field, later] of month.fields) {
    const known = total.fields.get(field)
    total.fields.set(field, { type: later.type, unit: later.unit ?? known?.unit, last: later.last ?? known?.last })
  }
}
