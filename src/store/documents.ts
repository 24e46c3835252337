/** Between the document engine and the records above it. Inside the store only. */
import type { ActorId, DocumentId, GroupName, NodeId, Reading, SensorId, TimeUs } from '../model/index.ts'
import type { DocumentState, Lane, StoreSnapshot } from './types.ts'

/** One batch of a journal: the bytes value of one change, for the batch codec. */
export interface JournalBatch {
  readonly seq: number
  readonly bytes: Uint8Array
}

/** One surviving value of one root key of a multi-writer document. Concurrent puts of a key all survive. */
export interface SharedEntry {
  readonly actor: ActorId
  readonly value: Uint8Array | string | number | boolean | null
}

/** Root map of a multi-writer document. Entries of a key: Automerge's winner last (the same on every node). */
export type SharedContent = ReadonlyMap<string, readonly SharedEntry[]>

export interface IndexRow {
  readonly document: DocumentId
  readonly node: NodeId
  readonly first: TimeUs
  readonly last: TimeUs
  /** Readings (not values) of the sensor in this month in this document. */
  readonly count: number
}

/** A consistent moment with the contents of documents. Documents found damaged are quarantined and read as absent. */
export interface DocumentsSnapshot extends StoreSnapshot {
  /** Batches of a journal in sequence order, from a cache bounded by bytes. */
  batches(id: DocumentId): Promise<readonly JournalBatch[]>
  shared(id: DocumentId): Promise<SharedContent>
  /** Index rows of one sensor for one UTC month (`yyyy-mm`). */
  index(sensor: SensorId, month: string): Promise<readonly IndexRow[]>
  /** Months with readings of the sensor, ascending. */
  months(sensor: SensorId): Promise<readonly string[]>
  /** Sensors that have readings or amendments, ascending by code unit. */
  sensors(): AsyncIterable<SensorId>
  /** Ids of the amendments documents of a sensor, any group, whose day lies in [fromDay, toDay] (`yyyy-mm-dd`). */
  amendmentDocuments(sensor: SensorId, fromDay: string, toDay: string): Promise<readonly DocumentId[]>
}

/** Writes of documents. All edits of one store run one after the other in a write lock. */
export interface Documents {
  snapshot(): Promise<DocumentsSnapshot>
  /** Queues readings of one group for its next flush. Resolves when durable. */
  append(group: GroupName, lane: Lane, readings: readonly Reading[], flush: boolean): Promise<void>
  /**
   * Edits a multi-writer document inside the write lock: `edit` sees a snapshot taken inside it and gives the root keys to
   * put (at most `limits.changePuts`); none: nothing is written. One change, signed, synced before it resolves. What
   * `edit` throws is thrown on.
   */
  edit(
    id: DocumentId,
    edit: (
      snapshot: DocumentsSnapshot,
      order: number,
    ) => Promise<ReadonlyMap<string, Uint8Array | string | number | boolean>>,
  ): Promise<DocumentState>
  /** Time up to which this node itself has appended readings of the sensor; `undefined`: none. Later times cannot be duplicates. */
  appendedUntil(sensor: SensorId): Promise<TimeUs | undefined>
}
