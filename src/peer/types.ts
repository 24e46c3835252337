/** What the peer part promises. */
import type { Clock, NodeId, Random, TimeUs } from '../model/index.ts'
import type { Role, Store } from '../store/index.ts'
import type { PeerLog } from './context.ts'
import type { Identity } from './identity.ts'
import type { Network } from './network/index.ts'
import type { PeerStatus } from './status.ts'

export interface PeerOptions {
  /** Open; closed by its owner after the peer has stopped. */
  readonly store: Store
  readonly identity: Identity
  /** Not started: `start` and `stop` of the peer start and stop it. */
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly log: PeerLog
  /** Multiaddrs dialled for ever, with or without `/p2p/<node>`. */
  readonly staticPeers?: readonly string[]
  /** Off only for tests: then reconciliation alone delivers. */
  readonly gossip?: boolean
  /** Off only for tests: then gossip alone delivers, which is not enough. */
  readonly reconciliation?: boolean
}

export type PeerEvent =
  | { readonly type: 'peer-connected'; readonly node: NodeId }
  | { readonly type: 'peer-disconnected'; readonly node: NodeId }
  | { readonly type: 'peer-refused'; readonly node: NodeId; readonly reason: string }
  /** Everything this peer has is here and acknowledged, and everything here is there. */
  | { readonly type: 'synced'; readonly node: NodeId }

/** One node's part in its site. Created, then started. */
export interface Peer {
  /** Throws `NotAllowedError` if this node is no member, and what the network throws if it cannot listen. */
  start(): Promise<void>
  /** Idempotent; waits for what is in flight. The store stays open. */
  stop(): Promise<void>
  addresses(): readonly string[]
  /** Every other member that is not revoked, sorted by node id. */
  status(): Promise<readonly PeerStatus[]>
  /** Records of which no other node has acknowledged a synced write in its present run. */
  atRisk(): Promise<number>
  /** Makes an invite that this node redeems once. Throws `NotAllowedError` unless this node may certify the role. */
  invite(options: { readonly role: Role; readonly expiresMs: number }): Promise<{
    readonly code: string
    readonly expires: TimeUs
  }>
  /** Connects to one node now and resolves when both have let each other in. */
  connect(addresses: readonly string[], options: { readonly signal: AbortSignal }): Promise<NodeId>
  onEvent(listener: (event: PeerEvent) => void): () => void
}
