/**
 * Our side of a `state` stream: what we hold of every open document, then of every document after it changed, settled ones
 * too, and answers to questions. A state is read from a snapshot, so it tells of synced writes only, and the last word
 * about a document is always the newest: that is what makes it an acknowledgement.
 */
import { LimitError, type DocumentId } from '../model/index.ts'
import type { StoreSnapshot } from '../store/index.ts'
import { peerLimits } from './constants.ts'
import type { PeerContext } from './context.ts'
import { Wake } from './mailbox.ts'
import { encodeState, reportBytes, reportOf, type StateReport } from './messages.ts'

export class StateSender {
  readonly #context: PeerContext
  readonly #signal: AbortSignal
  readonly #wake = new Wake()
  readonly #asks: (readonly DocumentId[])[] = []
  #changed = new Set<DocumentId>()
  #due = false

  constructor(context: PeerContext, signal: AbortSignal) {
    this.#context = context
    this.#signal = signal
  }

  /** Takes a question of the peer. Throws `LimitError` when too many wait. */
  ask(ids: readonly DocumentId[]): void {
    if (this.#asks.length >= peerLimits.waitingAsks)
      throw new LimitError(`more than ${peerLimits.waitingAsks} questions wait for their answer`)
    this.#asks.push(ids)
    this.#wake.wake()
  }

  /** The messages of the stream. Ends when the signal aborts. */
  async *messages(): AsyncGenerator<Uint8Array> {
    const { store } = this.#context
    const onAbort = (): void => this.#wake.wake()
    this.#signal.addEventListener('abort', onAbort)
    // Before the list is read: what becomes durable from here on is told.
    const unsubscribe = store.onChange(({ state }) => this.#note(state.id))
    try {
      yield* this.#list()
      while (!this.#signal.aborted) {
        const asked = this.#asks.shift()
        if (asked !== undefined) yield* this.#answer(asked)
        else if (this.#due) yield* this.#tell()
        else await this.#wake.wait()
      }
    } finally {
      unsubscribe()
      this.#signal.removeEventListener('abort', onAbort)
    }
  }

  #note(id: DocumentId): void {
    if (this.#changed.size === 0)
      this.#context.clock.setTimer(() => {
        this.#due = true
        this.#wake.wake()
      }, peerLimits.stateDelayMs)
    this.#changed.add(id)
  }

  async *#list(): AsyncGenerator<Uint8Array> {
    await using snapshot = await this.#context.store.snapshot()
    const open = mapped(snapshot.openDocuments(), reportOf)
    for await (const { states } of pages(open)) yield encodeState({ kind: 'states', states })
    yield encodeState({ kind: 'listed' })
  }

  async *#tell(): AsyncGenerator<Uint8Array> {
    const changed = this.#changed
    this.#changed = new Set()
    this.#due = false
    await using snapshot = await this.#context.store.snapshot()
    for await (const { states } of pages(reports(snapshot, changed))) yield encodeState({ kind: 'states', states })
  }

  async *#answer(ids: readonly DocumentId[]): AsyncGenerator<Uint8Array> {
    await using snapshot = await this.#context.store.snapshot()
    for await (const { states, last } of pages(reports(snapshot, ids)))
      yield encodeState({ kind: 'answer', states, last })
  }
}

/** What a snapshot holds of each document: of one it does not hold, nothing. */
async function* reports(snapshot: StoreSnapshot, ids: Iterable<DocumentId>): AsyncGenerator<StateReport> {
  for (const id of ids) {
    const state = await snapshot.state(id)
    yield state === undefined ? { id, tips: [], settled: false } : reportOf(state)
  }
}

/** Fills messages; at least one, and only the last says so. */
async function* pages(
  reports: AsyncIterable<StateReport>,
): AsyncGenerator<{ readonly states: StateReport[]; readonly last: boolean }> {
  let states: StateReport[] = []
  let bytes = 0
  for await (const report of reports) {
    const size = reportBytes(report)
    if (states.length > 0 && (bytes + size > peerLimits.pageBytes || states.length >= peerLimits.statesPerMessage)) {
      yield { states, last: false }
      states = []
      bytes = 0
    }
    states.push(report)
    bytes += size
  }
  yield { states, last: true }
}

async function* mapped<A, B>(items: AsyncIterable<A>, map: (item: A) => B): AsyncGenerator<B> {
  for await (const item of items) yield map(item)
}
