import type { ActorId, ChangeHash, DocumentId, NodeId } from '../../model/index.ts'

/** What the rule needs to know of one change. */
export interface ChangeFacts {
  readonly hash: ChangeHash
  readonly actor: ActorId
  readonly seq: number
  readonly deps: readonly ChangeHash[]
  /** Who signed it: the node of its actor. */
  readonly node: NodeId
}

/**
 * Says which changes of one document count. All of a node in good standing whose history is complete, with all they
 * depend on, whoever wrote it; of a revoked node also those up to the kept sequence of their actor, if all they depend
 * on stays. A pure function of the set of changes and of the revocations: more changes, or longer keep lists, never
 * take a change away. `revocationOf`: see `MembersSet.revocation`.
 */
export function keptChanges(
  document: DocumentId,
  changes: Iterable<ChangeFacts>,
  revocationOf: (node: NodeId) => ReadonlyMap<string, number> | undefined,
): Set<ChangeHash> {
  const ordered = complete(changes)

  const needed = new Set<ChangeHash>()
  for (const change of ordered.toReversed())
    if (needed.has(change.hash) || revocationOf(change.node) === undefined)
      for (const hash of [change.hash, ...change.deps]) needed.add(hash)

  const kept = new Set<ChangeHash>()
  for (const change of ordered) {
    const keptSeq = revocationOf(change.node)?.get(`${document}|${change.actor}`) ?? 0
    if (needed.has(change.hash) || (change.seq <= keptSeq && change.deps.every((hash) => kept.has(hash))))
      kept.add(change.hash)
  }
  return kept
}

/** Changes whose whole history is in the set, each after all it depends on (Kahn's algorithm). */
function complete(changes: Iterable<ChangeFacts>): ChangeFacts[] {
  const byHash = new Map([...changes].map((change) => [change.hash, change]))
  const waiting = new Map<ChangeHash, number>()
  const dependents = new Map<ChangeHash, ChangeFacts[]>()
  const ready: ChangeFacts[] = []
  for (const change of byHash.values()) {
    const deps = new Set(change.deps)
    waiting.set(change.hash, deps.size)
    if (deps.size === 0) ready.push(change)
    for (const hash of deps) {
      const list = dependents.get(hash)
      if (list === undefined) dependents.set(hash, [change])
      else list.push(change)
    }
  }
  // `ready` grows while it is read: a change is appended when the last of its dependencies has been read.
  for (const change of ready)
    for (const dependent of dependents.get(change.hash) ?? []) {
      const left = (waiting.get(dependent.hash) ?? 0) - 1
      waiting.set(dependent.hash, left)
      if (left === 0) ready.push(dependent)
    }
  return ready
}
