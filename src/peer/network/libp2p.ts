import type { Connection, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import {
  ClosedError,
  InvalidInputError,
  LimitError,
  NetworkError,
  parseNodeId,
  systemRandom,
  type Clock,
  type NodeId,
  type Random,
} from '../../model/index.ts'
import { constants } from './constants.ts'
import { answer, converse } from './exchange.ts'
import { GossipKeeper } from './gossip-keeper.ts'
import { isAddressInUse, listenError, parseAddresses } from './libp2p-addresses.ts'
import { nodeIdOfSeed } from './libp2p-key.ts'
import { createLibp2pNode, type Libp2pNode } from './libp2p-node.ts'
import { limitedLog } from './limited-log.ts'
import { Libp2pDuplex } from './libp2p-stream.ts'
import { supersedes, type LinkFacts } from './links.ts'
import { Listeners } from './listeners.ts'
import { LocalDiscovery } from './local-discovery.ts'
import type { NetworkLog } from './log.ts'
import { networkLimits, type Network, type StreamHandler } from './types.ts'

export { isAddressInUse }

export interface Libp2pNetworkOptions {
  /** The node's raw Ed25519 private key, 32 bytes. */
  readonly privateSeed: Uint8Array
  /** The site's pre-shared key, 32 bytes: without it no connection comes about. */
  readonly psk: Uint8Array
  /** Multiaddrs to listen on; an IPv6 one may fail where IPv4 works. */
  readonly listen: readonly string[]
  /** Multiaddrs told to others instead of those listened on: behind a port forward, a relay or a container. */
  readonly announce?: readonly string[]
  /** Service tag of the site on the local network, such as `_x._udp.local`; `undefined`: no mDNS. */
  readonly mdns: { readonly tag: string } | undefined
  readonly log: NetworkLog
  readonly clock: Clock
  /** Jitter. The system's when left out. */
  readonly random?: Random
}

/** Makes a network over libp2p: TCP, pre-shared key, Noise, Yamux, gossipsub, mDNS. Does nothing before `start`. */
export function createLibp2pNetwork(options: Libp2pNetworkOptions): Network {
  return new Libp2pNetwork(options)
}

interface Link extends LinkFacts {
  readonly connection: Connection
  readonly streams: Set<Libp2pDuplex>
  keeper: GossipKeeper | undefined
  admitted: boolean
}

interface Protocol {
  readonly handler: StreamHandler
  readonly stranger: boolean
}

class Libp2pNetwork implements Network {
  readonly node: NodeId
  readonly #options: Libp2pNetworkOptions
  readonly #log: NetworkLog
  readonly #links = new Map<NodeId, Link>()
  readonly #protocols = new Map<string, Protocol>()
  readonly #topics = new Map<string, Listeners<[data: Uint8Array, from: NodeId]>>()
  readonly #answering = new Set<Promise<void>>()
  readonly #onConnect: Listeners<Parameters<Parameters<Network['onConnect']>[0]>>
  readonly #onDisconnect: Listeners<[node: NodeId]>
  readonly #onDiscover: Listeners<[node: NodeId, addresses: readonly string[]]>
  #libp2p: Libp2pNode | undefined
  #discovery: LocalDiscovery | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor(options: Libp2pNetworkOptions) {
    this.#log = limitedLog(options.log, options.clock)
    this.#options = { ...options, log: this.#log }
    this.node = nodeIdOfSeed(options.privateSeed)
    this.#onConnect = new Listeners(options.log)
    this.#onDisconnect = new Listeners(options.log)
    this.#onDiscover = new Listeners(options.log)
  }

  start(): Promise<void> {
    if (this.#stopping !== undefined) return Promise.reject(new ClosedError('the network was stopped: make a new one'))
    this.#starting ??= this.#start()
    return this.#starting
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  addresses(): readonly string[] {
    return this.#libp2p?.getMultiaddrs().map(String) ?? []
  }

  connections(): readonly NodeId[] {
    return [...this.#links.keys()]
  }

  async connect(addresses: readonly string[], { signal }: { readonly signal: AbortSignal }): Promise<NodeId> {
    const libp2p = this.#running()
    const { expected, multiaddrs } = parseAddresses(addresses)
    if (expected === this.node) throw new NetworkError(`${expected} is this node itself`)
    if (expected !== undefined && this.#links.has(expected)) return expected
    signal.throwIfAborted()
    try {
      const connection = await libp2p.dial(multiaddrs, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(constants.dialMs)]),
      })
      const node = parseNodeId(connection.remotePeer.toString())
      if (this.#links.has(node)) return node
      throw new NetworkError(`${node} closed the connection at once`)
    } catch (cause) {
      signal.throwIfAborted()
      // Both dialled at once, and the other connection stayed.
      if (expected !== undefined && this.#links.has(expected)) return expected
      throw new NetworkError(`cannot connect to ${addresses.join(' or ')}: ${reasonsOf(cause)}`, { cause })
    }
  }

  async disconnect(node: NodeId): Promise<void> {
    const link = this.#links.get(node)
    if (link === undefined) return
    this.#forget(node, link, new NetworkError(`${node} was disconnected`))
    try {
      await link.connection.close({ signal: AbortSignal.timeout(constants.closeMs) })
    } catch (error) {
      link.connection.abort(error as Error)
    }
  }

  /** A node that is not connected (any more) is left alone: admission would end with the connection anyway. */
  admit(node: NodeId): void {
    const libp2p = this.#running()
    const link = this.#links.get(node)
    if (link === undefined || link.admitted) return
    link.admitted = true
    link.keeper = new GossipKeeper(link.connection, {
      node,
      clock: this.#options.clock,
      random: this.#options.random ?? systemRandom,
      log: this.#log,
      protocols: libp2p.services.gossip.protocols,
      identify: (connection, options) => libp2p.services.identify.identify(connection, options),
    })
    link.keeper.poke()
  }

  async *open(
    node: NodeId,
    protocol: string,
    outgoing: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    { signal }: { readonly signal: AbortSignal },
  ): AsyncIterable<Uint8Array> {
    this.#running()
    signal.throwIfAborted()
    const link = this.#links.get(node)
    if (link === undefined) throw new NetworkError(`${node} is not connected`)
    let stream: Stream
    try {
      stream = await link.connection.newStream([protocol], {
        signal: AbortSignal.any([signal, AbortSignal.timeout(constants.negotiationMs)]),
        maxOutboundStreams: constants.streamsPerProtocol,
      })
    } catch (cause) {
      signal.throwIfAborted()
      throw new NetworkError(`${node} does not open ${protocol}: ${reasonsOf(cause)}`, { cause })
    }
    yield* converse(this.#track(link, stream, node), outgoing, signal, this.#log)
  }

  handle(protocol: string, handler: StreamHandler, { stranger = false }: { readonly stranger?: boolean } = {}): void {
    if (this.#protocols.has(protocol)) throw new InvalidInputError(`${protocol} already has a handler`)
    this.#protocols.set(protocol, { handler, stranger })
    if (this.#libp2p !== undefined)
      this.#register(this.#libp2p, protocol, stranger).catch((error: unknown) =>
        this.#log('error', 'a protocol could not be registered', { protocol, error }),
      )
  }

  async publish(topic: string, data: Uint8Array): Promise<void> {
    if (data.length > networkLimits.gossipBytes)
      throw new LimitError(
        `a gossip message of ${data.length} bytes is above the limit of ${networkLimits.gossipBytes}: announce it instead`,
      )
    await this.#running().services.gossip.publish(topic, data)
  }

  subscribe(topic: string, listener: (data: Uint8Array, from: NodeId) => void): () => void {
    let listeners = this.#topics.get(topic)
    if (listeners === undefined) {
      listeners = new Listeners(this.#log)
      this.#topics.set(topic, listeners)
      this.#libp2p?.services.gossip.subscribe(topic)
    }
    const remove = listeners.add(listener)
    return () => {
      remove()
      if (listeners.size > 0 || this.#topics.get(topic) !== listeners) return
      this.#topics.delete(topic)
      if (this.#stopping === undefined) this.#libp2p?.services.gossip.unsubscribe(topic)
    }
  }

  onConnect(listener: Parameters<Network['onConnect']>[0]): () => void {
    return this.#onConnect.add(listener)
  }

  onDisconnect(listener: Parameters<Network['onDisconnect']>[0]): () => void {
    return this.#onDisconnect.add(listener)
  }

  onDiscover(listener: Parameters<Network['onDiscover']>[0]): () => void {
    return this.#onDiscover.add(listener)
  }

  // ------------------------------------------------------------------------------------------------ life

  async #start(): Promise<void> {
    const isAdmitted = (connection: Connection): boolean => this.#linkOf(connection)?.admitted === true
    const libp2p = await createLibp2pNode({
      ...this.#options,
      gate: { isAdmitted, onAdmittedStream: (connection) => this.#linkOf(connection)?.keeper?.poke() },
    })
    libp2p.addEventListener('connection:open', ({ detail }) => this.#opened(detail))
    libp2p.addEventListener('connection:close', ({ detail }) => this.#closed(detail))
    libp2p.services.gossip.addEventListener('message', ({ detail }) => {
      if (detail.type === 'signed')
        this.#topics.get(detail.topic)?.emit(detail.data, parseNodeId(detail.from.toString()))
    })
    for (const [protocol, { stranger }] of this.#protocols) await this.#register(libp2p, protocol, stranger)
    this.#libp2p = libp2p
    try {
      await libp2p.start()
    } catch (cause) {
      this.#libp2p = undefined
      throw listenError(this.#options.listen, cause)
    }
    for (const topic of this.#topics.keys()) libp2p.services.gossip.subscribe(topic)
    const { mdns, clock, log } = this.#options
    if (mdns === undefined) return
    this.#discovery = new LocalDiscovery({
      ...mdns,
      node: this.node,
      addresses: () => this.addresses(),
      onDiscover: (node, addresses) => this.#onDiscover.emit(node, addresses),
      clock,
      log,
    })
    this.#discovery.start()
  }

  async #stop(): Promise<void> {
    // A failed start has cleaned up behind itself, and its error was its caller's.
    await this.#starting?.catch(() => undefined)
    const libp2p = this.#libp2p
    if (libp2p === undefined) return
    const reason = new ClosedError('the network was stopped')
    for (const [node, link] of this.#links) this.#forget(node, link, reason)
    await this.#discovery?.stop()
    await libp2p.stop()
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, constants.stopMs)
    await Promise.race([Promise.all(this.#answering), promise])
    clearTimeout(timer)
  }

  #running(): Libp2pNode {
    if (this.#stopping !== undefined) throw new ClosedError('the network was stopped')
    if (this.#libp2p === undefined) throw new ClosedError('the network is not started')
    return this.#libp2p
  }

  // ------------------------------------------------------------------------------------------------ connections

  #linkOf(connection: Connection): Link | undefined {
    const link = this.#links.get(connection.remotePeer.toString() as NodeId)
    return link?.connection.id === connection.id ? link : undefined
  }

  #opened(connection: Connection): void {
    let node: NodeId
    try {
      node = parseNodeId(connection.remotePeer.toString())
      this.#running()
    } catch (error) {
      connection.abort(error as Error)
      return
    }
    const link: Link = {
      connection,
      inbound: connection.direction === 'inbound',
      openedMs: this.#options.clock.monotonicMs(),
      streams: new Set(),
      keeper: undefined,
      admitted: false,
    }
    const existing = this.#links.get(node)
    if (existing !== undefined) {
      const stays = supersedes(existing, link, this.node, node)
      const reason = new NetworkError(`another connection to ${node} took its place`)
      if (!stays) {
        connection.abort(reason)
        return
      }
      this.#forget(node, existing, reason)
      existing.connection.abort(reason)
    }
    this.#links.set(node, link)
    this.#onConnect.emit(node, { inbound: link.inbound, address: connection.remoteAddr.toString() })
  }

  #closed(connection: Connection): void {
    const link = this.#linkOf(connection)
    if (link === undefined) return
    this.#forget(link.connection.remotePeer.toString() as NodeId, link, new NetworkError('the connection was closed'))
  }

  /** Ends what hangs on a connection. Streams are reset, not ended: nobody may take half a message for all. */
  #forget(node: NodeId, link: Link, reason: Error): void {
    if (this.#links.get(node) !== link) return
    this.#links.delete(node)
    link.keeper?.end()
    for (const stream of link.streams) stream.reset(reason)
    // libp2p remembers every id it ever saw; a stranger may come with a new one each time.
    if (!link.admitted)
      this.#libp2p?.peerStore
        .delete(peerIdFromString(node))
        .catch((error: unknown) => this.#log('warn', 'a stranger could not be forgotten', { node, error }))
    this.#onDisconnect.emit(node)
  }

  // ------------------------------------------------------------------------------------------------ streams

  async #register(libp2p: Libp2pNode, protocol: string, stranger: boolean): Promise<void> {
    await libp2p.handle(protocol, (stream, connection) => this.#answer(protocol, stream, connection), {
      maxInboundStreams: stranger ? constants.strangerStreamsPerProtocol : constants.streamsPerProtocol,
      maxOutboundStreams: constants.streamsPerProtocol,
    })
  }

  #answer(name: string, stream: Stream, connection: Connection): void {
    const link = this.#linkOf(connection)
    const protocol = this.#protocols.get(name)
    if (link === undefined || protocol === undefined || !(link.admitted || protocol.stranger)) {
      stream.abort(new NetworkError(`${connection.remotePeer.toString()} is not admitted`))
      return
    }
    const node = parseNodeId(connection.remotePeer.toString())
    const duplex = this.#track(link, stream, node)
    const answering = answer(duplex, name, node, protocol.handler, this.#log).finally(() =>
      this.#answering.delete(answering),
    )
    this.#answering.add(answering)
  }

  #track(link: Link, stream: Stream, node: NodeId): Libp2pDuplex {
    const duplex = new Libp2pDuplex(stream, node)
    if (stream.status === 'open' || stream.status === 'closing') {
      link.streams.add(duplex)
      stream.addEventListener('close', () => link.streams.delete(duplex))
    }
    return duplex
  }
}

function reasonsOf(cause: unknown): string {
  if (cause instanceof AggregateError) return [...new Set(cause.errors.map(reasonsOf))].join('; ')
  return cause instanceof Error ? cause.message : String(cause)
}
