/** Pure comparison of what two nodes hold of one document. Lists of tips are sorted by actor, each actor once. */
import type { Tip } from '../store/index.ts'

export type Tips = readonly Tip[]

/** What one node holds of a document: nothing is the empty list of tips. */
export interface Holding {
  readonly tips: Tips
  /** SHA-256 of the seal statement if it is stored sealed. */
  readonly seal?: string
}

export const nothing: Holding = { tips: [] }

/** Records and bytes. */
export interface Amount {
  readonly records: number
  readonly bytes: number
}

export const none: Amount = { records: 0, bytes: 0 }

/** Whether everything in `whole` is also in `held`. Of one sequence number with two hashes (a fork) neither covers the other. */
export function covers(held: Tips, whole: Tips): boolean {
  for (const [tip, other] of paired(whole, held)) if (!includes(other, tip)) return false
  return true
}

/**
 * What `held` lacks of `whole`. Counts are cumulative per actor, so an actor's newest tip tells all; what `held` claims
 * counts at most as much as `whole` has.
 */
export function missing(held: Tips, whole: Tips): Amount {
  let records = 0
  let bytes = 0
  for (const [tip, other] of paired(whole, held)) {
    if (includes(other, tip)) continue
    const known = other !== undefined && other.seq < tip.seq ? other : none
    records += tip.records - Math.min(known.records, tip.records)
    bytes += tip.bytes - Math.min(known.bytes, tip.bytes)
  }
  return { records, bytes }
}

/** Records of `whole` that none of several holders has, the best of them taken per actor. */
export function recordsNowhere(whole: Tips, holders: readonly Tips[]): number {
  let records = 0
  const found = holders.map((tips) => new Map(tips.map((tip) => [tip.actor, tip])))
  for (const tip of whole) {
    let best = 0
    for (const tips of found) {
      const other = tips.get(tip.actor)
      if (includes(other, tip)) best = tip.records
      else if (other !== undefined && other.seq < tip.seq) best = Math.max(best, Math.min(other.records, tip.records))
    }
    records += tip.records - best
  }
  return records
}

/**
 * A higher sequence of the same actor includes a lower one, since each change names the one before it. Tips alone do not
 * show whether the higher one continues the lower or forked below it: that comes out, as a refusal, when it is pulled.
 * Under one sequence two hashes are a fork, and neither includes the other, so what is at risk is never understated there.
 */
function includes(held: Tip | undefined, tip: Tip): boolean {
  return held !== undefined && (held.seq > tip.seq || (held.seq === tip.seq && held.hash === tip.hash))
}

/** Each tip of `a` with the tip of the same actor in `b`. */
function* paired(a: Tips, b: Tips): Generator<[Tip, Tip | undefined]> {
  let j = 0
  for (const tip of a) {
    while (j < b.length && (b[j] as Tip).actor < tip.actor) j++
    const other = b[j]
    yield [tip, other?.actor === tip.actor ? other : undefined]
  }
}
