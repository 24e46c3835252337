/**
 * The store's promises. Everything here is durable before it is known: a promise that resolves says that the
 * bytes were written with fsync. See docs/architecture.md for the documents behind it.
 */
import type {
  Clock,
  DocumentId,
  FieldName,
  GroupName,
  NodeId,
  Quality,
  Random,
  Reading,
  RunId,
  SensorId,
  SensorPattern,
  SiteId,
  TimeUs,
  Value,
  ValueType,
} from '../model/index.ts'
import type { ChangeSet, ReceiveResult, SignedSeal, StoreChange, StoreSnapshot } from './document-types.ts'
import type { MembersSet } from './members.ts'

export type * from './document-types.ts'

/** Signs for this node. A store without one is read-only apart from `receive` (a restored directory before it has an identity). */
export interface Signer {
  readonly node: NodeId
  /** Ed25519 (RFC 8032) signature, 64 bytes. Synchronous: it costs some 30 µs. */
  sign(message: Uint8Array): Uint8Array
}

/** The storage engine: classic-level on disk, memory-level in simulations. */
export type Engine = import('abstract-level').AbstractLevel<Uint8Array | Buffer | string, Uint8Array, Uint8Array>

export interface StoreOptions {
  /** The LevelDB engine, not yet opened, with `buffer`/`view` encodings; the store opens and closes it. */
  readonly engine: Engine
  readonly clock: Clock
  readonly random: Random
  readonly signer?: Signer
  /** Free bytes of the disk that the store is on; absent in memory. Asked at most once a second. */
  readonly freeBytes?: () => Promise<number>
  /** Fixed messages with fields beside them. Never payloads. */
  readonly log?: StoreLog
  /** Keeps actors across restarts. Only for the test that shows why this must not be. */
  readonly unsafeKeepActors?: boolean
}

export type StoreLog = (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void

// ---------------------------------------------------------------------------------------------- records

export interface AppendOptions {
  /** Flush at once instead of after the lane's interval. */
  readonly flush?: boolean
  readonly signal?: AbortSignal
}

export interface AppendResult {
  /** Readings made durable by this call. */
  readonly appended: number
  /** (sensor, time, field) values that this node had already appended, the same value: left out. */
  readonly duplicates: number
}

/** One reading value: what `nodes` appended at a (sensor, time, field). */
export interface ReadingValue {
  readonly value: Value
  readonly quality: Quality
  readonly unit?: string
  /** Who appended it (or an equal value), sorted. */
  readonly nodes: readonly NodeId[]
}

/** One amendment that no other amendment has overwritten. */
export interface Amendment {
  /** Absent for a removal and for a note on readings. */
  readonly value?: Value
  readonly quality?: Quality
  readonly removed?: true
  readonly note?: string
  readonly why?: string
  /** The person, as `--by` named them. */
  readonly user?: string
  readonly by: NodeId
  /** The author's order, µs. (by, at) names one act. */
  readonly at: number
  /** The reading values its author saw: it covers these and equal ones, nothing else. */
  readonly over: readonly { readonly value: Value; readonly quality: Quality; readonly node: NodeId }[]
}

export type ConflictKind = 'reading/reading' | 'amend/amend' | 'amend/remove' | 'reading/amend' | 'reading/remove'

/** What one field of one record shows. */
export interface FieldView {
  readonly field: FieldName
  /** What the merge rule shows first. Absent when it is removed, or when the rule is `manual` and unresolved. */
  readonly shown?: {
    readonly value: Value
    readonly quality: Quality
    readonly unit?: string
    readonly type: ValueType
  }
  readonly removed: boolean
  readonly conflict?: ConflictKind
  /** All distinct reading values, covered ones too. */
  readonly readings: readonly (ReadingValue & { readonly covered: boolean })[]
  readonly amendments: readonly Amendment[]
}

/** One record as every node with the same documents shows it. */
export interface RecordView {
  readonly sensor: SensorId
  readonly time: TimeUs
  /** Sorted by name. Removed fields are left out unless `includeRemoved`. */
  readonly fields: readonly FieldView[]
  /** Token of everything seen here: hand it to amend, remove or resolve. */
  readonly seen: string
}

export interface Query {
  /** Any of these; all sensors when left out or empty. */
  readonly patterns?: readonly SensorPattern[]
  /** First time, inclusive; last time, exclusive; µs. */
  readonly from?: TimeUs
  readonly to?: TimeUs
  readonly fields?: readonly FieldName[]
  readonly limit?: number
  /** By time, then sensor (code units). `ascending` when left out. */
  readonly order?: 'ascending' | 'descending'
  readonly includeRemoved?: boolean
  readonly onlyConflicts?: boolean
  readonly signal?: AbortSignal
}

export interface FieldChange {
  readonly field: FieldName
  readonly value?: Value
  readonly quality?: Quality
}

export interface AmendRequest {
  readonly sensor: SensorId
  readonly time: TimeUs
  /** Empty with a note: annotates every visible field. */
  readonly fields: readonly FieldChange[]
  readonly note?: string
  readonly why?: string
  readonly user?: string
  /** From the read this edit is based on. Without it the edit is refused where it would hide a conflict. */
  readonly seen?: string
  /** Allows a record or a field that has no reading. */
  readonly create?: boolean
}

export interface RemoveRequest {
  readonly sensor: SensorId
  readonly time: TimeUs
  readonly why?: string
  readonly user?: string
  readonly seen?: string
}

export interface ResolveRequest {
  readonly sensor: SensorId
  readonly time: TimeUs
  readonly field: FieldName
  readonly choice:
    | { readonly value: Value; readonly quality?: Quality }
    | { readonly take: NodeId }
    | { readonly remove: true }
  readonly why?: string
  readonly user?: string
  readonly seen?: string
}

export interface SensorSummary {
  readonly sensor: SensorId
  readonly group: GroupName
  /** Readings in journals, duplicates of several nodes counted each; first and last reading time. */
  readonly readings: number
  readonly first: TimeUs
  readonly last: TimeUs
  readonly nodes: readonly NodeId[]
  readonly fields: readonly {
    readonly field: FieldName
    readonly unit?: string
    readonly type: ValueType
    readonly last?: { readonly value: Value; readonly quality: Quality; readonly time: TimeUs }
  }[]
  readonly conflicts: number
  readonly place?: string
}

// ---------------------------------------------------------------------------------------------- policy, catalog

export type Lane = 'critical' | 'normal' | 'bulk'
export type MergeRule = 'default' | 'manual'

export interface PolicyEntry {
  readonly pattern: SensorPattern
  readonly group?: GroupName
  readonly rules: Readonly<Record<string, MergeRule>>
}

export interface Policy {
  readonly entries: readonly PolicyEntry[]
  readonly lanes: Readonly<Record<string, Lane>>
  /** Retention watermark per group, µs; 0 or absent: everything is kept. */
  readonly marks: Readonly<Record<string, TimeUs>>
}

export interface PolicyChange {
  readonly pattern: SensorPattern
  readonly group?: GroupName
  /** Lane of the pattern's group (given here or already set). */
  readonly lane?: Lane
  readonly rules?: Readonly<Record<string, MergeRule>>
}

export interface CatalogChange {
  readonly pattern: SensorPattern
  readonly units?: Readonly<Record<string, string>>
  readonly types?: Readonly<Record<string, ValueType>>
  readonly place?: string
  readonly label?: string
}

// ---------------------------------------------------------------------------------------------- the store

export interface Store extends AsyncDisposable {
  readonly site: SiteId
  readonly run: RunId
  readonly node: NodeId | undefined
  readonly members: MembersSet

  /**
   * Appends readings. Resolves when they are durable: after the lane's flush interval, or `limits.flushReadings`
   * waiting readings, or at once with `flush`. What fits one flush (`limits.batchReadings`, `limits.flushBytes`) of one group
   * is written whole or not at all. Waits while `limits.queuedReadings` wait.
   */
  append(readings: readonly Reading[], options?: AppendOptions): Promise<AppendResult>
  /** Writes what waits, at once. */
  flush(): Promise<void>
  amend(request: AmendRequest): Promise<RecordView>
  remove(request: RemoveRequest): Promise<RecordView>
  resolve(request: ResolveRequest): Promise<RecordView>

  /** Streams records in order with memory bounded by one time window, reading one consistent moment. */
  query(query?: Query): AsyncIterable<RecordView>
  record(sensor: SensorId, time: TimeUs): Promise<RecordView | undefined>
  /** The times of the records nearest to `time`, at most `count`, nearest first. */
  nearest(sensor: SensorId, time: TimeUs, count: number): Promise<TimeUs[]>
  sensors(patterns?: readonly SensorPattern[]): AsyncIterable<SensorSummary>
  /** First and last reading time over the matching sensors, from index rows alone. */
  span(patterns?: readonly SensorPattern[]): Promise<{ first: TimeUs; last: TimeUs } | undefined>

  policy(): Promise<Policy>
  setPolicy(change: PolicyChange): Promise<void>
  setCatalog(change: CatalogChange): Promise<void>
  /** Types that the catalog sets for fields of a sensor. */
  fieldTypes(sensor: SensorId): Promise<Readonly<Record<string, ValueType>>>
  /** Remembered keys of whole files that were imported (`mark` = hash of content and mapping). */
  importMark(mark: string): Promise<{ readonly at: TimeUs } | undefined>
  setImportMark(mark: string): Promise<void>

  snapshot(): Promise<StoreSnapshot>
  /**
   * Verifies (signature, author, role, size, shape, chain) and stores changes without applying them. Idempotent.
   * Throws `RefusedError` with the reason; then nothing was stored.
   */
  receive(changes: ChangeSet, from: NodeId): Promise<ReceiveResult>
  /**
   * Stores a sealed journal by verified parts without opening it. Parts already stored by an interrupted call are
   * kept and not asked for again. `part` fetches one part by index.
   */
  receiveSealed(seal: SignedSeal, part: (index: number) => Promise<Uint8Array>, from: NodeId): Promise<ReceiveResult>
  /** Called once when writing to disk failed for good: nothing more is acknowledged until the store was opened again. */
  onFailure(listener: (error: Error) => void): () => void
  /** Called after each durable change, in order. */
  onChange(listener: (change: StoreChange) => void): () => void

  /** SHA-256 (hex) over ids and heads of all documents (the policy's among them) and its marks: equal exactly when the documents are. */
  digest(): Promise<string>
  /** Sum modulo 2^256 (hex) of the SHA-256 of one canonical line per visible (sensor, time, field). */
  content(): Promise<string>
  totals(): Promise<{ readonly records: number; readonly documents: number; readonly bytes: number }>
  /** Quarantined documents, with why. */
  damage(): Promise<readonly { readonly document: DocumentId; readonly reason: string; readonly at: TimeUs }[]>
  /** Reads every value and compares checksums, heads and counts; quarantines what fails. */
  scrub(options?: {
    readonly signal?: AbortSignal
    readonly onProgress?: (documents: number) => void
  }): Promise<{ readonly documents: number; readonly damaged: readonly DocumentId[] }>
  /** The highest order seen or given, µs. Moves the clock forward for orders at most `limits.orderAheadUs` ahead. */
  observeOrder(order: number): void
  /** Seals journals of earlier runs of this node whose newest state a peer has confirmed (or after `limits.sealAloneMs`). */
  sealLeftOpen(confirmed: (id: DocumentId) => boolean): Promise<void>
  /** Rotates and seals this run's journals now, for benchmarks and before a long stop. */
  sealOpen(): Promise<void>
  /** Gives the engine's unused space back to the disk. */
  compact(): Promise<void>

  /** Small state that other parts keep in the store (addresses, invites, acknowledgements): `name` is `<part>/<key>`. */
  readonly side: SideTable
  /** Flushes, waits for what is in flight, closes the engine. Idempotent. */
  close(): Promise<void>
}

export interface SideTable {
  get(name: string): Promise<unknown>
  /** CBOR-encoded; written with fsync unless `lazy`. */
  put(name: string, value: unknown, options?: { readonly lazy?: boolean }): Promise<void>
  delete(name: string): Promise<void>
  entries(prefix: string): AsyncIterable<readonly [name: string, value: unknown]>
}
