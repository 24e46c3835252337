/** What a whole record shows: its fields put together, and the token of everything that was seen. Pure. */
import {
  type FieldName,
  type FieldReading,
  type NodeId,
  type Reading,
  type SensorId,
  type TimeUs,
} from '../../model/index.ts'
import type { FieldView, MergeRule, RecordView } from '../types.ts'
import { wholeRecord, type AmendmentEntry } from './amendment-entry.ts'
import type { RecordEntries } from './amendment-set.ts'
import { fieldState, plainField, type FieldState, type NodeReading } from './field-state.ts'
import { seenToken } from './seen-token.ts'
import { compareText } from './value-key.ts'

/** A reading with the node that appended it. `nodes` is one shared list per node. */
export interface SourcedReading {
  readonly reading: Reading
  readonly nodes: readonly [NodeId]
}

/** Everything there is at one (sensor, time). */
export interface RecordInput {
  readonly sensor: SensorId
  readonly time: TimeUs
  /** In any order; the same reading may come twice. */
  readonly readings: readonly SourcedReading[]
  readonly entries?: RecordEntries | undefined
}

/** Says how to look at records. */
export interface ViewOptions {
  readonly ruleOf: (sensor: SensorId, field: FieldName) => MergeRule
  /** Only these fields, also in the `seen` token. */
  readonly fields?: ReadonlySet<FieldName> | undefined
  readonly includeRemoved?: boolean | undefined
  readonly onlyConflicts?: boolean | undefined
}

const noEntries: readonly AmendmentEntry[] = []

/**
 * Tells what a record shows; `undefined` if there is nothing to show. A field that is removed without conflict is left
 * out unless `includeRemoved`; one whose removal is in conflict always stays in sight.
 */
export function viewRecord(input: RecordInput, options: ViewOptions): RecordView | undefined {
  const plain = plainReading(input)
  const fields = plain === undefined ? mergedFields(input, options) : plainFields(plain, options)
  if (fields.length === 0) return undefined
  const { sensor, time } = input
  let seen: string | undefined
  return {
    sensor,
    time,
    fields,
    // Hashing costs more than everything else here, and few records that are read are edited.
    get seen() {
      return (seen ??= seenToken(input, options.fields))
    },
  }
}

/** The one reading of a record that nothing else is known about: needs no merging. */
export function plainReading(input: RecordInput): SourcedReading | undefined {
  return input.readings.length === 1 && input.entries === undefined ? input.readings[0] : undefined
}

/** Every field there is something about, sorted by name, with all that can be said of it; removed ones too. */
export function fieldStates(input: RecordInput, options: ViewOptions): FieldState[] {
  const { sensor, entries } = input
  const wanted = (field: FieldName): boolean => options.fields === undefined || options.fields.has(field)
  const readings = new Map<FieldName, NodeReading[]>()
  for (const { reading, nodes } of input.readings) {
    for (const { field, value, quality = 'good', unit } of reading.fields) {
      if (!wanted(field)) continue
      const known = readings.get(field)
      const item = { value, quality, unit, node: nodes[0] }
      if (known === undefined) readings.set(field, [item])
      else known.push(item)
    }
  }
  const names = new Set(readings.keys())
  if (entries !== undefined)
    for (const field of entries.keys()) if (field !== wholeRecord && wanted(field)) names.add(field)
  const whole = entries?.get(wholeRecord) ?? noEntries
  return [...names]
    .sort(compareText)
    .map((field) =>
      fieldState(
        field,
        readings.get(field) ?? [],
        entries?.get(field) ?? noEntries,
        whole,
        options.ruleOf(sensor, field),
      ),
    )
}

/** Whether a query shows the field. A note whose readings are not here yet shows with `includeRemoved` only. */
export function isVisible(state: FieldState, options: ViewOptions): boolean {
  const { view, things } = state
  if (options.onlyConflicts === true) return view.conflict !== undefined
  if (options.includeRemoved === true) return things.length > 0 || view.amendments.length > 0
  return things.length > 0 && (!view.removed || view.conflict !== undefined)
}

function mergedFields(input: RecordInput, options: ViewOptions): FieldView[] {
  const fields: FieldView[] = []
  for (const state of fieldStates(input, options)) if (isVisible(state, options)) fields.push(state.view)
  return fields
}

function plainFields({ reading, nodes }: SourcedReading, options: ViewOptions): FieldView[] {
  const views: FieldView[] = []
  if (options.onlyConflicts === true) return views
  const { fields } = reading
  let sorted = true
  for (let i = 0; i < fields.length; i++) {
    const { field, value, quality, unit } = fields[i] as FieldReading
    if (options.fields !== undefined && !options.fields.has(field)) continue
    const last = views.at(-1)
    if (last !== undefined && last.field > field) sorted = false
    views.push(plainField(field, value, quality ?? 'good', unit, nodes))
  }
  return sorted ? views : views.sort((a, b) => compareText(a.field, b.field))
}
