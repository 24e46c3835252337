import type { Connection } from '@libp2p/interface'
import type { Clock, NodeId, Random, Timer } from '../../model/index.ts'
import { constants } from './constants.ts'
import type { NetworkLog } from './log.ts'

export interface GossipKeeperOptions {
  readonly node: NodeId
  readonly clock: Clock
  readonly random: Random
  readonly log: NetworkLog
  /** Protocol names of gossipsub. */
  readonly protocols: readonly string[]
  readonly identify: (connection: Connection, options: { signal: AbortSignal }) => Promise<unknown>
}

/**
 * Starts gossip with an admitted node and keeps it going. Gossipsub opens its stream once, after identify, and gives up
 * for good when that fails, as it does while the other side has not admitted us. So identify is repeated until
 * an outgoing gossip stream stands, and again whenever it is found gone.
 */
export class GossipKeeper {
  readonly #connection: Connection
  readonly #options: GossipKeeperOptions
  readonly #ended = new AbortController()
  #timer: Timer | undefined
  #retryMs: number = constants.gossipRetryMs
  #running = false
  #poked = false

  constructor(connection: Connection, options: GossipKeeperOptions) {
    this.#connection = connection
    this.#options = options
  }

  /** Tries now: at admission, and when the other side shows that it has admitted us. */
  poke(): void {
    if (this.#running) {
      this.#poked = true
      return
    }
    this.#timer?.cancel()
    void this.#check()
  }

  end(): void {
    this.#ended.abort()
    this.#timer?.cancel()
  }

  async #check(): Promise<void> {
    this.#running = true
    this.#poked = false
    let waitMs: number = constants.gossipCheckMs
    if (this.#stands()) this.#retryMs = constants.gossipRetryMs
    else {
      waitMs = this.#retryMs * (0.5 + this.#options.random.uniform())
      this.#retryMs = Math.min(this.#retryMs * 2, constants.gossipRetryMaxMs)
      try {
        await this.#options.identify(this.#connection, {
          signal: AbortSignal.any([this.#ended.signal, AbortSignal.timeout(constants.identifyMs)]),
        })
      } catch (error) {
        // Expected until the other side admits us. It goes on in a moment; a long silence is worth a line.
        if (!this.#ended.signal.aborted && waitMs > constants.gossipRetryMaxMs / 2)
          this.#options.log('info', 'gossip with a node has not started yet', { node: this.#options.node, error })
      }
    }
    this.#running = false
    if (this.#ended.signal.aborted) return
    this.#timer = this.#options.clock.setTimer(() => void this.#check(), this.#poked ? 0 : waitMs)
  }

  #stands(): boolean {
    return this.#connection.streams.some(
      ({ direction, protocol, status }) =>
        direction === 'outbound' && status === 'open' && this.#options.protocols.includes(protocol),
    )
  }
}
