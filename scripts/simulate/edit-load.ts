/** People who correct: what an `amend`, `remove` or `resolve` step does on one node. */
import {
  ConflictError,
  HedgerowError,
  typeOf,
  type FieldName,
  type NodeId,
  type Random,
  type Reading,
  type SensorPattern,
  type ValueType,
} from '../../src/model/index.ts'
import type { FieldView, RecordView, ResolveRequest } from '../../src/store/index.ts'
import { valueOf, type Load } from './append-load.ts'
import type { EditAction } from './scenario.ts'

export type EditName = 'amend' | 'remove' | 'resolve'

const kinds = { float: 'float', int: 'int', bool: 'bool', string: 'text' } as const satisfies Record<ValueType, string>
/** Open conflicts that a person looks at before choosing one. */
const conflictsSeen = 20

/** Edits for as long as the action says; `pool`: records to choose from. A node that is down is not edited on. */
export async function editLoad(
  load: Load,
  name: EditName,
  action: EditAction,
  pool: readonly Reading[],
): Promise<void> {
  const { clock, node } = load
  const periodMs = 1_000 / action.rate
  const endMs = clock.monotonicMs() + action.for
  for (let next = clock.monotonicMs() + periodMs; next <= endMs; next += periodMs) {
    await clock.sleep(next - clock.monotonicMs())
    if (node.running !== undefined) await edit(load, name, pool)
  }
}

async function edit(load: Load, name: EditName, pool: readonly Reading[]): Promise<void> {
  const { node, counts, problem } = load
  try {
    if (name === 'resolve') await resolve(load)
    else await amendOrRemove(load, name, pool)
  } catch (error) {
    if (!(error instanceof HedgerowError)) throw error
    if (error instanceof ConflictError) counts.refused += 1
    else if (node.running !== undefined && error.code !== 'CLOSED')
      problem(`${node.name} refused to ${name}: ${error.message}`)
    else counts.interrupted += 1
  }
}

async function amendOrRemove(load: Load, name: 'amend' | 'remove', pool: readonly Reading[]): Promise<void> {
  const { random, counts } = load
  const reading = pick(pool, random)
  const before = reading && (await look(load, reading))
  if (before === undefined || before.fields.every(({ removed, conflict }) => removed && conflict === undefined)) {
    // Not here yet, or removed by somebody: what a person does not see is not edited.
    counts.notThere += 1
    return
  }
  const { sensor, time, seen } = before
  const why = `simulated ${name} ${counts.amended + counts.removed}`
  if (name === 'remove') {
    await submit(
      load,
      before,
      before.fields.map(({ field }) => field),
      (calls, signal) => calls.remove({ sensor, time, seen, why }, { signal }),
    )
    counts.removed += 1
    return
  }
  const { field, readings } = pick(before.fields, random) as FieldView
  const type = readings[0] === undefined ? 'float' : typeOf(readings[0].value)
  const change = { field, value: valueOf(kinds[type], random) }
  await submit(load, before, [field], (calls, signal) =>
    calls.amend({ sensor, time, seen, why, user: `person ${load.node.number}`, fields: [change] }, { signal }),
  )
  counts.amended += 1
}

async function resolve(load: Load): Promise<void> {
  const { random, counts } = load
  const conflicts = await load.node.ask(({ streams }, signal) =>
    Array.fromAsync(streams.query({ onlyConflicts: true, limit: conflictsSeen }, { signal })),
  )
  const chosen = pick(conflicts, random)
  const field = chosen && pick(chosen.fields, random)
  const before = chosen && (await look(load, chosen))
  const present = before?.fields.find((other) => other.field === field?.field)
  if (before === undefined || present?.conflict === undefined) {
    counts.notThere += 1
    return
  }
  const { sensor, time, seen } = before
  const choice = choose(present, random)
  await submit(load, before, [present.field], (calls, signal) =>
    calls.resolve({ sensor, time, field: present.field, seen, choice, why: 'simulated resolution' }, { signal }),
  )
  counts.resolved += 1
}

/** One of the values, the word of one node, or none of them. */
function choose({ readings, amendments }: FieldView, random: Random): ResolveRequest['choice'] {
  if (random.uniform() < 0.2) return { remove: true }
  const stated = [...readings.filter(({ covered }) => !covered), ...amendments].filter(
    ({ value }) => value !== undefined,
  )
  const sayings = new Map<NodeId, number>()
  for (const { nodes } of readings) for (const node of nodes) sayings.set(node, (sayings.get(node) ?? 0) + 1)
  for (const { by } of amendments) sayings.set(by, (sayings.get(by) ?? 0) + 1)
  const clear = [...sayings].filter(([, count]) => count === 1).map(([node]) => node)
  const node = pick(clear, random)
  if (node !== undefined && random.uniform() < 0.3) return { take: node }
  const picked = pick(stated, random)
  return picked?.value === undefined ? { remove: true } : { value: picked.value, quality: picked.quality ?? 'good' }
}

async function look(
  { node }: Load,
  { sensor, time }: Pick<RecordView, 'sensor' | 'time'>,
): Promise<RecordView | undefined> {
  const patterns = [sensor as string as SensorPattern]
  const query = { patterns, from: time, to: time + 1, includeRemoved: true, seen: true }
  const [record] = await node.ask(({ streams }, signal) => Array.fromAsync(streams.query(query, { signal })))
  return record
}

type AskedCalls = Parameters<Parameters<Load['node']['ask']>[0]>[0]['calls']

/** Sends an edit that is based on `before`, and notes what it promises. */
async function submit(
  { node, clock, acknowledged }: Load,
  before: RecordView,
  fields: readonly FieldName[],
  send: (calls: AskedCalls, signal: AbortSignal) => Promise<RecordView>,
): Promise<void> {
  const answering = node.ask(({ calls }, signal) => send(calls, signal))
  try {
    const after = await answering
    acknowledged.editing(before, fields)
    acknowledged.edited(node.number, node.id, before, after, clock.monotonicMs())
  } catch (error) {
    // Refused with what stands there: nothing was written. Otherwise it may have been.
    if (!(error instanceof ConflictError)) acknowledged.editing(before, fields)
    throw error
  }
}

function pick<T>(items: readonly T[], random: Random): T | undefined {
  return items[Math.floor(random.uniform() * items.length)]
}
