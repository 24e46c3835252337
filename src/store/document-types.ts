/** Documents as they are stored, sent and backed up: what peers and backups work with. */
import type { ActorId, ChangeHash, DocumentId, FieldName, NodeId, SensorId, TimeUs, ValueType } from '../model/index.ts'

/** Newest change of one actor. Changes of an actor form a chain, so the newest vouches for all before it. */
export interface Tip {
  readonly actor: ActorId
  /** Sequence number of the newest change, from 1. */
  readonly seq: number
  readonly hash: ChangeHash
  /** Readings (journal) or puts (multi-writer) and bytes of all this actor's changes: evidence for `behind` and `ahead`. */
  readonly records: number
  readonly bytes: number
}

/** A tip and its author's signature over `tipMessage(document, actor, seq, hash)`. */
export interface SignedTip extends Tip {
  readonly signature: Uint8Array
}

export interface DocumentState {
  readonly id: DocumentId
  /** Sorted by actor. What a node holds of a document is exactly this: changes are kept only with all they depend on. */
  readonly tips: readonly SignedTip[]
  /** Sorted. */
  readonly heads: readonly ChangeHash[]
  readonly records: number
  readonly bytes: number
  /** SHA-256 of the seal statement if the journal is stored sealed. */
  readonly seal?: string
  /** Settled documents are reconciled by range fingerprints, the others by list. */
  readonly settled: boolean
}

/** What one node lacks of one document. */
export interface ChangeSet {
  readonly document: DocumentId
  /** Whole changes, uncompressed Automerge chunks, each after all it depends on. */
  readonly changes: readonly Uint8Array[]
  /** The signed newest change of every actor in `changes`. */
  readonly tips: readonly SignedTip[]
}

/** What the writer of a journal signs when it seals it. */
export interface SealStatement {
  readonly document: DocumentId
  readonly tip: Tip
  /** Bytes of the chunk, and SHA-256 (hex) of each `limits.sealPartBytes` part of it. */
  readonly length: number
  readonly parts: readonly string[]
  readonly series: readonly SeriesSummary[]
  /** Readings per sensor and UTC month (`yyyy-mm`): what the index needs without opening the journal. */
  readonly index: readonly SensorMonth[]
  /** Greatest order (change time) in the journal, µs. */
  readonly order: number
}

export interface SensorMonth {
  readonly sensor: SensorId
  readonly month: string
  readonly first: TimeUs
  readonly last: TimeUs
  readonly count: number
}

export interface SeriesSummary {
  readonly sensor: SensorId
  readonly field: FieldName
  readonly type: ValueType
  readonly unit?: string
  readonly first: TimeUs
  readonly last: TimeUs
  readonly count: number
}

/** A seal as it travels and is stored: CBOR of `SealStatement`, and the writer's signature over it. */
export interface SignedSeal {
  readonly statement: Uint8Array
  readonly signature: Uint8Array
  /** The signed tip of the journal that the seal covers. */
  readonly tipSignature: Uint8Array
}

export interface ReceiveResult {
  /** Changes that were new and are now durable. */
  readonly stored: number
  /** A change names one that is not here: nothing was stored; ask for everything behind `state`. */
  readonly missing: boolean
  readonly state: DocumentState
}

/** Half-open range of document ids by code unit; `undefined` is open. */
export interface DocumentRange {
  readonly from?: string
  readonly to?: string
}

/** Order-independent fingerprint of the settled documents in a range. */
export interface RangeFingerprint {
  readonly count: number
  /** Sum modulo 2^256 of `stateHash` of each, 32 bytes big-endian. */
  readonly sum: Uint8Array
}

/** One consistent moment of all documents; writes go on beside it. */
export interface StoreSnapshot extends AsyncDisposable {
  /** Every document, in id order. */
  documents(range?: DocumentRange): AsyncIterable<DocumentState>
  /** Documents that are not settled, in id order. */
  openDocuments(): AsyncIterable<DocumentState>
  state(id: DocumentId): Promise<DocumentState | undefined>
  /** Settled documents only, with the hash that goes into fingerprints. */
  settled(range: DocumentRange, limit?: number): AsyncIterable<{ readonly id: DocumentId; readonly hash: Uint8Array }>
  /** Costs O(log n): kept up to date on disk. */
  fingerprint(range: DocumentRange): Promise<RangeFingerprint>
  /** Splits a range into at most `parts` ranges of about equal counts of settled documents. */
  split(range: DocumentRange, parts: number): Promise<DocumentRange[]>
  /**
   * The changes behind these tips. An unknown tip (an actor or hash that is not in this document's history) counts as
   * nothing held of that actor. Reads a sealed journal through its chunk.
   */
  changesSince(id: DocumentId, have: readonly Pick<Tip, 'actor' | 'seq' | 'hash'>[]): Promise<ChangeSet>
  seal(id: DocumentId): Promise<SignedSeal | undefined>
  /** One verified part of a sealed journal's chunk. */
  sealedPart(id: DocumentId, index: number): Promise<Uint8Array>
}

/** What became durable, after it did. The one event that gossip, status and `subscribe` hang on. */
export interface StoreChange {
  readonly state: DocumentState
  /** The new changes themselves; absent for sealed journals, sealing and rebuilding. */
  readonly changes?: ChangeSet
  /** `local`, or the node it was received from. */
  readonly from: 'local' | NodeId
}
