import {
  ClosedError,
  InvalidInputError,
  LimitError,
  NetworkError,
  parseNodeId,
  type Clock,
  type NodeId,
  type Random,
  type Timer,
} from '../../model/index.ts'
import { constants } from './constants.ts'
import { answer, converse } from './exchange.ts'
import { Listeners } from './listeners.ts'
import type { NetworkLog } from './log.ts'
import {
  delayOf,
  SimulatedDuplex,
  type ConnectionEnd,
  type SimulatedConnection,
  type Weather,
} from './simulated-connection.ts'
import { networkLimits, type Network, type StreamHandler } from './types.ts'

/** What a simulated node needs of its world. */
export interface Surroundings {
  readonly clock: Clock
  readonly random: Random
  readonly weather: Weather
  readonly log: NetworkLog
  /** Running nodes in the order in which they started. */
  nodes(): Iterable<SimulatedNetwork>
  node(id: NodeId): SimulatedNetwork | undefined
  isReachable(from: NodeId, to: NodeId): boolean
  /** The living connection between two nodes, or a new one. */
  connection(dialler: SimulatedNetwork, other: SimulatedNetwork): { connection: SimulatedConnection; isNew: boolean }
  onStart(network: SimulatedNetwork): void
  onStop(network: SimulatedNetwork): void
}

interface Link {
  readonly connection: SimulatedConnection
  readonly inboundStreams: Map<string, number>
  admitted: boolean
}

interface Gossip {
  readonly topic: string
  readonly author: NodeId
  readonly data: Uint8Array
  /** Nodes that have had it. */
  readonly seen: Set<NodeId>
}

export class SimulatedNetwork implements Network, ConnectionEnd {
  readonly node: NodeId
  readonly tag: string | undefined
  readonly #world: Surroundings
  readonly #links = new Map<NodeId, Link>()
  readonly #protocols = new Map<string, { readonly handler: StreamHandler; readonly stranger: boolean }>()
  readonly #topics = new Map<string, Listeners<[data: Uint8Array, from: NodeId]>>()
  readonly #answering = new Set<Promise<void>>()
  readonly #onConnect: Listeners<Parameters<Parameters<Network['onConnect']>[0]>>
  readonly #onDisconnect: Listeners<[node: NodeId]>
  readonly #onDiscover: Listeners<[node: NodeId, addresses: readonly string[]]>
  #state: 'new' | 'running' | 'stopped' | 'crashed' = 'new'
  #announcing: Timer | undefined
  #stopping: Promise<void> | undefined

  constructor(node: NodeId, tag: string | undefined, world: Surroundings) {
    this.node = node
    this.tag = tag
    this.#world = world
    this.#onConnect = new Listeners(world.log)
    this.#onDisconnect = new Listeners(world.log)
    this.#onDiscover = new Listeners(world.log)
  }

  async start(): Promise<void> {
    if (this.#state === 'running') return
    if (this.#state !== 'new') throw new ClosedError('the network was stopped: make a new one')
    this.#world.onStart(this)
    this.#state = 'running'
    if (this.tag !== undefined) this.#announce()
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** Ends as a power cut does: nobody here is told. */
  crash(): void {
    if (this.#state !== 'running') return
    this.#state = 'crashed'
    this.#leave('a node crashed')
  }

  addresses(): readonly string[] {
    return this.#state === 'running' ? [`/memory/${this.node}/p2p/${this.node}`] : []
  }

  connections(): readonly NodeId[] {
    return [...this.#links.keys()]
  }

  async connect(addresses: readonly string[], { signal }: { readonly signal: AbortSignal }): Promise<NodeId> {
    this.#assertRunning()
    if (addresses.length === 0 || addresses.length > constants.maxAddresses)
      throw new InvalidInputError(`connect takes 1 to ${constants.maxAddresses} addresses, not ${addresses.length}`)
    const targets = addresses.map(parseAddress)
    const reasons: string[] = []
    for (const { target, expected } of targets) {
      if (target === this.node) throw new NetworkError(`${target} is this node itself`)
      signal.throwIfAborted()
      if (target === expected && this.#links.has(target)) return target
      const failure = await this.#dial(target, expected, signal)
      if (failure === undefined) return target
      reasons.push(failure)
    }
    throw new NetworkError(`cannot connect to ${addresses.join(' or ')}: ${reasons.join('; ')}`)
  }

  async disconnect(node: NodeId): Promise<void> {
    this.#links.get(node)?.connection.break(`${this.node} ended it`)
  }

  admit(node: NodeId): void {
    this.#assertRunning()
    const link = this.#links.get(node)
    if (link !== undefined) link.admitted = true
  }

  async *open(
    node: NodeId,
    protocol: string,
    outgoing: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    { signal }: { readonly signal: AbortSignal },
  ): AsyncIterable<Uint8Array> {
    this.#assertRunning()
    signal.throwIfAborted()
    const connection = this.#links.get(node)?.connection
    if (connection === undefined) throw new NetworkError(`${node} is not connected`)
    const duplex = new SimulatedDuplex(connection, this.node)
    connection.send(this.node, () => this.#world.node(node)?.answer(connection, protocol, duplex))
    yield* converse(duplex, outgoing, signal, this.#world.log)
  }

  handle(protocol: string, handler: StreamHandler, { stranger = false }: { readonly stranger?: boolean } = {}): void {
    if (this.#protocols.has(protocol)) throw new InvalidInputError(`${protocol} already has a handler`)
    this.#protocols.set(protocol, { handler, stranger })
  }

  async publish(topic: string, data: Uint8Array): Promise<void> {
    this.#assertRunning()
    if (data.length > networkLimits.gossipBytes)
      throw new LimitError(
        `a gossip message of ${data.length} bytes is above the limit of ${networkLimits.gossipBytes}: announce it instead`,
      )
    this.#spread({ topic, author: this.node, data: data.slice(), seen: new Set([this.node]) })
  }

  subscribe(topic: string, listener: (data: Uint8Array, from: NodeId) => void): () => void {
    let listeners = this.#topics.get(topic)
    if (listeners === undefined) {
      listeners = new Listeners(this.#world.log)
      this.#topics.set(topic, listeners)
    }
    const remove = listeners.add(listener)
    return () => {
      remove()
      if (listeners.size === 0 && this.#topics.get(topic) === listeners) this.#topics.delete(topic)
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

  // ------------------------------------------------------------------------------------------------ called by other nodes

  /** A connection stands at this end. */
  established(connection: SimulatedConnection, inbound: boolean): void {
    const { node } = connection.otherThan(this.node)
    if (this.#state !== 'running' || this.#links.get(node)?.connection === connection) return
    this.#links.set(node, { connection, inboundStreams: new Map(), admitted: false })
    this.#onConnect.emit(node, { inbound, address: `/memory/${node}/p2p/${node}` })
  }

  onBroken(connection: SimulatedConnection): void {
    const { node } = connection.otherThan(this.node)
    if (this.#links.get(node)?.connection !== connection) return
    this.#links.delete(node)
    if (this.#state === 'crashed') return
    // Not now: whoever breaks a connection is in the middle of something.
    this.#world.clock.setTimer(() => {
      if (this.#state !== 'crashed') this.#onDisconnect.emit(node)
    }, 0)
  }

  answer(connection: SimulatedConnection, name: string, remote: SimulatedDuplex): void {
    const from = connection.otherThan(this.node).node
    const link = this.#links.get(from)
    const protocol = this.#protocols.get(name)
    const duplex = new SimulatedDuplex(connection, this.node)
    duplex.join(remote)
    if (link?.connection !== connection || protocol === undefined || !(link.admitted || protocol.stranger)) {
      duplex.reset(new NetworkError(`${from} is not admitted`))
      return
    }
    const open = link.inboundStreams.get(name) ?? 0
    if (open >= (protocol.stranger ? constants.strangerStreamsPerProtocol : constants.streamsPerProtocol)) {
      duplex.reset(new NetworkError(`${from} opened too many streams of ${name}`))
      return
    }
    link.inboundStreams.set(name, open + 1)
    const answering = answer(duplex, name, from, protocol.handler, this.#world.log).finally(() => {
      link.inboundStreams.set(name, (link.inboundStreams.get(name) ?? 1) - 1)
      this.#answering.delete(answering)
    })
    this.#answering.add(answering)
  }

  hear(connection: SimulatedConnection, gossip: Gossip, again: boolean): void {
    const link = this.#links.get(connection.otherThan(this.node).node)
    if (link?.connection !== connection || !link.admitted || (gossip.seen.has(this.node) && !again)) return
    gossip.seen.add(this.node)
    const listeners = this.#topics.get(gossip.topic)
    if (listeners === undefined) return
    listeners.emit(gossip.data.slice(), gossip.author)
    if (!again) this.#spread(gossip)
  }

  discover(node: NodeId, addresses: readonly string[]): void {
    if (this.#state === 'running') this.#onDiscover.emit(node, addresses)
  }

  isAdmitted(node: NodeId): boolean {
    return this.#links.get(node)?.admitted === true
  }

  subscribes(topic: string): boolean {
    return this.#topics.has(topic)
  }

  // ------------------------------------------------------------------------------------------------ inside

  /**
   * The author sends to every neighbour that subscribes; others pass it on to at most the mesh degree of those that
   * the author has no link with, so that what is lost between two nodes stays lost between them.
   */
  #spread(gossip: Gossip): void {
    const { clock, random, weather } = this.#world
    let left: number = gossip.author === this.node ? Infinity : constants.gossipDegree
    for (const [node, { connection, admitted }] of this.#links) {
      const other = this.#world.node(node)
      if (left === 0) return
      if (!admitted || other === undefined || gossip.seen.has(node) || !other.subscribes(gossip.topic)) continue
      if (gossip.author !== this.node && other.isAdmitted(gossip.author)) continue
      left -= 1
      if (random.uniform() < weather.loss) continue
      const copies = random.uniform() < weather.duplicate ? 2 : 1
      for (let copy = 0; copy < copies; copy++) {
        const late = random.uniform() < weather.reorder ? 2 + 8 * random.uniform() : 1
        clock.setTimer(
          () => {
            if (connection.alive) other.hear(connection, gossip, copy > 0)
          },
          delayOf(weather, random) * late,
        )
      }
    }
  }

  /** Resolves with why it failed; `undefined` when the connection stands at this end. */
  async #dial(target: NodeId, expected: NodeId, signal: AbortSignal): Promise<string | undefined> {
    const { clock, random, weather } = this.#world
    const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
    const onAbort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    const timeout = clock.setTimer(() => resolve('no answer'), constants.dialAddressMs)
    const reply = (reason: string): void => {
      clock.setTimer(() => resolve(reason), delayOf(weather, random))
    }
    clock.setTimer(
      () => {
        if (this.#state !== 'running' || signal.aborted || !this.#world.isReachable(this.node, target)) return
        const other = this.#world.node(target)
        if (other === undefined) reply('connection refused')
        else if (expected !== target) reply(`the node there is ${target}, not ${expected}`)
        else {
          const { connection, isNew } = this.#world.connection(this, other)
          if (isNew) other.established(connection, true)
          connection.send(target, () => {
            if (isNew) this.established(connection, false)
            resolve(this.#links.has(target) ? undefined : 'the connection was closed at once')
          })
        }
      },
      delayOf(weather, random),
    )
    try {
      return await promise
    } finally {
      timeout.cancel()
      signal.removeEventListener('abort', onAbort)
    }
  }

  #announce(): void {
    const { clock, random, weather } = this.#world
    for (const other of this.#world.nodes()) {
      if (other === this || other.tag !== this.tag || !this.#world.isReachable(this.node, other.node)) continue
      if (random.uniform() < weather.loss) continue
      clock.setTimer(() => other.discover(this.node, this.addresses()), delayOf(weather, random))
      // A question is an announcement, too: those already there answer.
      clock.setTimer(() => this.discover(other.node, other.addresses()), 2 * delayOf(weather, random))
    }
    this.#announcing = clock.setTimer(() => this.#announce(), constants.mdnsIntervalMs)
  }

  async #stop(): Promise<void> {
    if (this.#state === 'running') {
      this.#state = 'stopped'
      this.#leave(`${this.node} was stopped`)
    } else if (this.#state === 'new') this.#state = 'stopped'
    const limit = new AbortController()
    const slept = this.#world.clock.sleep(constants.stopMs, { signal: limit.signal }).catch(() => undefined)
    await Promise.race([Promise.all(this.#answering), slept])
    limit.abort()
  }

  #leave(why: string): void {
    this.#announcing?.cancel()
    for (const { connection } of this.#links.values()) connection.break(why)
    this.#world.onStop(this)
  }

  #assertRunning(): void {
    if (this.#state === 'new') throw new ClosedError('the network is not started')
    if (this.#state !== 'running') throw new ClosedError('the network was stopped')
  }
}

function parseAddress(address: string): { readonly target: NodeId; readonly expected: NodeId } {
  const match = /^\/memory\/([^/]+)(?:\/p2p\/([^/]+))?$/.exec(address)
  if (match === null) throw new InvalidInputError(`${JSON.stringify(address)} is not an address such as /memory/NODE`)
  const target = parseNodeId(match[1]!)
  return { target, expected: match[2] === undefined ? target : parseNodeId(match[2]) }
}
