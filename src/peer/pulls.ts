/**
 * Decides what is pulled from whom: per peer the most urgent first, a bounded number at once, no document from two peers
 * at the same time, and from another peer when one fails. What is wanted is always what the evidence says.
 */
import { parseDocumentId, RefusedError, type DocumentId, type NodeId } from '../model/index.ts'
import { peerLimits } from './constants.ts'
import { reasonOf, type PeerContext } from './context.ts'
import { isWanted } from './evidence.ts'
import { Heap } from './heap.ts'
import { comparePriorities, priorityOf, type Priority } from './priority.ts'
import { pullDocument } from './transfer.ts'

export interface PullEvents {
  /** A document that a node sent did not verify. */
  readonly onRefused: (node: NodeId, id: DocumentId, error: RefusedError) => void
  /** Something of a peer became durable here, or was found not to be needed. */
  readonly onSettled: (node: NodeId) => void
}

interface Source {
  readonly signal: AbortSignal
  readonly waiting: Heap<Priority>
  readonly queued: Set<DocumentId>
  active: number
}

/** `refused` is not tried again with the same node before the next reconciliation or change of the members. */
type Outcome = 'changed' | 'failed' | 'refused'

/** An open document that gossip may be bringing. */
interface Graced {
  readonly node: NodeId
  readonly id: DocumentId
  readonly dueMs: number
}

export class Pulls {
  readonly #context: PeerContext
  readonly #events: PullEvents
  /** How long an open document waits for gossip, ms. */
  readonly #graceMs: number
  readonly #sources = new Map<NodeId, Source>()
  readonly #inFlight = new Set<DocumentId>()
  readonly #attempts = new Map<DocumentId, number>()
  readonly #graced: Graced[] = []
  #graceTimer = false

  constructor(context: PeerContext, graceMs: number, events: PullEvents) {
    this.#context = context
    this.#graceMs = graceMs
    this.#events = events
  }

  /** Begins to pull from an admitted node, until the signal aborts. */
  begin(node: NodeId, signal: AbortSignal): void {
    const source = {
      signal,
      waiting: new Heap<Priority>(comparePriorities),
      queued: new Set<DocumentId>(),
      active: 0,
    }
    this.#sources.set(node, source)
    signal.addEventListener('abort', () => {
      if (this.#sources.get(node) === source) this.#sources.delete(node)
    })
  }

  /** A node has what we lack. Open documents are given a moment: gossip may be bringing them. */
  want(node: NodeId, id: DocumentId, settled: boolean): void {
    if (settled || this.#graceMs === 0 || this.#graced.length >= peerLimits.graceDocuments)
      return this.#queue(node, id, settled)
    this.#graced.push({ node, id, dueMs: this.#context.clock.monotonicMs() + this.#graceMs })
    this.#armGrace()
  }

  /** Pulls a document at once from whoever is known to have more of it: gossip showed a gap. */
  hurry(id: DocumentId): void {
    for (const node of this.#context.evidence.holders(id)) this.#queue(node, id, false)
  }

  /** After a reconciliation: everything this node has that we lack is tried again. */
  retry(node: NodeId): void {
    for (const [id, difference] of this.#context.evidence.differences(node)) {
      if (!isWanted(difference)) continue
      this.#attempts.delete(id)
      this.#queue(node, id, difference.theirs.seal !== undefined)
    }
  }

  #armGrace(): void {
    const [first] = this.#graced
    if (this.#graceTimer || first === undefined) return
    this.#graceTimer = true
    const { clock } = this.#context
    clock.setTimer(
      () => {
        this.#graceTimer = false
        const now = clock.monotonicMs()
        while (this.#graced[0] !== undefined && this.#graced[0].dueMs <= now) {
          const { node, id } = this.#graced.shift() as Graced
          this.#queue(node, id, false)
        }
        this.#armGrace()
      },
      Math.max(0, first.dueMs - clock.monotonicMs()),
    )
  }

  #queue(node: NodeId, id: DocumentId, settled: boolean): void {
    const source = this.#sources.get(node)
    if (source === undefined || source.queued.has(id) || this.#inFlight.has(id)) return
    const difference = this.#context.evidence.difference(node, id)
    if (!isWanted(difference)) return
    // A journal that this run writes is whole in memory: nobody has more of it. Once sealed it is not kept there.
    if (this.#isOfThisRun(id) && difference?.theirs.seal === undefined) return
    source.queued.add(id)
    source.waiting.push(priorityOf(id, settled))
    this.#pump()
  }

  #pump(): void {
    for (const [node, source] of this.#sources)
      while (source.active < peerLimits.pullsPerPeer && this.#inFlight.size < peerLimits.pullsInAll) {
        const next = source.waiting.pop()
        if (next === undefined) break
        source.queued.delete(next.id)
        if (this.#inFlight.has(next.id) || !isWanted(this.#context.evidence.difference(node, next.id))) continue
        this.#inFlight.add(next.id)
        source.active++
        this.#context.tasks.run(`pull of ${next.id}`, () => this.#run(node, source, next.id), source.signal)
      }
  }

  async #run(node: NodeId, source: Source, id: DocumentId): Promise<void> {
    let outcome: Outcome = 'failed'
    try {
      outcome = await this.#pull(node, source, id)
    } finally {
      source.active--
      this.#inFlight.delete(id)
      this.#after(node, id, outcome)
      this.#events.onSettled(node)
      this.#pump()
    }
  }

  async #pull(node: NodeId, source: Source, id: DocumentId): Promise<Outcome> {
    const { evidence, log } = this.#context
    const difference = evidence.difference(node, id)
    if (difference === undefined) return 'changed'
    try {
      const result = await pullDocument(this.#context, node, id, difference.theirs, source.signal)
      if (result === undefined) return 'failed'
      const sealed = difference.ours.seal === undefined && result.state.seal !== undefined
      return result.stored > 0 || sealed ? 'changed' : 'failed'
    } catch (error) {
      if (source.signal.aborted) return 'failed'
      if (error instanceof RefusedError) {
        // What this very run wrote it does not take from others: no fault of theirs.
        if (this.#isOfThisRun(id)) log('info', 'a journal of this run was not taken back', { node, document: id })
        else this.#events.onRefused(node, id, error)
        return 'refused'
      }
      log('warn', 'a pull failed', { node, document: id, reason: reasonOf(error) })
      return 'failed'
    }
  }

  #isOfThisRun(id: DocumentId): boolean {
    const parsed = parseDocumentId(id)
    return parsed.kind === 'journal' && parsed.run === this.#context.store.run
  }

  /** What is still lacking comes from whoever has it: at once after progress, else from others first. */
  #after(node: NodeId, id: DocumentId, outcome: Outcome): void {
    const { evidence, clock, random } = this.#context
    const holders = evidence.holders(id)
    if (holders.length === 0) {
      this.#attempts.delete(id)
      return
    }
    const attempts = outcome === 'changed' ? 0 : (this.#attempts.get(id) ?? 0) + 1
    this.#attempts.set(id, attempts)
    if (attempts >= peerLimits.pullAttempts) return
    const isSettled = (holder: NodeId): boolean => evidence.difference(holder, id)?.theirs.seal !== undefined
    for (const holder of holders)
      if (outcome === 'changed' || holder !== node) this.#queue(holder, id, isSettled(holder))
    if (outcome !== 'failed') return
    const pause = peerLimits.pullBackoffMs * 2 ** (attempts - 1) * (0.5 + random.uniform())
    clock.setTimer(() => this.#queue(node, id, isSettled(node)), pause)
  }
}
