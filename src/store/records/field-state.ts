/**
 * What one field of one record shows: a pure function of the set of its reading values, the amendments that no other
 * has overwritten, and the merge rule. The order in which they come does not matter.
 *
 * Two statements are one *thing* when value (`sameValue`) and quality are the same. The things of a field are
 * - each (value, quality) that a surviving amendment states, and a removal if one stands;
 * - each reading (value, quality) that no surviving amendment covers. An amendment that states something covers the
 *   readings in its `over` and equal ones, nothing else. A reading equal to a standing amendment is no thing of its own.
 *
 * One thing: no conflict. More: the conflict is named after the first that meet in this order, contradicting people
 * before contradicting sensors: amend/amend, amend/remove, reading/amend, reading/remove, reading/reading.
 */
import {
  compareValues,
  typeOf,
  type FieldName,
  type NodeId,
  type Quality,
  type Value,
  type ValueType,
} from '../../model/index.ts'
import type { Amendment, ConflictKind, FieldView, MergeRule, ReadingValue } from '../types.ts'
import { states, type Act, type AmendmentEntry } from './amendment-entry.ts'
import { compareQuality, compareText, exactKey, statementKey } from './value-key.ts'

/** One value as one node appended it. */
export interface NodeReading {
  readonly value: Value
  readonly quality: Quality
  readonly unit?: string | undefined
  readonly node: NodeId
}

/** One of the distinct things that a field says. */
export type Thing =
  | {
      readonly kind: 'amendment'
      readonly value: Value
      readonly quality: Quality
      readonly acts: readonly Amendment[]
    }
  | { readonly kind: 'removal'; readonly acts: readonly Amendment[] }
  | { readonly kind: 'reading'; readonly value: Value; readonly quality: Quality; readonly nodes: readonly NodeId[] }

export interface FieldState {
  readonly view: FieldView
  /** In the order of the `default` rule: the first is what it shows. */
  readonly things: readonly Thing[]
  /** What is shown; absent when nothing is, or nothing yet (`manual`). */
  readonly shown?: Thing
  /** Notes that state nothing. */
  readonly notes: readonly Amendment[]
}

const nothing: readonly never[] = []

/** A field with one reading and nothing else, which is nearly every field. `nodes` holds the one node. */
export function plainField(
  field: FieldName,
  value: Value,
  quality: Quality,
  unit: string | undefined,
  nodes: readonly [NodeId],
): FieldView {
  const type = typeOf(value)
  return unit === undefined
    ? {
        field,
        shown: { value, quality, type },
        removed: false,
        readings: [{ value, quality, nodes, covered: false }],
        amendments: nothing,
      }
    : {
        field,
        shown: { value, quality, unit, type },
        removed: false,
        readings: [{ value, quality, unit, nodes, covered: false }],
        amendments: nothing,
      }
}

/**
 * Tells what a field shows. `entries` are those at the field's key, `whole` those at the record's: removals of the
 * record, which act here unless the field has an entry of the same act or one whose author saw that removal.
 */
export function fieldState(
  field: FieldName,
  readings: readonly NodeReading[],
  entries: readonly AmendmentEntry[],
  whole: readonly AmendmentEntry[],
  rule: MergeRule,
): FieldState {
  const own = distinctEntries(entries)
  const acting = distinctEntries(whole).filter(
    (removal) => removal.amendment.removed === true && !isAnswered(removal.amendment, own),
  )
  const amendments = [...own, ...acting].sort(compareEntries)
  const stating = amendments.filter(states)
  const covering = new Set(
    stating.flatMap((entry) => entry.amendment.over.map((seen) => statementKey(seen.value, seen.quality))),
  )
  const stated = statedThings(stating.map((entry) => entry.amendment))
  const values = distinctReadings(readings)
  const things: Thing[] = [...stated.values()]
  const views: (ReadingValue & { readonly covered: boolean })[] = []
  for (const [key, reading] of values) {
    const covered = covering.has(key)
    views.push({ ...reading, covered })
    if (!covered && !stated.has(key))
      things.push({ kind: 'reading', value: reading.value, quality: reading.quality, nodes: reading.nodes })
  }
  things.sort(compareThings)
  const shown = rule === 'manual' && things.length > 1 ? undefined : things[0]
  const conflict = conflictOf(things)
  const unit = shown === undefined ? undefined : unitOf(shown, views)
  return {
    view: {
      field,
      ...(shown !== undefined &&
        shown.kind !== 'removal' && {
          shown: {
            value: shown.value,
            quality: shown.quality,
            ...(unit !== undefined && { unit }),
            type: typeOf(shown.value) satisfies ValueType,
          },
        }),
      removed: shown?.kind === 'removal',
      ...(conflict !== undefined && { conflict }),
      readings: views.sort(compareStatements),
      amendments: amendments.map((entry) => entry.amendment),
    },
    things,
    ...(shown !== undefined && { shown }),
    notes: amendments.filter((entry) => !states(entry)).map((entry) => entry.amendment),
  }
}

export function sameAct(a: Act, b: Act): boolean {
  return a.at === b.at && a.by === b.by
}

function isAnswered(removal: Amendment, own: readonly AmendmentEntry[]): boolean {
  return own.some(
    (entry) => sameAct(entry.amendment, removal) || entry.clears.some((cleared) => sameAct(cleared, removal)),
  )
}

/** An entry may stand in several documents: the same act is one. */
export function distinctEntries(entries: readonly AmendmentEntry[]): readonly AmendmentEntry[] {
  if (entries.length < 2) return entries
  const byContent = new Map(entries.map((entry) => [entryIdentity(entry), entry]))
  return [...byContent].sort(([a], [b]) => compareText(a, b)).map(([, entry]) => entry)
}

const identities = new WeakMap<AmendmentEntry, string>()

/** Text that two entries share exactly when they say the same in every part. */
export function entryIdentity(entry: AmendmentEntry): string {
  let identity = identities.get(entry)
  if (identity === undefined) {
    const { value, quality, removed, note, why, user, by, at, over } = entry.amendment
    identity = JSON.stringify([
      by,
      at,
      value === undefined ? null : exactKey(value),
      quality ?? null,
      removed ?? false,
      note ?? null,
      why ?? null,
      user ?? null,
      over.map((seen) => [seen.node, exactKey(seen.value), seen.quality]),
      entry.clears.map((act) => [act.by, act.at]),
    ])
    identities.set(entry, identity)
  }
  return identity
}

function compareEntries(a: AmendmentEntry, b: AmendmentEntry): number {
  return compareActs(a.amendment, b.amendment) || compareText(entryIdentity(a), entryIdentity(b))
}

function compareActs(a: Act, b: Act): number {
  return a.at - b.at || compareText(a.by, b.by)
}

function statedThings(amendments: readonly Amendment[]): Map<string, Thing> {
  const things = new Map<string, Thing>()
  for (const amendment of amendments) {
    const { value, quality } = amendment
    const key = value === undefined || quality === undefined ? '' : statementKey(value, quality)
    const known = things.get(key)
    const acts = known === undefined ? [amendment] : [...(known as { acts: readonly Amendment[] }).acts, amendment]
    if (value === undefined || quality === undefined) things.set(key, { kind: 'removal', acts })
    else {
      const representative = known?.kind === 'amendment' ? smaller(known.value, value) : value
      things.set(key, { kind: 'amendment', value: representative, quality, acts })
    }
  }
  return things
}

function distinctReadings(readings: readonly NodeReading[]): Map<string, ReadingValue> {
  const groups = new Map<string, NodeReading[]>()
  for (const reading of readings) {
    const key = statementKey(reading.value, reading.quality)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [reading])
    else group.push(reading)
  }
  const values = new Map<string, ReadingValue>()
  for (const [key, group] of groups) values.set(key, mergeEqual(group))
  return values
}

/** Of equal values the smallest stands for all (float before int, −0 before 0); the unit is that of the lowest node that gave one. */
function mergeEqual(group: readonly NodeReading[]): ReadingValue {
  const first = group[0] as NodeReading
  let { value } = first
  let unitFrom: NodeReading | undefined
  for (const reading of group) {
    value = smaller(value, reading.value)
    if (reading.unit !== undefined && (unitFrom === undefined || compareUnits(reading, unitFrom) < 0))
      unitFrom = reading
  }
  const unit = unitFrom?.unit
  const nodes = group.length === 1 ? [first.node] : [...new Set(group.map((reading) => reading.node))].sort(compareText)
  return { value, quality: first.quality, ...(unit !== undefined && { unit }), nodes }
}

function compareUnits(a: NodeReading, b: NodeReading): number {
  return compareText(a.node, b.node) || compareText(a.unit ?? '', b.unit ?? '')
}

function smaller(a: Value, b: Value): Value {
  return compareValues(a, b) <= 0 ? a : b
}

function compareStatements(a: ReadingValue, b: ReadingValue): number {
  return compareValues(a.value, b.value) || compareQuality(a.quality, b.quality)
}

const thingRank: Readonly<Record<Thing['kind'], number>> = { amendment: 0, removal: 1, reading: 2 }

/** The `default` rule: amendment before reading, value before removal, best quality, lowest node, smaller value. */
function compareThings(a: Thing, b: Thing): number {
  const rank = thingRank[a.kind] - thingRank[b.kind]
  if (rank !== 0 || a.kind === 'removal' || b.kind === 'removal') return rank
  return (
    compareQuality(a.quality, b.quality) || compareText(lowestNode(a), lowestNode(b)) || compareValues(a.value, b.value)
  )
}

function lowestNode(thing: Thing): NodeId {
  if (thing.kind === 'reading') return thing.nodes[0] as NodeId
  let lowest = (thing.acts[0] as Amendment).by
  for (const { by } of thing.acts) if (by < lowest) lowest = by
  return lowest
}

function conflictOf(things: readonly Thing[]): ConflictKind | undefined {
  if (things.length < 2) return undefined
  const amendments = things.filter((thing) => thing.kind === 'amendment').length
  const removed = things.some((thing) => thing.kind === 'removal')
  const reading = things.some((thing) => thing.kind === 'reading')
  if (amendments > 1) return 'amend/amend'
  if (amendments === 1 && removed) return 'amend/remove'
  if (amendments === 1 && reading) return 'reading/amend'
  if (removed && reading) return 'reading/remove'
  return 'reading/reading'
}

/** A reading has its own unit; a corrected value that of the readings it corrects, when they agree. */
function unitOf(thing: Thing, readings: readonly (ReadingValue & { readonly covered: boolean })[]): string | undefined {
  if (thing.kind === 'removal') return undefined
  if (thing.kind === 'reading') {
    const key = statementKey(thing.value, thing.quality)
    return readings.find((reading) => statementKey(reading.value, reading.quality) === key)?.unit
  }
  const units = new Set(readings.map((reading) => reading.unit).filter((unit) => unit !== undefined))
  return units.size === 1 ? [...units][0] : undefined
}
