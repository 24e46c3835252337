/** Nodes of a site in memory, with real Automerge handles for shared documents, for tests of the records alone. */
import * as Automerge from '@automerge/automerge'
import {
  amendmentsId,
  journalId,
  makeActorId,
  makeRunId,
  nodeIdOf,
  parseDocumentId,
  utcDay,
  utcMonth,
  type ActorId,
  type DocumentId,
  type GroupName,
  type NodeId,
  type Reading,
  type SensorId,
  type TimeUs,
} from '../../../src/model/index.ts'
import type {
  Documents,
  DocumentsSnapshot,
  IndexRow,
  JournalBatch,
  SharedContent,
} from '../../../src/store/documents.ts'
import type { BatchFilter, BatchReader } from '../../../src/store/records/index.ts'
import { createRecords, type Records } from '../../../src/store/records/index.ts'
import type { DocumentState, Lane } from '../../../src/store/types.ts'

const batchReadings = new WeakMap<Uint8Array, readonly Reading[]>()

/** Batches that stand for the readings they were made with. */
export const memoryCodec: BatchReader = {
  decode(bytes: Uint8Array, { sensors, from = 0, to = Number.MAX_SAFE_INTEGER, fields }: BatchFilter): Reading[] {
    const readings: Reading[] = []
    for (const reading of batchReadings.get(bytes) ?? []) {
      if (reading.time < from || reading.time >= to || sensors?.(reading.sensor) === false) continue
      const kept = fields === undefined ? reading.fields : reading.fields.filter(({ field }) => fields.has(field))
      if (kept.length > 0) readings.push(kept.length === reading.fields.length ? reading : { ...reading, fields: kept })
    }
    return readings
  },
  spans(bytes: Uint8Array) {
    const bySensor = Map.groupBy(batchReadings.get(bytes) ?? [], ({ sensor }) => sensor)
    return [...bySensor].map(([sensor, readings]) => {
      const times = readings.map(({ time }) => time)
      return { sensor, first: Math.min(...times), last: Math.max(...times), count: times.length }
    })
  },
}

/** What one node sends to the others: a batch of a journal or a change of a shared document. */
export type Parcel =
  | { readonly document: DocumentId; readonly node: NodeId; readonly batch: JournalBatch }
  | { readonly document: DocumentId; readonly change: Uint8Array }

export class MemoryNode implements Documents {
  readonly node: NodeId
  readonly records: Records
  /** Everything this node wrote, in order. */
  readonly outbox: Parcel[] = []
  /** Batches that were opened, to see what a read touches. */
  opened = 0
  readonly #run: string
  readonly #journals = new Map<DocumentId, { node: NodeId; batches: Map<number, JournalBatch> }>()
  readonly #shared = new Map<DocumentId, ReturnType<typeof newHandle>>()
  readonly #contents = new Map<DocumentId, SharedContent>()
  #order: number
  #lock: Promise<unknown> = Promise.resolve()

  constructor(number: number, order = 1_000) {
    this.node = nodeIdOf(new Uint8Array(32).fill(number))
    this.#run = makeRunId(number, new Uint8Array(4))
    this.#order = order
    this.records = createRecords({ documents: this, codec: memoryCodec, node: this.node })
  }

  async append(group: GroupName, _lane: Lane, readings: readonly Reading[]): Promise<void> {
    const document = journalId(group, this.node, this.#run as never, 1)
    const journal = this.#journal(document, this.node)
    const bytes = new Uint8Array(1)
    batchReadings.set(bytes, readings)
    const batch = { seq: journal.batches.size + 1, bytes }
    journal.batches.set(batch.seq, batch)
    this.outbox.push({ document, node: this.node, batch })
  }

  receive(parcel: Parcel): void {
    if ('batch' in parcel) this.#journal(parcel.document, parcel.node).batches.set(parcel.batch.seq, parcel.batch)
    else {
      this.#handle(parcel.document).applyChanges([parcel.change])
      this.#contents.delete(parcel.document)
    }
  }

  edit: Documents['edit'] = async (id, edit) => {
    const run = this.#lock.then(async () => {
      const order = ++this.#order
      const puts = await edit(await this.snapshot(), order)
      if (puts.size === 0) return this.#state(id)
      const handle = this.#handle(id)
      for (const [key, value] of puts) handle.put('_root', key, value as never)
      handle.commit(undefined, order)
      this.outbox.push({ document: id, change: handle.getLastLocalChange() as Uint8Array })
      this.#contents.delete(id)
      return this.#state(id)
    })
    this.#lock = run.catch(() => undefined)
    return run
  }

  async appendedUntil(): Promise<TimeUs | undefined> {
    return undefined
  }

  async snapshot(): Promise<DocumentsSnapshot> {
    return {
      batches: async (id: DocumentId) => {
        this.opened++
        return [...(this.#journals.get(id)?.batches.values() ?? [])]
      },
      shared: async (id: DocumentId) => this.#content(id),
      index: async (sensor: SensorId, month: string) => this.#rows(sensor, month),
      months: async (sensor: SensorId) =>
        [...new Set(this.#readings().flatMap(([, , r]) => (r.sensor === sensor ? [utcMonth(r.time)] : [])))].sort(),
      sensors: async function* (this: MemoryNode) {
        const names = new Set<SensorId>(this.#readings().map(([, , reading]) => reading.sensor))
        for (const id of this.#shared.keys()) {
          const parsed = parseDocumentId(id)
          if (parsed.kind === 'amendments') names.add(parsed.sensor)
        }
        yield* [...names].sort()
      }.bind(this),
      amendmentDocuments: async (sensor: SensorId, from: string, to: string) =>
        [...this.#shared.keys()].filter((id) => {
          const parsed = parseDocumentId(id)
          return parsed.kind === 'amendments' && parsed.sensor === sensor && parsed.day >= from && parsed.day <= to
        }),
      state: async (id: DocumentId) => this.#state(id),
      [Symbol.asyncDispose]: async () => {},
    } as unknown as DocumentsSnapshot
  }

  /** Frees the WASM memory. */
  free(): void {
    for (const handle of this.#shared.values()) handle.free()
  }

  #readings(): [DocumentId, NodeId, Reading][] {
    return [...this.#journals].flatMap(([id, { node, batches }]) =>
      [...batches.values()].flatMap((batch) =>
        (batchReadings.get(batch.bytes) ?? []).map((reading): [DocumentId, NodeId, Reading] => [id, node, reading]),
      ),
    )
  }

  #rows(sensor: SensorId, month: string): IndexRow[] {
    const rows = new Map<
      DocumentId,
      { document: DocumentId; node: NodeId; first: number; last: number; count: number }
    >()
    for (const [document, node, { sensor: name, time }] of this.#readings()) {
      if (name !== sensor || utcMonth(time) !== month) continue
      const row = rows.get(document) ?? { document, node, first: time, last: time, count: 0 }
      rows.set(document, {
        ...row,
        first: Math.min(row.first, time),
        last: Math.max(row.last, time),
        count: row.count + 1,
      })
    }
    return [...rows.values()]
  }

  #journal(id: DocumentId, node: NodeId): { node: NodeId; batches: Map<number, JournalBatch> } {
    let journal = this.#journals.get(id)
    if (journal === undefined) this.#journals.set(id, (journal = { node, batches: new Map() }))
    return journal
  }

  #handle(id: DocumentId): ReturnType<typeof newHandle> {
    let handle = this.#shared.get(id)
    if (handle === undefined)
      this.#shared.set(id, (handle = newHandle(makeActorId(this.node, new Uint8Array(8).fill(this.#shared.size)))))
    return handle
  }

  #content(id: DocumentId): SharedContent {
    const handle = this.#shared.get(id)
    if (handle === undefined) return new Map()
    let content = this.#contents.get(id)
    if (content === undefined) {
      content = new Map(
        handle.keys('_root').map((key) => [
          key,
          handle.getAll('_root', key).map(([, value, operation]) => ({
            actor: operation.split('@')[1] as ActorId,
            value: value as Uint8Array,
          })),
        ]),
      )
      this.#contents.set(id, content)
    }
    return content
  }

  #state(id: DocumentId): DocumentState {
    const heads = (this.#shared.get(id)?.getHeads() ?? []) as unknown as DocumentState['heads']
    const records = this.#content(id).size
    return { id, tips: [], heads, records, bytes: 0, settled: false }
  }
}

/** An amendments document of the default group, for tests that write into it by hand. */
export function dayDocument(sensor: SensorId, time: TimeUs): DocumentId {
  return amendmentsId('default' as GroupName, sensor, utcDay(time))
}

function newHandle(actor: ActorId): Handle {
  return Automerge.getBackend(Automerge.init({ actor })) as unknown as Handle
}

interface Handle {
  put(object: string, key: string, value: never): void
  commit(message: undefined, time: number): unknown
  getLastLocalChange(): Uint8Array | null
  applyChanges(changes: Uint8Array[]): void
  keys(object: string): string[]
  getAll(object: string, key: string): [string, unknown, string][]
  getHeads(): string[]
  free(): void
}
