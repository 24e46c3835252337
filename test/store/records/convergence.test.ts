import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import {
  ConflictError,
  InvalidInputError,
  parseFieldName,
  parseSensorId,
  sameValue,
  type GroupName,
  type Quality,
  type TimeUs,
  type Value,
} from '../../../src/model/index.ts'
import type { RecordView, SensorSummary } from '../../../src/store/types.ts'
import { MemoryNode, type Parcel } from './memory-site.ts'

const sensor = parseSensorId('a')
const times: TimeUs[] = [1_000, 2_000]
const names = ['t', 'h'].map(parseFieldName)
const values: Value[] = [1, 1n, 2, 'x']
const groups = ['default', 'g'] as GroupName[]
const nodeCount = 3

type Step =
  | {
      do: 'append' | 'amend' | 'resolve'
      node: number
      time: TimeUs
      field: number
      value: Value
      quality: Quality
      stale: boolean
    }
  | { do: 'remove' | 'note' | 'take'; node: number; time: TimeUs; field: number; from: number }
  | { do: 'deliver'; node: number; picks: readonly number[] }
  | { do: 'move'; node: number; group: number }

const node = fc.nat(nodeCount - 1)
const place = { node, time: fc.constantFrom(...times), field: fc.nat(names.length - 1) }
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('append', 'amend', 'resolve'),
      ...place,
      value: fc.constantFrom(...values),
      quality: fc.constantFrom<Quality>('good', 'bad'),
      stale: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('remove', 'note', 'take'), ...place, from: node }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('deliver'), node, picks: fc.array(fc.nat(20), { maxLength: 6 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('move'), node, group: fc.nat(1) }) },
)

/** An act as its author made it: what it wrote, and which acts it overwrote there. */
interface Written {
  readonly act: string
  readonly time: TimeUs
  readonly field: string
  readonly overwritten: readonly string[]
}

/** Three nodes, what each has yet to be given, and what an observer of all of them expects. */
class Play {
  readonly nodes: MemoryNode[] = Array.from({ length: nodeCount }, (_, i) => new MemoryNode(i + 1, 1_000 * (i % 2)))
  readonly pending: Parcel[][] = this.nodes.map(() => [])
  readonly written: Written[] = []
  readonly removals = new Set<string>()
  readonly readings: { node: MemoryNode; time: TimeUs; field: string; value: Value; quality: Quality }[] = []

  async run(step: Step): Promise<void> {
    const node = this.nodes[step.node] as MemoryNode
    if (step.do === 'deliver') {
      const pending = this.pending[step.node] as Parcel[]
      for (const pick of step.picks)
        if (pending.length > 0) node.receive(pending.splice(pick % pending.length, 1)[0] as Parcel)
      return
    }
    if (step.do === 'append') {
      const field = names[step.field] as (typeof names)[number]
      const { time, value, quality } = step
      await node.append(groups[0] as GroupName, 'normal', [{ sensor, time, fields: [{ field, value, quality }] }])
      this.readings.push({ node, time, field, value, quality })
    } else if (step.do === 'move')
      await node.records.setPolicy({ pattern: 'a' as never, group: groups[step.group] as GroupName })
    else await this.#edit(node, step)
    const sent = node.outbox.splice(0)
    for (const [i, pending] of this.pending.entries()) if (this.nodes[i] !== node) pending.push(...sent)
  }

  async #edit(node: MemoryNode, step: Exclude<Step, { do: 'append' | 'deliver' | 'move' }>): Promise<void> {
    const { time } = step
    const before = await read(node, time)
    const field = names[step.field] as (typeof names)[number]
    const base = {
      sensor,
      time,
      ...(before !== undefined && !('stale' in step && step.stale) && { seen: before.seen }),
    }
    let after: RecordView
    try {
      if (step.do === 'amend') {
        const { value, quality } = step
        after = await node.records.amend({ ...base, fields: [{ field, value, quality }], create: true })
      } else if (step.do === 'note') after = await node.records.amend({ ...base, fields: [], note: 'n' })
      else if (step.do === 'remove') after = await node.records.remove(base)
      else {
        const choice = 'from' in step ? { take: (this.nodes[step.from] as MemoryNode).node } : { value: step.value }
        after = await node.records.resolve({ ...base, field, choice })
      }
    } catch (error) {
      assert.ok(error instanceof InvalidInputError || error instanceof ConflictError, String(error))
      return
    }
    const known = new Set(before?.fields.flatMap((view) => view.amendments.map(nameOf)))
    for (const view of after.fields) {
      const fresh = view.amendments.find((act) => act.by === node.node && !known.has(nameOf(act)))
      if (fresh === undefined) continue
      if (step.do === 'remove') this.removals.add(nameOf(fresh))
      const seen = before?.fields.find((old) => old.field === view.field)
      this.written.push({
        act: nameOf(fresh),
        time,
        field: view.field,
        overwritten: seen?.amendments.map(nameOf) ?? [],
      })
    }
  }

  /** Gives every node everything it lacks, in the order that the numbers pick. */
  deliverAll(order: () => number): void {
    for (const [i, pending] of this.pending.entries())
      while (pending.length > 0)
        (this.nodes[i] as MemoryNode).receive(pending.splice(Math.floor(order() * pending.length), 1)[0] as Parcel)
  }
}

function nameOf(act: { readonly by: string; readonly at: number }): string {
  return `${act.by}@${act.at}`
}

async function read(node: MemoryNode, time: TimeUs): Promise<RecordView | undefined> {
  return node.records.record(await node.snapshot(), sensor, time, { includeRemoved: true })
}

async function everything(node: MemoryNode): Promise<unknown> {
  const snapshot = await node.snapshot()
  const records: RecordView[] = []
  for await (const record of node.records.query(snapshot, { includeRemoved: true })) records.push(record)
  const conflicts: RecordView[] = []
  for await (const record of node.records.query(snapshot, { onlyConflicts: true })) conflicts.push(record)
  const sensors: SensorSummary[] = []
  for await (const summary of node.records.sensors(snapshot)) sensors.push(summary)
  return { records, conflicts, sensors, content: await node.records.content(snapshot) }
}

describe('records of several nodes', () => {
  it('are the same everywhere, and no amendment and no reading is lost, in whatever order they travel', async function () {
    this.timeout(60_000)
    const seeds = fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }))
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 14 }), seeds, async (steps, order) => {
        const play = new Play()
        try {
          for (const item of steps) await play.run(item)
          play.deliverAll(() => order.next().value as number)
          const [first, ...others] = play.nodes as [MemoryNode, ...MemoryNode[]]
          const expected = await everything(first)
          for (const other of others) assert.deepEqual(await everything(other), expected)
          await checkAmendments(play, first)
          await checkReadings(play, first)
        } finally {
          for (const node of play.nodes) node.free()
        }
      }),
      { numRuns: 1_000 },
    )
  })
})

/** An act stands at a field exactly when no author who saw it wrote there afterwards. */
async function checkAmendments(play: Play, node: MemoryNode): Promise<void> {
  for (const time of times) {
    const record = await read(node, time)
    for (const field of names) {
      const written = play.written.filter((act) => act.time === time && act.field === field)
      const overwritten = new Set(written.flatMap((act) => act.overwritten))
      const expected = written.map(({ act }) => act).filter((act) => !overwritten.has(act))
      const standing = record?.fields.find((view) => view.field === field)?.amendments.map(nameOf) ?? []
      for (const act of expected) assert.ok(standing.includes(act), `${act} at ${time}|${field} is lost`)
      // What else stands may only be the removal of the record, at a field that its author did not see.
      for (const act of standing) assert.ok(expected.includes(act) || play.removals.has(act), `${act} came back`)
    }
  }
}

async function checkReadings(play: Play, node: MemoryNode): Promise<void> {
  for (const reading of play.readings) {
    const { time, value, quality } = reading
    const view = (await read(node, time))?.fields.find((item) => item.field === reading.field)
    const listed = view?.readings.find((item) => sameValue(item.value, value) && item.quality === quality)
    assert.ok(listed?.nodes.includes(reading.node.node) === true)
    const isShown = view?.shown !== undefined && sameValue(view.shown.value, value) && view.shown.quality === quality
    assert.ok(
      listed.covered ||
        view?.conflict !== undefined ||
        isShown ||
        view?.amendments.some((act) => act.value !== undefined && sameValue(act.value, value)),
    )
  }
}
