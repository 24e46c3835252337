/**
 * What nodes acknowledged, and may therefore never be lost. Kept beside the nodes, from what their own interface answered:
 * the checks at the end do not ask the store what it ought to hold.
 */
import {
  formatTime,
  sameValue,
  type ActorId,
  type DocumentId,
  type FieldReading,
  type NodeId,
  type Reading,
  type SensorId,
  type TimeUs,
} from '../../src/model/index.ts'
import type { RecordView, StoreChange } from '../../src/store/index.ts'
import { actorKey, recordKey, type Contents } from './contents.ts'

interface Acknowledgement {
  /** Number of the node that acknowledged it. */
  readonly owner: number
  readonly atMs: number
  /** Its owner's disk has lost it: it counts as long as some other node holds it. */
  lost: boolean
  isIn(contents: Contents): boolean
  describe(): string
}

/** One act (amendment, removal, resolution) at one field, named by author and order. */
interface Act {
  readonly by: NodeId
  readonly at: number
  readonly sensor: SensorId
  readonly time: TimeUs
  readonly field: string
}

export class Acknowledged {
  #items: Acknowledgement[] = []
  readonly #readings: Reading[] = []
  /** Acts that a later act overwrote, or may have: its author had seen them. */
  readonly #superseded = new Set<string>()
  readings: number = 0
  edits: number = 0

  /** Readings that a node said are durable. */
  appended(owner: number, node: NodeId, readings: readonly Reading[], atMs: number): void {
    for (const reading of readings) {
      this.readings += 1
      this.#readings.push(reading)
      this.#items.push({
        owner,
        atMs,
        lost: false,
        isIn: ({ records }) => holdsReading(records.get(recordKey(reading.sensor, reading.time)), node, reading),
        describe: () => `the reading of ${reading.sensor} at ${formatTime(reading.time)} by node ${owner}`,
      })
    }
  }

  /** An edit is under way that overwrites what stands in `before`: whether it lands or not, that may be history now. */
  editing(before: RecordView, fields: readonly string[]): void {
    for (const field of before.fields)
      if (fields.includes(field.field))
        for (const { by, at } of field.amendments) this.#superseded.add(actKey(actOf(before, field.field, by, at)))
  }

  /** An edit that a node said is durable: `before` as its author saw the record, `after` as it answered. */
  edited(owner: number, node: NodeId, before: RecordView, after: RecordView, atMs: number): void {
    this.edits += 1
    for (const { field, amendments } of after.fields) {
      const known = before.fields.find((other) => other.field === field)?.amendments ?? []
      for (const { by, at } of amendments) {
        if (by !== node || known.some((other) => other.by === by && other.at === at)) continue
        const act = actOf(after, field, by, at)
        this.#items.push({
          owner,
          atMs,
          lost: false,
          isIn: ({ records }) =>
            this.#superseded.has(actKey(act)) || holdsAct(records.get(recordKey(act.sensor, act.time)), act),
          describe: () =>
            `the correction of ${act.sensor} at ${formatTime(act.time)}, field ${field}, by node ${owner}`,
        })
      }
    }
  }

  /** A change that a node made durable. */
  changed(owner: number, { state, changes, from }: StoreChange, atMs: number): void {
    if (from !== 'local') return
    for (const { actor, seq } of changes?.tips ?? []) {
      this.#items.push({
        owner,
        atMs,
        lost: false,
        isIn: ({ sequences }) => (sequences.get(actorKey(state.id, actor)) ?? 0) >= seq,
        describe: () => describeChange(owner, state.id, actor, seq),
      })
    }
  }

  /** Readings to choose records from, in the order in which they were acknowledged. */
  get known(): readonly Reading[] {
    return this.#readings
  }

  /**
   * A node's disk has lost what it wrote after `sinceMs`. What no other node holds now is no longer asked for: nobody can
   * bring it back, and no node had promised to keep it that still runs.
   */
  diskLost(owner: number, sinceMs: number, others: readonly Contents[]): number {
    for (const item of this.#items) if (item.owner === owner && item.atMs > sinceMs) item.lost = true
    const before = this.#items.length
    this.#items = this.#items.filter((item) => !item.lost || others.some((contents) => item.isIn(contents)))
    return before - this.#items.length
  }

  /** Says what of all that was acknowledged is missing. */
  missingIn(contents: Contents): string[] {
    return this.#items.filter((item) => !item.isIn(contents)).map((item) => item.describe())
  }
}

function holdsReading(record: RecordView | undefined, node: NodeId, reading: Reading): boolean {
  return reading.fields.every((wanted) => {
    const field = record?.fields.find(({ field }) => field === wanted.field)
    return field?.readings.some((known) => known.nodes.includes(node) && sameReading(known, wanted)) === true
  })
}

function sameReading(a: Pick<FieldReading, 'value' | 'quality'>, b: FieldReading): boolean {
  return sameValue(a.value, b.value) && (a.quality ?? 'good') === (b.quality ?? 'good')
}

function holdsAct(record: RecordView | undefined, act: Act): boolean {
  const field = record?.fields.find(({ field }) => field === act.field)
  return field?.amendments.some(({ by, at }) => by === act.by && at === act.at) === true
}

function actOf({ sensor, time }: RecordView, field: string, by: NodeId, at: number): Act {
  return { sensor, time, field, by, at }
}

function actKey({ sensor, time, field, by, at }: Act): string {
  return `${sensor} ${time} ${field} ${by} ${at}`
}

function describeChange(owner: number, document: DocumentId, actor: ActorId, seq: number): string {
  return `change ${seq} of node ${owner} (actor ${actor}) in ${document}`
}
