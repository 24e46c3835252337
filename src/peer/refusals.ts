/**
 * Counts what each node did wrong: of how many documents its bytes were refused, until when it is left alone for that, and
 * when it was last logged.
 */
import type { Clock, DocumentId, NodeId, RunId } from '../model/index.ts'
import { peerLimits } from './constants.ts'

export class Refusals {
  readonly #clock: Clock
  readonly #times = new Map<NodeId, ReadonlyMap<DocumentId, number>>()
  readonly #alone = new Map<NodeId, { readonly untilMs: number; readonly run: RunId | undefined }>()
  readonly #logged = new Map<NodeId, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Counts one refused transfer that was the node's own fault (blame.ts); true when it has had too many in
   * `refusalWindowMs` and is to be left alone. One document counts once, however often it is tried.
   */
  count(node: NodeId, id: DocumentId): boolean {
    const now = this.#clock.monotonicMs()
    const known = this.#times.get(node) ?? new Map<DocumentId, number>()
    const recent = new Map([...known].filter(([, time]) => time > now - peerLimits.refusalWindowMs))
    recent.set(id, now)
    remember(this.#times, node, recent)
    if (recent.size < peerLimits.refusals) return false
    this.#times.delete(node)
    return true
  }

  /** Leaves a node alone, in this run of it, for `leftAloneMs`. */
  leaveAlone(node: NodeId, run: RunId | undefined): void {
    remember(this.#alone, node, { untilMs: this.#clock.monotonicMs() + peerLimits.leftAloneMs, run })
  }

  /** Whether the node is being left alone: in a new run it may have been mended. */
  isLeftAlone(node: NodeId, run: RunId): boolean {
    const known = this.#alone.get(node)
    if (known === undefined || this.#clock.monotonicMs() >= known.untilMs) return false
    return known.run === undefined || known.run === run
  }

  /** Whether a refused hello of this node is to be logged now: once in `refusalLogMs`, however often it comes back. */
  shouldLog(node: NodeId): boolean {
    const now = this.#clock.monotonicMs()
    const last = this.#logged.get(node)
    if (last !== undefined && now - last < peerLimits.refusalLogMs) return false
    remember(this.#logged, node, now)
    return true
  }
}

/** The node remembered longest makes room. */
function remember<T>(map: Map<NodeId, T>, node: NodeId, value: T): void {
  map.delete(node)
  map.set(node, value)
  const [oldest] = map.keys()
  if (map.size > peerLimits.refusedNodes && oldest !== undefined) map.delete(oldest)
}
