import type { NodeId } from '../../model/index.ts'

/**
 * All that the peer logic knows of a network. libp2p is one implementation, the simulated network another; one
 * contract suite runs on both.
 *
 * A connection exists once the transport has authenticated the other node's key (and both know the site's pre-shared
 * key). It carries only the protocols of `handle(…, { stranger: true })` until this side calls `admit(node)`: every other
 * inbound stream is reset unanswered, and gossip neither sends to nor hears the node.
 */
export interface Network extends AsyncDisposable {
  readonly node: NodeId
  start(): Promise<void>
  /** Idempotent; waits for what is in flight; safe after a failed start. */
  stop(): Promise<void>
  /** Addresses this node can be dialled at, as multiaddrs with `/p2p/<node>`. */
  addresses(): readonly string[]
  /** Nodes with a connection, admitted or not. */
  connections(): readonly NodeId[]
  /** Dials one node at these addresses; resolves with its id (and keeps an existing connection). Never dials by itself. */
  connect(addresses: readonly string[], options: { readonly signal: AbortSignal }): Promise<NodeId>
  disconnect(node: NodeId): Promise<void>
  /** Opens gossip and all protocols to a connected node. Ends with the connection. */
  admit(node: NodeId): void

  /**
   * Opens one stream: sends the messages of `outgoing`, yields those that come back. Messages are at most
   * `networkLimits.messageBytes`. Both directions have backpressure. Leaving the loop, or the signal, resets the stream.
   * Throws `NetworkError` if the node is not connected, refuses, or the stream breaks before its end.
   */
  open(
    node: NodeId,
    protocol: string,
    outgoing: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: { readonly signal: AbortSignal },
  ): AsyncIterable<Uint8Array>
  /** Answers streams of one protocol. A handler that throws resets the stream; it never harms the process. */
  handle(protocol: string, handler: StreamHandler, options?: { readonly stranger?: boolean }): void

  /** Gossip: a hint to the admitted nodes that subscribe; delivery is not promised. At most `networkLimits.gossipBytes`. */
  publish(topic: string, data: Uint8Array): Promise<void>
  subscribe(topic: string, listener: (data: Uint8Array, from: NodeId) => void): () => void

  /** `inbound`: the other side dialled. Called before any stream of the connection is handled. */
  onConnect(
    listener: (node: NodeId, connection: { readonly inbound: boolean; readonly address?: string }) => void,
  ): () => void
  onDisconnect(listener: (node: NodeId) => void): () => void
  /** Somebody announced itself (mDNS with the site's tag). Unverified. */
  onDiscover(listener: (node: NodeId, addresses: readonly string[]) => void): () => void
}

export type StreamHandler = (
  from: NodeId,
  incoming: AsyncIterable<Uint8Array>,
  context: { readonly signal: AbortSignal },
) => AsyncIterable<Uint8Array>

/** Limits every implementation keeps, with their reasons. */
export const networkLimits = {
  /** Bytes of one framed message: bounds what a receiver buffers. */
  messageBytes: 1_048_576,
  /** Bytes of one gossip message: larger changes are announced and pulled. */
  gossipBytes: 66_560,
} as const
