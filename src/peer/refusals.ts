/** Counts what each node did wrong: of how many documents its bytes were refused, and when it was last logged. */
import type { Clock, DocumentId, NodeId } from '../model/index.ts'
import { peerLimits } from './constants.ts'

export class Refusals {
  readonly #clock: Clock
  readonly #times = new Map<NodeId, ReadonlyMap<DocumentId, number>>()
  readonly #logged = new Map<NodeId, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Counts one refused transfer; true when the node has had too many in `refusalWindowMs` and is to be left alone. One
   * document counts once: two honest nodes may differ about a forked or revoked one for ever.
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
