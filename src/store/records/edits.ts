/**
 * Amending, removing and resolving. Each is decided inside the write lock from what stands there at that moment, and
 * overwrites exactly what its author could see: nothing that arrives at the same time is lost.
 */
import {
  amendmentsId,
  checkTime,
  ConflictError,
  formatTime,
  InvalidInputError,
  LimitError,
  limits,
  parseFieldName,
  parseSensorId,
  utcDay,
  type DocumentId,
  type FieldName,
  type NodeId,
  type SensorId,
  type TimeUs,
} from '../../model/index.ts'
import type { Documents, DocumentsSnapshot, SharedContent } from '../documents.ts'
import type { AmendRequest, RecordView, RemoveRequest, ResolveRequest } from '../types.ts'
import { checkText, encodeEntry, entryKey, type EntryField } from './amendment-entry.ts'
import type { DamageLog } from './damage-log.ts'
import { planAmend, planRemove, planResolve, type EditPlan, type EditState } from './edit-plan.ts'
import { recordAt, scanSource } from './query.ts'
import { viewRecord, type RecordInput } from './record-view.ts'
import { readRecord, type BatchReader, type ScanSource } from './scan.ts'
import { seenToken, tokenFields } from './seen-token.ts'

/** Carries what stands at the record now, removed fields included. */
export class RecordConflictError extends ConflictError {
  readonly current: RecordView | undefined

  constructor(message: string, current: RecordView | undefined) {
    super(message)
    this.current = current
  }
}

export interface EditContext {
  readonly documents: Documents
  readonly codec: BatchReader
  readonly damage: DamageLog
  /** Who edits. */
  readonly node: NodeId
}

type EditRequest = Pick<AmendRequest, 'sensor' | 'time' | 'note' | 'why' | 'user' | 'seen'>

export async function amendRecord(context: EditContext, request: AmendRequest): Promise<RecordView> {
  for (const { field } of request.fields) parseFieldName(field)
  return editRecord(context, request, (state) => planAmend(state, request))
}

export async function removeRecord(context: EditContext, request: RemoveRequest): Promise<RecordView> {
  return editRecord(context, request, (state) => planRemove(state, request))
}

export async function resolveField(context: EditContext, request: ResolveRequest): Promise<RecordView> {
  parseFieldName(request.field)
  return editRecord(context, request, (state) => planResolve(state, request))
}

/** The documents of an edit change between looking and locking only when a policy or entries arrive: seldom, and not for ever. */
const attempts = 8

async function editRecord(
  context: EditContext,
  request: EditRequest,
  plan: (state: EditState) => EditPlan,
): Promise<RecordView> {
  const { sensor, time } = request
  checkRequest(request)
  for (let attempt = 1; ; attempt++) {
    const documents = await targetDocuments(context, request, plan)
    if (await writeAll(context, request, plan, documents)) break
    if (attempt === attempts)
      throw new RecordConflictError(
        `record ${sensor} at ${formatTime(time)} keeps changing while it is edited: try again`,
        undefined,
      )
  }
  await using snapshot = await context.documents.snapshot()
  const source = await scanSource(snapshot, context.codec, context.damage)
  const view = await recordAt(source, sensor, time, { includeRemoved: true })
  if (view === undefined) throw new InvalidInputError(`record ${sensor} at ${formatTime(time)} is not there any more`)
  return view
}

/** Tells which documents the edit has to write, without the lock. Throws what the edit itself would throw. */
async function targetDocuments(
  context: EditContext,
  request: EditRequest,
  plan: (state: EditState) => EditPlan,
): Promise<readonly DocumentId[]> {
  await using snapshot = await context.documents.snapshot()
  const decided = await decide(context, snapshot, request, 0, plan)
  return [...decided.puts.keys()]
}

/**
 * Writes the first document with everything checked inside the lock; the others, which exist only where a sensor
 * changed its group, get the same act if nothing else changed in between. False: other documents are to be written.
 */
async function writeAll(
  context: EditContext,
  request: EditRequest,
  plan: (state: EditState) => EditPlan,
  documents: readonly DocumentId[],
): Promise<boolean> {
  const [first, ...others] = documents
  if (first === undefined) return true
  let decided: Decision | undefined
  const before = new Map<DocumentId, string>()
  await context.documents.edit(first, async (snapshot, order) => {
    const now = await decide(context, snapshot, request, order, plan)
    if ([...now.puts.keys()].join() !== documents.join()) return new Map()
    decided = now
    for (const document of others) before.set(document, await standing(snapshot, request, document))
    return now.puts.get(first) ?? new Map()
  })
  if (decided === undefined) return false
  for (const document of others) {
    const puts = decided.puts.get(document) ?? new Map<string, Uint8Array>()
    await context.documents.edit(document, async (snapshot) =>
      // What came in between was not seen: it stays beside this act, for everyone to see.
      (await standing(snapshot, request, document)) === before.get(document) ? puts : new Map(),
    )
  }
  return true
}

/** Text of what stands at the record in one document. */
async function standing(snapshot: DocumentsSnapshot, { time }: EditRequest, document: DocumentId): Promise<string> {
  const parts: string[] = []
  for (const [key, entries] of await snapshot.shared(document))
    if (key.startsWith(`${time}|`))
      for (const { actor, value } of entries)
        parts.push(`${key} ${actor} ${value instanceof Uint8Array ? Buffer.from(value).toString('hex') : ''}`)
  return parts.sort().join('\n')
}

interface Decision {
  /** Root keys to put, by document; never empty. */
  readonly puts: ReadonlyMap<DocumentId, ReadonlyMap<string, Uint8Array>>
}

async function decide(
  context: EditContext,
  snapshot: DocumentsSnapshot,
  request: EditRequest,
  order: number,
  plan: (state: EditState) => EditPlan,
): Promise<Decision> {
  const { sensor, time } = request
  const source = await scanSource(snapshot, context.codec, context.damage)
  if (time < source.policy.markOf(sensor))
    throw new InvalidInputError(
      `record ${sensor} at ${formatTime(time)} lies before the retention mark of its group: it does not exist any more`,
    )
  const input = (await readRecord(source, sensor, time)) ?? { sensor, time, readings: [] }
  const view = { ruleOf: source.policy.ruleOf, includeRemoved: true }
  const planned = plan({ input, view, act: { by: context.node, at: order } })
  checkSeen(request, planned, input, viewRecord(input, view))
  return { puts: await placed(source, request, planned) }
}

/** Refuses an edit whose author has not seen what it would overwrite. */
function checkSeen(
  { sensor, time, seen }: EditRequest,
  planned: EditPlan,
  input: RecordInput,
  current: RecordView | undefined,
): void {
  const where = `record ${sensor} at ${formatTime(time)}`
  const fields = seen === undefined ? new Set<FieldName>() : tokenFields(seen)
  if (seen !== undefined && seen !== seenToken(input, fields))
    throw new RecordConflictError(`${where} changed since it was read; now: ${describe(current)}`, current)
  const unseen = planned.decides.filter((field) => fields !== undefined && !fields.has(field))
  if (unseen.length > 0)
    throw new RecordConflictError(
      `${where} is in conflict at ${unseen.join(', ')}: ${describe(current)}; resolve it, or edit what was read (seen)`,
      current,
    )
}

/** The present values in a line. */
function describe(record: RecordView | undefined): string {
  if (record === undefined) return 'nothing'
  return record.fields
    .map(({ field, shown, removed, conflict, readings, amendments }) => {
      const parts =
        conflict === undefined
          ? [removed ? 'removed' : String(shown?.value)]
          : [
              ...readings.filter((reading) => !reading.covered).map((reading) => String(reading.value)),
              ...amendments.map((act) => (act.removed === true ? 'removed' : String(act.value ?? act.note))),
            ]
      return `${field}=${parts.map((part) => part.slice(0, 60)).join(' or ')}`
    })
    .join(', ')
    .slice(0, 1_000)
}

/**
 * Places entries in documents: where entries of the key stand, in each of them, so that all are overwritten; otherwise
 * in the document of the sensor's present group.
 */
async function placed(
  { snapshot, policy }: ScanSource,
  { sensor, time }: EditRequest,
  planned: EditPlan,
): Promise<Map<DocumentId, Map<string, Uint8Array>>> {
  const present = amendmentsId(policy.groupOf(sensor), sensor, utcDay(time))
  const contents = new Map<DocumentId, SharedContent>()
  for (const id of await dayDocuments(snapshot, sensor, time)) contents.set(id, await snapshot.shared(id))
  const puts = new Map<DocumentId, Map<string, Uint8Array>>()
  const put = (id: DocumentId, field: EntryField, bytes: Uint8Array): void => {
    const known = puts.get(id)
    if (known === undefined) puts.set(id, new Map([[entryKey(time, field), bytes]]))
    else known.set(entryKey(time, field), bytes)
  }
  for (const [field, entry] of planned.entries) {
    const bytes = encodeEntry(entry)
    const key = entryKey(time, field)
    const holders = [...contents].filter(([, content]) => content.has(key)).map(([id]) => id)
    for (const id of holders.length > 0 ? holders : [present]) put(id, field, bytes)
  }
  for (const [id, keys] of puts) checkRoom(id, contents.get(id), keys)
  return puts
}

function checkRoom(id: DocumentId, content: SharedContent | undefined, puts: ReadonlyMap<string, Uint8Array>): void {
  if (puts.size > limits.changePuts)
    throw new LimitError(`an edit of ${puts.size} entries of ${id}: at most ${limits.changePuts} are written at once`)
  const fresh = [...puts.keys()].filter((key) => content?.has(key) !== true).length
  if ((content?.size ?? 0) + fresh > limits.documentKeys)
    throw new LimitError(`document ${id} is full: it holds at most ${limits.documentKeys} amended fields of one day`)
}

async function dayDocuments(
  snapshot: DocumentsSnapshot,
  sensor: SensorId,
  time: TimeUs,
): Promise<readonly DocumentId[]> {
  const day = utcDay(time)
  return [...(await snapshot.amendmentDocuments(sensor, day, day))].sort()
}

function checkRequest({ sensor, time, note, why, user }: EditRequest): void {
  parseSensorId(sensor)
  checkTime(time)
  if (note !== undefined) checkText(note, 'the note', limits.noteChars)
  if (why !== undefined) checkText(why, 'the reason', limits.noteChars)
  if (user !== undefined) checkText(user, 'the name of the person', limits.nameChars)
}
