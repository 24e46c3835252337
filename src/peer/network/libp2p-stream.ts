import type { Stream } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { NetworkError, type NodeId } from '../../model/index.ts'
import { constants } from './constants.ts'
import type { Duplex } from './exchange.ts'
import { endOfMessages, FrameDecoder, frameHeader } from './framing.ts'
import { networkLimits } from './types.ts'

/**
 * One libp2p stream with framed messages. Both directions push back: a slow reader pauses Yamux, a slow other side
 * holds `send`. libp2p's own `onDrain` waits only the first time (its promise is never renewed), so the event is used.
 */
export class Libp2pDuplex implements Duplex {
  readonly #stream: Stream
  readonly #name: string
  readonly #decoder = new FrameDecoder(networkLimits.messageBytes)
  readonly #broken = new AbortController()
  #sentEnd = false
  #receivedEnd = false
  #ignored = false
  #resetHere = false
  #paused = false
  #wakeReader: (() => void) | undefined
  #wakeSender: (() => void) | undefined

  constructor(stream: Stream, node: NodeId) {
    this.#stream = stream
    this.#name = `the stream ${stream.protocol} with ${node}`
    stream.addEventListener('message', ({ data }) => {
      if (this.#ignored || this.#receivedEnd) return
      this.#decoder.push(data)
      if (this.#decoder.bufferedBytes > constants.readAheadBytes) this.#pause()
      this.#wakeReader?.()
    })
    stream.addEventListener('drain', () => this.#wakeSender?.())
    stream.addEventListener('end', () => this.#onClosing())
    stream.addEventListener('close', ({ error }) => {
      if (error !== undefined) this.#break(error)
      else this.#onClosing()
    })
    // Closed before the listeners were there.
    if (stream.status !== 'open' && stream.status !== 'closing') this.#onClosing()
  }

  get broken(): AbortSignal {
    return this.#broken.signal
  }

  async send(message: Uint8Array): Promise<void> {
    this.#write(new Uint8ArrayList(frameHeader(message.length), message))
    while (this.#stream.writableNeedsDrain && this.#stream.writeBufferLength > 0) {
      this.#broken.signal.throwIfAborted()
      await new Promise<void>((resolve) => {
        this.#wakeSender = resolve
      })
      this.#wakeSender = undefined
    }
    this.#broken.signal.throwIfAborted()
  }

  async end(): Promise<void> {
    this.#write(new Uint8ArrayList(endOfMessages))
    this.#sentEnd = true
    try {
      await this.#stream.close({ signal: this.#broken.signal })
    } catch (cause) {
      this.#break(cause)
      throw this.#broken.signal.reason
    }
  }

  async receive(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#resetHere) throw this.#broken.signal.reason
      if (this.#ignored || this.#receivedEnd) return undefined
      const message = this.#next()
      if (message === 'end') {
        this.#receivedEnd = true
        this.#resume()
        return undefined
      }
      if (message !== undefined) {
        if (this.#decoder.bufferedBytes < constants.readAgainBytes) this.#resume()
        return message
      }
      if (this.#resume()) continue
      if (this.#isOver()) this.#break(new Error('it was closed before its end'))
      this.#broken.signal.throwIfAborted()
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve
      })
      this.#wakeReader = undefined
    }
  }

  ignore(): void {
    if (this.#ignored) return
    this.#resume()
    this.#ignored = true
    this.#wakeReader?.()
    // Only drops what comes; without a signal it cannot fail.
    void this.#stream.closeRead()
  }

  reset(reason: Error): void {
    this.#resetHere = true
    this.#break(reason)
    this.#stream.abort(reason)
  }

  #write(bytes: Uint8ArrayList): void {
    this.#broken.signal.throwIfAborted()
    try {
      this.#stream.send(bytes)
    } catch (cause) {
      this.#break(cause)
      throw this.#broken.signal.reason
    }
  }

  #next(): Uint8Array | 'end' | undefined {
    try {
      return this.#decoder.next()
    } catch (error) {
      this.reset(error as Error)
      throw this.#broken.signal.reason
    }
  }

  #pause(): void {
    if (this.#paused || !this.#isReadable()) return
    this.#paused = true
    this.#stream.pause()
  }

  /** Whether the stream was paused and has now handed over what it held back. */
  #resume(): boolean {
    if (!this.#paused) return false
    this.#paused = false
    if (this.#isReadable()) this.#stream.resume()
    return true
  }

  #isReadable(): boolean {
    return this.#stream.readStatus === 'readable' || this.#stream.readStatus === 'paused'
  }

  /** Nothing more will come than what is buffered. */
  #isOver(): boolean {
    const open = this.#stream.status === 'open' || this.#stream.status === 'closing'
    return this.#stream.readableEnded || (!open && this.#stream.readBufferLength === 0)
  }

  /** The other side ended its messages, or the connection went away without an error. */
  #onClosing(): void {
    const closed = this.#stream.status !== 'open' && this.#stream.status !== 'closing'
    const missing = !this.#receivedEnd && !this.#ignored && this.#isOver() && this.#decoder.bufferedBytes === 0
    if (missing || (closed && !this.#sentEnd)) this.#break(new Error('it was closed before its end'))
    this.#wakeReader?.()
    this.#wakeSender?.()
  }

  #break(cause: unknown): void {
    if (!this.#broken.signal.aborted) {
      const detail = cause instanceof Error ? `: ${cause.message}` : ''
      const reason = cause instanceof NetworkError ? cause : new NetworkError(`${this.#name} broke${detail}`, { cause })
      this.#broken.abort(reason)
    }
    this.#wakeReader?.()
    this.#wakeSender?.()
  }
}
