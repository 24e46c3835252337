import { InvalidInputError, type Clock, type NodeId, type Random } from '../../model/index.ts'
import type { NetworkLog } from './log.ts'
import { SimulatedConnection, type Weather } from './simulated-connection.ts'
import { SimulatedNetwork, type Surroundings } from './simulated-network.ts'
import type { Network } from './types.ts'

export interface SimulatedWorldOptions {
  /** All timers; a virtual clock makes runs repeatable. */
  readonly clock: Clock
  /** All chance; the same seed and the same calls give the same run. */
  readonly random: Random
  /** Least and greatest delay of one message, ms. */
  readonly delayMs: readonly [min: number, max: number]
  /** Probabilities from 0 to below 1; 0 when left out. See `Weather`. */
  readonly loss?: number
  readonly reorder?: number
  readonly duplicate?: number
  readonly log?: NetworkLog
}

/** Many nodes in one process, with a network between them that can be made as bad as real ones. */
export interface SimulatedWorld {
  /** Makes the network of one node. After `disconnect` or `stop` the node may get a new one. `tag`: who discovers whom. */
  network(node: NodeId, options?: { readonly tag?: string }): Network
  /** Cuts all connections between groups, and keeps new ones from coming about. Nodes in no group form one of their own. */
  partition(groups: readonly (readonly NodeId[])[]): void
  heal(): void
  setLoss(probability: number): void
  setDelay(delayMs: readonly [min: number, max: number]): void
  /** Crash: the node's network is dead from now on, and its connections vanish at the others. */
  disconnect(node: NodeId): void
}

export function createSimulatedWorld(options: SimulatedWorldOptions): SimulatedWorld {
  return new World(options)
}

class World implements SimulatedWorld, Surroundings {
  readonly clock: Clock
  readonly random: Random
  readonly weather: Weather
  readonly log: NetworkLog
  readonly #running = new Map<NodeId, SimulatedNetwork>()
  /** By both ids in order; dead ones are replaced when their nodes meet again. */
  readonly #connections = new Map<string, SimulatedConnection>()
  #groups: ReadonlyMap<NodeId, number> = new Map()

  constructor(options: SimulatedWorldOptions) {
    this.clock = options.clock
    this.random = options.random
    this.log = options.log ?? (() => undefined)
    this.weather = {
      delayMs: checkedDelay(options.delayMs),
      loss: checkedProbability(options.loss ?? 0),
      reorder: checkedProbability(options.reorder ?? 0),
      duplicate: checkedProbability(options.duplicate ?? 0),
    }
  }

  network(node: NodeId, { tag }: { readonly tag?: string } = {}): Network {
    return new SimulatedNetwork(node, tag, this)
  }

  partition(groups: readonly (readonly NodeId[])[]): void {
    const numbers = new Map<NodeId, number>()
    for (const [number, group] of groups.entries())
      for (const node of group) {
        if (numbers.has(node)) throw new InvalidInputError(`${node} is in two groups of the partition`)
        numbers.set(node, number)
      }
    this.#groups = numbers
    for (const connection of this.#connections.values()) {
      const [a, b] = connection.ends
      if (!this.isReachable(a.node, b.node)) connection.break('the network was partitioned')
    }
  }

  heal(): void {
    this.#groups = new Map()
  }

  setLoss(probability: number): void {
    this.weather.loss = checkedProbability(probability)
  }

  setDelay(delayMs: readonly [min: number, max: number]): void {
    this.weather.delayMs = checkedDelay(delayMs)
  }

  disconnect(node: NodeId): void {
    this.#running.get(node)?.crash()
  }

  nodes(): Iterable<SimulatedNetwork> {
    return this.#running.values()
  }

  node(id: NodeId): SimulatedNetwork | undefined {
    return this.#running.get(id)
  }

  isReachable(from: NodeId, to: NodeId): boolean {
    return this.#groups.get(from) === this.#groups.get(to)
  }

  connection(dialler: SimulatedNetwork, other: SimulatedNetwork): { connection: SimulatedConnection; isNew: boolean } {
    const key = [dialler.node, other.node].sort().join(' ')
    const existing = this.#connections.get(key)
    if (existing?.alive === true) return { connection: existing, isNew: false }
    const connection = new SimulatedConnection(dialler, other, this.clock, this.random, this.weather)
    this.#connections.set(key, connection)
    return { connection, isNew: true }
  }

  onStart(network: SimulatedNetwork): void {
    if (this.#running.has(network.node))
      throw new InvalidInputError(`${network.node} is already running in this world: stop or disconnect it first`)
    this.#running.set(network.node, network)
  }

  onStop(network: SimulatedNetwork): void {
    if (this.#running.get(network.node) === network) this.#running.delete(network.node)
    for (const [key, connection] of this.#connections)
      if (connection.ends.some(({ node }) => node === network.node)) {
        connection.break(`${network.node} is gone`)
        this.#connections.delete(key)
      }
  }
}

function checkedProbability(value: number): number {
  if (!(value >= 0 && value < 1)) throw new InvalidInputError(`${value} is not a probability from 0 to below 1`)
  return value
}

function checkedDelay(delayMs: readonly [min: number, max: number]): readonly [number, number] {
  const [min, max] = delayMs
  if (!(min >= 0 && max >= min)) throw new InvalidInputError(`[${min}, ${max}] is not a range of delays in ms`)
  return delayMs
}
