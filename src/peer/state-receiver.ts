/**
 * The other side of a peer's `state` stream: its words become evidence, and what it has that we lack is pulled. Questions
 * go back on the same stream, so that answers and changes come in the order in which they were true.
 */
import { NetworkError, RefusedError, type DocumentId, type NodeId } from '../model/index.ts'
import { peerLimits } from './constants.ts'
import type { PeerContext } from './context.ts'
import { holdingOf, isWanted } from './evidence.ts'
import { Mailbox } from './mailbox.ts'
import { decodeState, encodeState, type StateReport } from './messages.ts'
import { nothing } from './tips.ts'

export interface StateEvents {
  /** The peer's list of open documents is complete. */
  readonly onListed: () => void
  /** The peer has something of this document that we lack. */
  readonly onWanted: (id: DocumentId, settled: boolean) => void
  /** The peer's words became evidence. */
  readonly onReported: () => void
}

export class StateReceiver {
  readonly #context: PeerContext
  readonly #node: NodeId
  readonly #events: StateEvents
  readonly #asks = new Mailbox<readonly DocumentId[]>(peerLimits.waitingAsks)
  /** Questions under way, oldest first. */
  readonly #answers: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = []
  #begun = false
  #ended: Error | undefined

  constructor(context: PeerContext, node: NodeId, events: StateEvents) {
    this.#context = context
    this.#node = node
    this.#events = events
  }

  /** Asks what the peer holds of these documents. Resolves when all answers have become evidence. */
  async ask(ids: readonly DocumentId[]): Promise<void> {
    for (let from = 0; from < ids.length; from += peerLimits.idsPerAsk) {
      if (this.#ended !== undefined) throw this.#ended
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      this.#answers.push({ resolve, reject })
      this.#asks.put(ids.slice(from, from + peerLimits.idsPerAsk))
      await promise
    }
  }

  /** The handler of the stream. A second stream of one connection is refused. */
  async *handle(incoming: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    if (this.#begun) throw new RefusedError(`${this.#node} opened a second stream of states`)
    this.#begun = true
    // Reads beside the writer below; its failure ends the writer.
    const reading = this.#read(incoming).then(
      () => this.end(new NetworkError(`${this.#node} ended its stream of states`)),
      (error: unknown) => this.end(error instanceof Error ? error : new NetworkError(String(error))),
    )
    try {
      for await (const ids of this.#asks) yield encodeState({ kind: 'ask', ids })
    } finally {
      this.end(new NetworkError(`the stream of states of ${this.#node} broke`))
      await reading
    }
  }

  /** Ends the stream and fails what waits for answers. Idempotent. */
  end(error: Error): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    this.#asks.close(error)
    for (const { reject } of this.#answers.splice(0)) reject(error)
  }

  async #read(incoming: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const bytes of incoming) {
      const message = decodeState(bytes)
      if (message.kind === 'states') await this.#take(message.states)
      else if (message.kind === 'listed') this.#events.onListed()
      else if (message.kind === 'answer') {
        await this.#take(message.states)
        const waiting = this.#answers[0]
        if (waiting === undefined) throw new RefusedError(`${this.#node} answered what was not asked`)
        if (!message.last) continue
        this.#answers.shift()
        waiting.resolve()
      } else throw new RefusedError(`${this.#node} asked on the wrong side of a stream of states`)
    }
  }

  async #take(reports: readonly StateReport[]): Promise<void> {
    const { store, evidence } = this.#context
    using watch = evidence.watch()
    await using snapshot = await store.snapshot()
    for (const { id, settled, ...theirs } of reports) {
      const state = await snapshot.state(id)
      const ours = watch.own(id) ?? (state === undefined ? nothing : holdingOf(state))
      if (isWanted(evidence.report(this.#node, id, theirs, ours))) this.#events.onWanted(id, settled)
    }
    this.#events.onReported()
  }
}
