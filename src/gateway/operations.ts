/**
 * All that a command line asks of a node, in one typed table. A running node answers it through its socket, a
 * command that finds no running node answers it from the store it opens itself: the same code either way.
 */
import type {
  Member,
  AmendRequest,
  AppendResult,
  CatalogChange,
  Policy,
  PolicyChange,
  Query,
  RecordView,
  RemoveRequest,
  ResolveRequest,
  Role,
  SensorSummary,
} from '../store/index.ts'
import type { FieldName, NodeId, SensorId, SensorPattern, SiteId, TimeUs, ValueType } from '../model/index.ts'

import type { BackupCreateInput, BackupEvent } from './backup-operations.ts'
import type { UntimedReading } from './formats/index.ts'

interface Operation<Input, Output> {
  readonly input: Input
  readonly output: Output
}

/** A query as it travels: cancelling is the transport's business. */
export type QueryInput = Omit<Query, 'signal'> & {
  /** Work out the `seen` token of each record; it is empty otherwise. */
  readonly seen?: boolean
}

export interface Calls {
  /** Readings without a time get the present one, strictly increasing for each sensor. */
  append: Operation<{ readonly readings: readonly UntimedReading[]; readonly flush?: boolean }, AppendResult>
  flush: Operation<undefined, null>
  amend: Operation<AmendRequest, RecordView>
  remove: Operation<RemoveRequest, RecordView>
  resolve: Operation<ResolveRequest, RecordView>
  span: Operation<{ readonly patterns?: readonly SensorPattern[] }, Span>
  policy: Operation<undefined, Policy>
  setPolicy: Operation<PolicyChange, null>
  setCatalog: Operation<CatalogChange, null>
  /** Types that the catalog sets for fields of a sensor. */
  fieldTypes: Operation<{ readonly sensor: SensorId }, Readonly<Record<FieldName, ValueType>>>
  importMark: Operation<{ readonly mark: string }, { readonly at?: TimeUs }>
  setImportMark: Operation<{ readonly mark: string }, null>
  status: Operation<{ readonly deep?: boolean }, NodeStatus>
  members: Operation<undefined, readonly Member[]>
  invite: Operation<{ readonly role: Role; readonly expiresMs: number }, Invitation>
  join: Operation<{ readonly code: string; readonly name?: string }, JoinResult>
  whoami: Operation<undefined, WhoAmI>
  /** Remembers that the identity was exported, so that status stops warning. */
  identityExported: Operation<undefined, null>
}

export interface Streams {
  query: Operation<QueryInput, RecordView>
  sensors: Operation<{ readonly patterns?: readonly SensorPattern[] }, SensorSummary>
  backupCreate: Operation<BackupCreateInput, BackupEvent>
}

export type CallName = keyof Calls
export type StreamName = keyof Streams

/** First and last time of the records that match; absent: there are none. */
export interface Span {
  readonly first?: TimeUs
  readonly last?: TimeUs
}

export interface NodeStatus {
  /** Absent in a restored directory that has no identity yet. */
  readonly node?: NodeId
  readonly site: SiteId
  /** The site's name, for people; known where the site was founded. */
  readonly siteName?: string
  readonly records: number
  readonly documents: number
  readonly digest: string
  readonly content?: string
  /** Records of which no other node has acknowledged a synced write. */
  readonly atRisk: number
  readonly warnings: readonly string[]
  readonly peers: readonly PeerInfo[]
}

export interface Amount {
  readonly records: number
  readonly bytes: number
}

export interface PeerInfo {
  readonly node: NodeId
  readonly name: string
  readonly connected: boolean
  /** What the peer lacks of ours, and what we lack of its. */
  readonly behind: Amount
  readonly ahead: Amount
  /** µs since the epoch; absent: never. */
  readonly lastSeen?: TimeUs
  readonly lastSynced?: TimeUs
}

export interface Invitation {
  readonly code: string
  readonly expires: TimeUs
}

export interface JoinResult {
  readonly site: SiteId
  readonly node: NodeId
  /** The node that redeemed the invite. */
  readonly via: NodeId
  readonly viaName: string
  /** Records the site holds, as the inviting node reported. */
  readonly coming: number
  /** Records that were taken along from the site given up. */
  readonly taken: number
}

export interface WhoAmI {
  readonly node?: NodeId
  readonly site: SiteId
  /** The site's name, for people; known where the site was founded. */
  readonly siteName?: string
  readonly name?: string
  readonly role?: Role
  readonly founder: boolean
  readonly exported: boolean
  readonly running: boolean
  readonly addresses: readonly string[]
}

export interface OperationContext {
  readonly signal: AbortSignal
}

/** The table, answered by one node. */
export interface Operations {
  readonly calls: {
    readonly [Name in CallName]: (
      input: Calls[Name]['input'],
      context: OperationContext,
    ) => Promise<Calls[Name]['output']>
  }
  readonly streams: {
    readonly [Name in StreamName]: (
      input: Streams[Name]['input'],
      context: OperationContext,
    ) => AsyncIterable<Streams[Name]['output']>
  }
}

/** A node to ask, wherever it runs. */
export interface NodeClient extends AsyncDisposable {
  /** Whether a running node answers. */
  readonly remote: boolean
  /** Resolves when the running node has gone away; absent for a store opened by this process. */
  readonly gone?: Promise<Error>
  call<Name extends CallName>(
    name: Name,
    input: Calls[Name]['input'],
    options?: { readonly signal?: AbortSignal },
  ): Promise<Calls[Name]['output']>
  stream<Name extends StreamName>(
    name: Name,
    input: Streams[Name]['input'],
    options?: { readonly signal?: AbortSignal },
  ): AsyncIterable<Streams[Name]['output']>
  close(): Promise<void>
}

const never = new AbortController().signal

/** Answers from the operations of a node in this process. */
export function localClient(operations: Operations, close: () => Promise<void>): NodeClient {
  return {
    remote: false,
    call: (name, input, { signal = never } = {}) => operations.calls[name](input, { signal }),
    stream: (name, input, { signal = never } = {}) => operations.streams[name](input, { signal }),
    close,
    [Symbol.asyncDispose]: close,
  }
}
