import { NetworkError, type Clock, type NodeId, type Random } from '../../model/index.ts'
import { constants } from './constants.ts'
import type { Duplex } from './exchange.ts'

/** How the simulated network treats what is sent. */
export interface Weather {
  /** Least and greatest delay of one message, ms. */
  delayMs: readonly [min: number, max: number]
  /** Probability that a message is lost: a stream sends it again later, gossip does not. */
  loss: number
  /** Probability that a gossip message is held back, so that later ones overtake it. */
  reorder: number
  /** Probability that a gossip message arrives twice. */
  duplicate: number
}

export function delayOf(weather: Weather, random: Random): number {
  const [min, max] = weather.delayMs
  return min + (max - min) * random.uniform()
}

/** What a connection needs of its two ends. */
export interface ConnectionEnd {
  readonly node: NodeId
  /** Called at once when the connection dies; may not run other people's code before the next timer. */
  onBroken(connection: SimulatedConnection, reason: NetworkError): void
}

/**
 * One connection between two nodes: reliable and in order, as TCP is. A loss costs the time until it is sent again,
 * and everything behind it waits; many losses in a row break the connection.
 */
export class SimulatedConnection {
  readonly ends: readonly [ConnectionEnd, ConnectionEnd]
  readonly #clock: Clock
  readonly #random: Random
  readonly #weather: Weather
  /** Streams open on it, for their reset. */
  readonly streams: Set<SimulatedDuplex> = new Set()
  /** Per sending end: when its last message arrives, ms. */
  readonly #lastMs: [number, number] = [0, 0]
  alive: boolean = true

  constructor(dialler: ConnectionEnd, other: ConnectionEnd, clock: Clock, random: Random, weather: Weather) {
    this.ends = [dialler, other]
    this.#clock = clock
    this.#random = random
    this.#weather = weather
  }

  otherThan(node: NodeId): ConnectionEnd {
    return this.ends[0].node === node ? this.ends[1] : this.ends[0]
  }

  /** Runs `arrive` at the other end after the delay, behind all that was sent before, if the connection lives until then. */
  send(from: NodeId, arrive: () => void): void {
    if (!this.alive) return
    let delay = delayOf(this.#weather, this.#random)
    let losses = 0
    while (this.#random.uniform() < this.#weather.loss) {
      delay += constants.simulatedRetransmitMs * 2 ** losses
      losses += 1
      if (losses < constants.simulatedLossesToBreak) continue
      this.break('too many losses in a row')
      return
    }
    const side = this.ends[0].node === from ? 0 : 1
    const now = this.#clock.monotonicMs()
    const at = Math.max(now + delay, this.#lastMs[side])
    this.#lastMs[side] = at
    this.#clock.setTimer(() => {
      if (this.alive) arrive()
    }, at - now)
  }

  break(why: string): void {
    if (!this.alive) return
    this.alive = false
    const reason = new NetworkError(
      `the connection between ${this.ends[0].node} and ${this.ends[1].node} broke: ${why}`,
    )
    for (const stream of this.streams) stream.cut(reason)
    for (const end of this.ends) end.onBroken(this, reason)
  }
}

/** One side of a stream on a simulated connection, with a window per direction. */
export class SimulatedDuplex implements Duplex {
  readonly #connection: SimulatedConnection
  readonly #node: NodeId
  readonly #broken = new AbortController()
  readonly #queue: Uint8Array[] = []
  #other: SimulatedDuplex | undefined
  /** Bytes sent and not yet confirmed as read; bytes read and not yet confirmed. */
  #unread = 0
  #toConfirm = 0
  #sentEnd = false
  #receivedEnd = false
  #ignored = false
  #resetHere = false
  #wakeReader: (() => void) | undefined
  #wakeSender: (() => void) | undefined

  constructor(connection: SimulatedConnection, node: NodeId) {
    this.#connection = connection
    this.#node = node
    connection.streams.add(this)
    if (!connection.alive) this.cut(new NetworkError('the connection was closed'))
  }

  /** Joins the two sides of one stream. */
  join(other: SimulatedDuplex): void {
    this.#other = other
    other.#other = this
  }

  get broken(): AbortSignal {
    return this.#broken.signal
  }

  async send(message: Uint8Array): Promise<void> {
    const bytes = message.slice()
    while (this.#unread > 0 && this.#unread + bytes.length > constants.simulatedWindowBytes) {
      this.#broken.signal.throwIfAborted()
      await new Promise<void>((resolve) => {
        this.#wakeSender = resolve
      })
      this.#wakeSender = undefined
    }
    this.#broken.signal.throwIfAborted()
    this.#unread += bytes.length
    this.#connection.send(this.#node, () => this.#otherSide().#arrive(bytes))
    this.#broken.signal.throwIfAborted()
  }

  end(): Promise<void> {
    if (this.#broken.signal.aborted) return Promise.reject(this.#broken.signal.reason as Error)
    this.#sentEnd = true
    this.#connection.send(this.#node, () => this.#otherSide().#arriveEnd())
    this.#finish()
    return Promise.resolve()
  }

  async receive(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#resetHere) throw this.#broken.signal.reason
      if (this.#ignored) return undefined
      const message = this.#queue.shift()
      if (message !== undefined) {
        this.#confirm(message.length)
        return message
      }
      if (this.#receivedEnd) return undefined
      this.#broken.signal.throwIfAborted()
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve
      })
      this.#wakeReader = undefined
    }
  }

  ignore(): void {
    this.#ignored = true
    for (const message of this.#queue.splice(0)) this.#confirm(message.length)
    this.#wake()
    this.#finish()
  }

  reset(reason: Error): void {
    this.#resetHere = true
    if (!this.#connection.streams.has(this)) return
    this.cut(reason)
    this.#connection.send(this.#node, () => this.#otherSide().cut(new NetworkError('the other side reset the stream')))
  }

  /** Breaks this side alone. */
  cut(reason: Error): void {
    if (!this.#connection.streams.delete(this)) return
    this.#broken.abort(
      reason instanceof NetworkError
        ? reason
        : new NetworkError(`a stream broke: ${reason.message}`, { cause: reason }),
    )
    this.#wake()
  }

  /** Whatever arrives there arrives after the stream itself, which joins the two. */
  #otherSide(): SimulatedDuplex {
    if (this.#other === undefined) throw new TypeError('a message overtook its stream')
    return this.#other
  }

  #arrive(message: Uint8Array): void {
    if (this.#broken.signal.aborted) return
    if (this.#ignored) this.#confirm(message.length)
    else this.#queue.push(message)
    this.#wakeReader?.()
  }

  #arriveEnd(): void {
    this.#receivedEnd = true
    this.#wakeReader?.()
    this.#finish()
  }

  #confirm(bytes: number): void {
    this.#toConfirm += bytes
    if (this.#toConfirm < constants.simulatedCreditBytes) return
    const confirmed = this.#toConfirm
    this.#toConfirm = 0
    this.#connection.send(this.#node, () => {
      const other = this.#otherSide()
      other.#unread -= confirmed
      other.#wakeSender?.()
    })
  }

  #finish(): void {
    if (this.#sentEnd && this.#receivedEnd) this.#connection.streams.delete(this)
  }

  #wake(): void {
    this.#wakeReader?.()
    this.#wakeSender?.()
  }
}
