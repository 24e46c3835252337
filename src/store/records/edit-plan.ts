/** What an edit writes: entries by root key, decided from what stands at the record. Pure. */
import {
  checkValue,
  formatTime,
  InvalidInputError,
  qualities,
  type FieldName,
  type NodeId,
  type Quality,
  type Value,
} from '../../model/index.ts'
import type { Amendment, AmendRequest, FieldChange, RemoveRequest, ResolveRequest } from '../types.ts'
import { states, wholeRecord, type Act, type AmendmentEntry, type EntryField } from './amendment-entry.ts'
import { distinctEntries, fieldState, sameAct, type FieldState } from './field-state.ts'
import { fieldStates, type RecordInput, type ViewOptions } from './record-view.ts'
import { compareText, exactKey, statementKey } from './value-key.ts'

/** Entries to put, by field. */
export type EditEntries = ReadonlyMap<EntryField, AmendmentEntry>

/** A record as it stands, and the act that is about to change it. */
export interface EditState {
  readonly input: RecordInput
  readonly view: ViewOptions
  readonly act: Act
}

/** What an edit comes to. */
export interface EditPlan {
  readonly entries: EditEntries
  /** Fields whose conflict the edit would end: whether its author has seen it is for the caller to judge. */
  readonly decides: readonly FieldName[]
}

/** Of one value at most this many nodes are listed, lowest first: an amendment covers by value, whoever appended it. */
const nodesPerValue = 8
/** Removals known only through entries that are overwritten now; beyond it the oldest is forgotten and may ask again. */
const inheritedClears = 8

export function planAmend(state: EditState, request: AmendRequest): EditPlan {
  if (request.fields.length === 0) {
    if (request.note === undefined)
      throw new InvalidInputError(`nothing to amend at ${name(state)}: give a field and a value, or a note`)
    const visible = fieldStates(state.input, state.view).filter(
      (field) => field.things.length > 0 && !field.view.removed,
    )
    if (visible.length === 0) throw new InvalidInputError(`no record at ${name(state)} to put a note on`)
    return combine(visible.map((field) => planNote(state, field, request)))
  }
  const seen = new Set<FieldName>()
  return combine(
    request.fields.map((change) => {
      if (seen.has(change.field)) throw new InvalidInputError(`field ${change.field} is named twice`)
      seen.add(change.field)
      return planChange(state, change, request)
    }),
  )
}

export function planRemove(state: EditState, request: RemoveRequest): EditPlan {
  const fields = fieldStates(state.input, state.view)
  if (!fields.some((field) => field.things.length > 0 && (!field.view.removed || field.view.conflict !== undefined)))
    throw new InvalidInputError(`no record at ${name(state)} to remove`)
  const texts = textsOf({ ...request, note: undefined })
  const entries = new Map<EntryField, AmendmentEntry>(
    fields.map(({ view }) => [
      view.field,
      {
        amendment: { removed: true, ...coverage(state, view.field), ...texts, ...state.act },
        clears: clearsOf(state, view.field),
      },
    ]),
  )
  entries.set(wholeRecord, { amendment: { removed: true, over: [], ...texts, ...state.act }, clears: [] })
  return { entries, decides: conflicting(fields) }
}

export function planResolve(state: EditState, request: ResolveRequest): EditPlan {
  const { field, choice } = request
  const present = stateOf(state, field)
  if (present.things.length === 0) throw new InvalidInputError(`record ${name(state)} has no field ${field} to resolve`)
  const statement =
    'remove' in choice ? removal : 'take' in choice ? taken(present, choice.take, state) : checked(field, choice)
  return statementPlan(state, present, statement, textsOf({ ...request, note: undefined }))
}

type Statement = { readonly removed: true } | { readonly value: Value; readonly quality: Quality }
const removal: Statement = { removed: true }

function planChange(state: EditState, change: FieldChange, request: AmendRequest): EditPlan {
  const present = stateOf(state, change.field)
  if (present.things.length === 0 && request.create !== true)
    throw new InvalidInputError(
      `record ${name(state)} has no field ${change.field}: check time and name, or allow a new one (--create)`,
    )
  if (change.value === undefined && change.quality === undefined) {
    if (request.note !== undefined) return planNote(state, present, request)
    throw new InvalidInputError(`field ${change.field}: give a value, a quality or a note`)
  }
  const value = change.value ?? present.view.shown?.value
  if (value === undefined)
    throw new InvalidInputError(`field ${change.field} shows no value whose quality could be set: give a value too`)
  return statementPlan(
    state,
    present,
    checked(change.field, { value, quality: change.quality ?? 'good' }),
    textsOf(request),
  )
}

/** A note on readings states nothing; where one amendment stands it is stated again, with all it covers and no more. */
function planNote(state: EditState, present: FieldState, request: AmendRequest): EditPlan {
  const { field } = present.view
  if (present.things.length === 0)
    throw new InvalidInputError(`record ${name(state)} has no field ${field} to put a note on`)
  const stating = present.things.filter((thing) => thing.kind !== 'reading')
  const texts = textsOf(request)
  if (stating.length === 0)
    return { entries: new Map([[field, { amendment: { over: [], ...texts, ...state.act }, clears: [] }]]), decides: [] }
  const [only] = stating
  if (stating.length > 1 || only === undefined)
    throw new InvalidInputError(
      `field ${field} of ${name(state)} has several amendments: resolve it before adding a note`,
    )
  const statement = only.kind === 'removal' ? removal : { value: only.value, quality: only.quality }
  const over = limitNodes(only.acts.flatMap((act) => act.over))
  const amendment = { ...statement, over, ...texts, ...state.act }
  return { entries: new Map([[field, { amendment, clears: clearsOf(state, field) }]]), decides: [] }
}

function statementPlan(state: EditState, present: FieldState, statement: Statement, texts: Texts): EditPlan {
  const { field } = present.view
  const amendment: Amendment = { ...statement, ...coverage(state, field), ...texts, ...state.act }
  return {
    entries: new Map([[field, { amendment, clears: clearsOf(state, field) }]]),
    decides: conflicting([present]),
  }
}

/** What a node says at a field: what stands first, else what is covered. */
function taken(present: FieldState, node: NodeId, state: EditState): Statement {
  const standing = new Map<string, Statement>()
  for (const thing of present.things) {
    if (thing.kind === 'reading' ? !thing.nodes.includes(node) : !thing.acts.some((act) => act.by === node)) continue
    if (thing.kind === 'removal') standing.set('', removal)
    else standing.set(statementKey(thing.value, thing.quality), { value: thing.value, quality: thing.quality })
  }
  if (standing.size === 0)
    for (const { value, quality, nodes } of present.view.readings)
      if (nodes.includes(node)) standing.set(statementKey(value, quality), { value, quality })
  const [statement] = standing.values()
  const where = `field ${present.view.field} of ${name(state)}`
  if (statement === undefined) throw new InvalidInputError(`${where} has nothing from node ${node} to take`)
  if (standing.size > 1) throw new InvalidInputError(`${where} has several values from node ${node}: name the value`)
  return statement
}

/** All reading values that can be seen here, in readings or through the entries that will be overwritten. */
function coverage(state: EditState, field: FieldName): Pick<Amendment, 'over'> {
  const seen: Amendment['over'][number][] = []
  for (const { reading, nodes } of state.input.readings)
    for (const { field: name, value, quality = 'good' } of reading.fields)
      if (name === field) seen.push({ value, quality, node: nodes[0] })
  for (const entry of ownEntries(state, field)) if (states(entry)) seen.push(...entry.amendment.over)
  return { over: limitNodes(seen) }
}

function limitNodes(seen: Amendment['over']): Amendment['over'] {
  const exact = new Map(seen.map((item) => [`${item.node}|${item.quality}|${exactKey(item.value)}`, item]))
  const perValue = new Map<string, number>()
  return [...exact]
    .sort(([a], [b]) => compareText(a, b))
    .map(([, item]) => item)
    .filter((item) => {
      const key = statementKey(item.value, item.quality)
      const count = (perValue.get(key) ?? 0) + 1
      perValue.set(key, count)
      return count <= nodesPerValue
    })
}

/** The removals of the record that the author of an edit of this field knows of. */
function clearsOf(state: EditState, field: FieldName): readonly Act[] {
  const standing = distinctActs(wholeEntries(state).map((entry) => entry.amendment))
  // An overwritten removal of the field may belong to a removal of the record that stands in a document not here yet.
  const overwritten = ownEntries(state, field).flatMap((entry) =>
    entry.amendment.removed === true ? [entry.amendment, ...entry.clears] : entry.clears,
  )
  const inherited = distinctActs(overwritten).filter((act) => !standing.some((known) => sameAct(known, act)))
  return [...standing, ...inherited.slice(-inheritedClears)].sort(compareActs)
}

function distinctActs(acts: readonly Act[]): Act[] {
  const byName = new Map(acts.map(({ by, at }) => [`${at}|${by}`, { by, at }]))
  return [...byName.values()].sort(compareActs)
}

function compareActs(a: Act, b: Act): number {
  return a.at - b.at || compareText(a.by, b.by)
}

function ownEntries({ input }: EditState, field: EntryField): readonly AmendmentEntry[] {
  return distinctEntries(input.entries?.get(field) ?? [])
}

function wholeEntries(state: EditState): readonly AmendmentEntry[] {
  return ownEntries(state, wholeRecord)
}

function stateOf(state: EditState, field: FieldName): FieldState {
  const { input, view } = state
  const known = fieldStates(input, { ...view, fields: new Set([field]) })[0]
  return known ?? fieldState(field, [], [], [], view.ruleOf(input.sensor, field))
}

function conflicting(fields: readonly FieldState[]): FieldName[] {
  return fields.filter(({ view }) => view.conflict !== undefined).map(({ view }) => view.field)
}

function combine(plans: readonly EditPlan[]): EditPlan {
  return {
    entries: new Map(plans.flatMap((plan) => [...plan.entries])),
    decides: plans.flatMap((plan) => plan.decides),
  }
}

function checked(field: FieldName, choice: { readonly value: Value; readonly quality?: Quality }): Statement {
  const { value, quality = 'good' } = choice
  checkValue(value, field)
  if (!qualities.includes(quality))
    throw new InvalidInputError(`field ${field}: quality ${JSON.stringify(quality)} is none of ${qualities.join(', ')}`)
  return { value, quality }
}

type Texts = Pick<Amendment, 'note' | 'why' | 'user'>

function textsOf(request: {
  readonly note?: string | undefined
  readonly why?: string | undefined
  readonly user?: string | undefined
}): Texts {
  const { note, why, user } = request
  return { ...(note !== undefined && { note }), ...(why !== undefined && { why }), ...(user !== undefined && { user }) }
}

function name({ input }: EditState): string {
  return `${input.sensor} at ${formatTime(input.time)}`
}
