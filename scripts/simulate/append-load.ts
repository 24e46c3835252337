/** Sensors that measure: what an `append` step does on one node. */
import {
  HedgerowError,
  parseFieldName,
  parseSensorId,
  type FieldReading,
  type Random,
  type Reading,
  type Value,
} from '../../src/model/index.ts'
import type { VirtualClock } from '../../src/peer/index.ts'
import type { Acknowledged } from './acknowledged.ts'
import type { Counts } from './result.ts'
import type { AppendAction } from './scenario.ts'
import type { SimulatedNode } from './sim-node.ts'

export interface Load {
  readonly node: SimulatedNode
  readonly clock: VirtualClock
  readonly random: Random
  readonly acknowledged: Acknowledged
  readonly counts: Counts
  readonly problem: (what: string) => void
}

/** Appends for as long as the action says. A node that is down measures nothing. Resolves when all appends were answered. */
export async function appendLoad(load: Load, action: AppendAction): Promise<void> {
  const { node, clock } = load
  const periodMs = 1_000 / action.rate
  const ticks = Math.floor(action.for / periodMs)
  const startMs = clock.monotonicMs()
  const startUs = clock.nowUs()
  const waiting = new Set<Promise<void>>()
  for (let tick = 0; tick < ticks; tick++) {
    // From the start, not from the last tick: nodes that share sensors stay in step.
    await clock.sleep(startMs + tick * periodMs - clock.monotonicMs())
    if (node.running === undefined) continue
    const appending = append(load, readingsOf(load, action, startUs + Math.round(tick * periodMs * 1_000)))
    waiting.add(appending)
    void appending.finally(() => waiting.delete(appending))
  }
  await Promise.all(waiting)
}

function readingsOf({ node, random }: Load, action: AppendAction, time: number): Reading[] {
  const place = action.shared ? 'shared' : node.name
  return action.sensors.map((sensor) => ({
    sensor: parseSensorId(`${place}/${sensor}`),
    time,
    fields: Object.entries(action.fields).map(([field, kind]): FieldReading => {
      const reading = { field: parseFieldName(field), value: valueOf(kind, random) }
      return random.uniform() < 0.05 ? { ...reading, quality: 'uncertain' } : reading
    }),
  }))
}

/** A value of one of few: nodes that measure the same now and then agree. */
export function valueOf(kind: AppendAction['fields'][string], random: Random): Value {
  const n = Math.floor(random.uniform() * 20)
  switch (kind) {
    case 'float':
      return 20 + n / 10
    case 'int':
      return BigInt(n)
    case 'bool':
      return n % 2 === 0
    case 'text':
      return `state ${n}`
  }
}

async function append(
  { node, clock, acknowledged, counts, problem }: Load,
  readings: readonly Reading[],
): Promise<void> {
  try {
    await node.ask(({ calls }, signal) => calls.append({ readings }, { signal }))
    acknowledged.appended(node.number, node.id, readings, clock.monotonicMs())
  } catch (error) {
    if (!(error instanceof HedgerowError)) throw error
    counts.unacknowledged += readings.length
    if (node.running !== undefined && error.code !== 'CLOSED')
      problem(`${node.name} refused readings: ${error.message}`)
  }
}
