import type { NodeId } from '../../model/index.ts'
import { constants } from './constants.ts'

/** What the choice between two connections to one node depends on. */
export interface LinkFacts {
  /** The other side dialled. */
  readonly inbound: boolean
  /** Monotonic ms when it was opened. */
  readonly openedMs: number
}

/**
 * Says whether a new connection to a node replaces the one that exists; the other one is cut. Both sides have to come
 * to the same answer, or both connections die. When both dialled at once, what the lower id dialled stays.
 * Otherwise the newer stays: a node that has a live connection does not dial, so the older one is dead there.
 */
export function supersedes(existing: LinkFacts, next: LinkFacts, self: NodeId, other: NodeId): boolean {
  const simultaneous =
    existing.inbound !== next.inbound && next.openedMs - existing.openedMs < constants.simultaneousDialMs
  if (!simultaneous) return true
  return next.inbound === other < self
}
