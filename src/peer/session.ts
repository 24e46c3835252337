/**
 * One admitted node, from hello to disconnect: members first, then our states to it, its states to us, and the comparison
 * of settled documents, at once and then on a timer.
 */
import { NetworkError, RefusedError, type DocumentId, type NodeId } from '../model/index.ts'
import { peerLimits, protocols } from './constants.ts'
import type { PeerContext } from './context.ts'
import { closeOnAbort, Mailbox, Wake } from './mailbox.ts'
import { exchangeMembers, type AddressBook } from './members-exchange.ts'
import { decodeState } from './messages.ts'
import { respondReconcile, startReconcile } from './reconcile.ts'
import { watched } from './stall.ts'
import { StateReceiver } from './state-receiver.ts'
import { StateSender } from './state-sender.ts'
import { none } from './tips.ts'
import { answerPull } from './transfer.ts'

export interface SessionEvents {
  readonly onWanted: (node: NodeId, id: DocumentId, settled: boolean) => void
  /** What is known of the node has changed. */
  readonly onReported: (node: NodeId) => void
  /** Everything was compared with this node. */
  readonly onReconciled: (node: NodeId) => void
  /** The session cannot go on: its connection is to be closed. */
  readonly onBroken: (node: NodeId, error: unknown) => void
}

export class Session {
  readonly node: NodeId
  readonly #context: PeerContext
  readonly #book: AddressBook
  readonly #events: SessionEvents
  readonly #abort = new AbortController()
  readonly #receiver: StateReceiver
  /** Set when the members set changed and the node has to hear of it. */
  readonly #membersWake = new Wake()
  readonly #roundWake = new Wake()
  /** Documents found damaged here, to be asked about. */
  readonly #damaged = new Set<DocumentId>()
  readonly #damagedWake = new Wake()
  /** Pulls of the node that are being answered. */
  #served = 0
  /** Resolves when the peer's list of open documents is complete. */
  readonly #listed = Promise.withResolvers<void>()

  constructor(context: PeerContext, book: AddressBook, node: NodeId, events: SessionEvents) {
    this.#context = context
    this.#book = book
    this.node = node
    this.#events = events
    this.#receiver = new StateReceiver(context, node, {
      onListed: () => this.#listed.resolve(),
      onWanted: (id, settled) => events.onWanted(node, id, settled),
      onReported: () => events.onReported(node),
    })
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** `documents`: false keeps to members and addresses, so that only gossip carries changes. */
  start(documents: boolean): void {
    this.#run('exchange of members', async () => {
      await exchangeMembers(this.#context, this.#book, this.node, this.signal)
      if (documents) {
        this.#run('stream of states', () => this.#tellStates())
        this.#run('reconciliation', () => this.#reconcile())
        this.#run('asking for what is damaged', () => this.#followDamage())
      }
      await this.#followMembers()
    })
  }

  /** Ends everything of this session. Idempotent. */
  end(error: Error): void {
    if (this.signal.aborted) return
    this.#abort.abort(error)
    this.#receiver.end(error)
    this.#listed.resolve()
    this.#membersWake.wake()
    this.#roundWake.wake()
    this.#damagedWake.wake()
  }

  membersChanged(): void {
    this.#membersWake.wake()
  }

  /** A document was lost here: what the node holds of it is asked for now, since it only tells of its own changes. */
  lost(id: DocumentId): void {
    this.#damaged.add(id)
    this.#damagedWake.wake()
  }

  handleStates(incoming: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    return this.#receiver.handle(incoming)
  }

  handleReconcile(incoming: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    return this.#watched(this.#answerReconcile(incoming), true)
  }

  async *handlePull(incoming: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    if (this.#served >= peerLimits.servedPulls)
      throw new RefusedError(`${this.node} has more than ${peerLimits.servedPulls} pulls open`)
    this.#served++
    try {
      yield* this.#watched(answerPull(this.#context, this.node, incoming), true)
    } finally {
      this.#served--
    }
  }

  async *#answerReconcile(incoming: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    await using snapshot = await this.#context.store.snapshot()
    for await (const message of incoming) yield await respondReconcile(snapshot, message)
  }

  #watched(source: AsyncIterable<Uint8Array>, both: boolean): AsyncGenerator<Uint8Array> {
    const onStall = (): void =>
      this.#broken(new NetworkError(`${this.node} did not go on with a stream for ${peerLimits.stallMs} ms`))
    return watched(this.#context.clock, source, { ms: peerLimits.stallMs, both, onStall })
  }

  #run(what: string, task: () => Promise<void>): void {
    this.#context.tasks.run(
      `${what} with ${this.node}`,
      async () => {
        try {
          await task()
        } catch (error) {
          this.#broken(error)
        }
      },
      this.signal,
    )
  }

  #broken(error: unknown): void {
    if (!this.signal.aborted) this.#events.onBroken(this.node, error)
  }

  async #followMembers(): Promise<void> {
    for (;;) {
      await this.#membersWake.wait()
      if (this.signal.aborted) return
      await exchangeMembers(this.#context, this.#book, this.node, this.signal)
    }
  }

  async #followDamage(): Promise<void> {
    await this.#listed.promise
    for (;;) {
      await this.#damagedWake.wait()
      if (this.signal.aborted) return
      const ids = [...this.#damaged]
      this.#damaged.clear()
      await this.#receiver.ask(ids)
    }
  }

  /** Our `state` stream: it lasts as long as the connection. */
  async #tellStates(): Promise<void> {
    const sender = new StateSender(this.#context, this.signal)
    const messages = this.#watched(sender.messages(), false)
    const answers = this.#context.network.open(this.node, protocols.state, messages, { signal: this.signal })
    for await (const bytes of answers) {
      const message = decodeState(bytes)
      if (message.kind === 'ask') sender.ask(message.ids)
    }
    throw new NetworkError(`${this.node} ended the stream of states`)
  }

  async #reconcile(): Promise<void> {
    const { clock, random, evidence } = this.#context
    await this.#listed.promise
    for (;;) {
      if (this.signal.aborted) return
      await this.#timedRound()
      evidence.markReconciled(this.node)
      this.#events.onReconciled(this.node)
      const { reconcileMinMs, reconcileMaxMs } = peerLimits
      const pause = reconcileMinMs + (reconcileMaxMs - reconcileMinMs) * random.uniform()
      using _ = timerOf(clock.setTimer(() => this.#roundWake.wake(), pause))
      await this.#roundWake.wait()
    }
  }

  async #timedRound(): Promise<void> {
    const { clock } = this.#context
    // Whatever the round waits for ends with the session.
    const tooLong = (): void => this.#broken(new NetworkError(`comparing took more than ${peerLimits.roundMs} ms`))
    using _ = timerOf(clock.setTimer(tooLong, peerLimits.roundMs))
    await this.#round()
  }

  /**
   * Compares all settled documents over one snapshot on each side, then asks for the states of what differs, of our open
   * documents, and of what the node seems to lack: answers come in order with its changes and are the last word.
   */
  async #round(): Promise<void> {
    const asked = new Set<DocumentId>()
    const ask = async (ids: readonly DocumentId[]): Promise<void> => {
      for (const id of ids) asked.add(id)
      await this.#receiver.ask(ids)
    }
    await using snapshot = await this.#context.store.snapshot()
    const differing = new Set<DocumentId>()
    await this.#compareSettled(snapshot, differing)
    for await (const { id } of snapshot.openDocuments()) differing.add(id)
    for (const id of this.#lacked(differing)) differing.add(id)
    await ask([...differing])
    // What changed here meanwhile is not known to be there, though it may have been all along.
    for (let again = 0; again < 2; again++) await ask(this.#lacked(asked))
  }

  async #compareSettled(snapshot: Parameters<typeof startReconcile>[0], differing: Set<DocumentId>): Promise<void> {
    const session = startReconcile(snapshot)
    const outgoing = new Mailbox<Uint8Array>(1)
    using _ = closeOnAbort(outgoing, this.signal)
    const first = await session.next()
    if (first === undefined) return
    outgoing.put(first)
    const answers = this.#context.network.open(this.node, protocols.reconcile, outgoing, { signal: this.signal })
    for await (const answer of answers) {
      for await (const { id } of session.receive(answer)) differing.add(id)
      if (differing.size > peerLimits.differences)
        throw new NetworkError(`${this.node} differs in more than ${peerLimits.differences} documents`)
      const next = await session.next()
      if (next === undefined) outgoing.close()
      else outgoing.put(next)
    }
  }

  #lacked(except: ReadonlySet<DocumentId>): DocumentId[] {
    const ids: DocumentId[] = []
    for (const [id, { ahead }] of this.#context.evidence.differences(this.node))
      if (ahead !== none && ahead.records > 0 && !except.has(id)) ids.push(id)
    return ids
  }
}

function timerOf(timer: { cancel(): void }): Disposable {
  return { [Symbol.dispose]: () => timer.cancel() }
}
