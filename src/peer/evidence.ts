/**
 * What is known about what the other nodes hold, from states they sent after their synced writes. Never a guess: a peer
 * that has not been reconciled in this run counts as holding nothing. Per peer only differences are kept, so equal
 * stores of any size cost nothing.
 */
import { RefusedError, type DocumentId, type NodeId, type RunId } from '../model/index.ts'
import type { StoreChange } from '../store/index.ts'
import { peerLimits } from './constants.ts'
import { covers, missing, none, nothing, recordsNowhere, type Amount, type Holding, type Tips } from './tips.ts'

/** One document in which a peer differs from us. */
export interface Difference {
  readonly theirs: Holding
  readonly ours: Holding
  /** What we lack of theirs, what they lack of ours. */
  readonly behind: Amount
  readonly ahead: Amount
}

interface PeerEvidence {
  readonly run: RunId
  /** Whether every document has been compared in this peer's run: then what is not in `differs` is equal. */
  reconciled: boolean
  readonly differs: Map<DocumentId, Difference>
  behind: Amount
  ahead: Amount
}

/** Own changes since it was made: what a snapshot taken after it may not show yet. */
export interface Watch extends Disposable {
  /** The newest own holding if the document changed since. */
  own(id: DocumentId): Holding | undefined
}

export class Evidence {
  readonly #peers = new Map<NodeId, PeerEvidence>()
  readonly #own = new Map<DocumentId, Holding>()
  readonly #watches = new Set<Map<DocumentId, Holding>>()

  /** Begins (or goes on with) a peer's run. Acknowledgements of another run are void. */
  begin(node: NodeId, run: RunId): void {
    if (this.#peers.get(node)?.run === run) return
    this.#peers.set(node, { run, reconciled: false, differs: new Map(), behind: none, ahead: none })
  }

  /** Forgets a peer: after its revocation nothing it acknowledged counts. */
  forget(node: NodeId): void {
    this.#peers.delete(node)
  }

  isReconciled(node: NodeId): boolean {
    return this.#peers.get(node)?.reconciled === true
  }

  markReconciled(node: NodeId): void {
    const peer = this.#peers.get(node)
    if (peer !== undefined) peer.reconciled = true
  }

  /** Nodes reconciled in their present run. */
  reconciled(): NodeId[] {
    return [...this.#peers].filter(([, peer]) => peer.reconciled).map(([node]) => node)
  }

  /** What the peer lacks of ours and we of theirs; `undefined`: not reconciled, nothing is known. */
  amounts(node: NodeId): { readonly behind: Amount; readonly ahead: Amount } | undefined {
    const peer = this.#peers.get(node)
    return peer?.reconciled === true ? { behind: peer.behind, ahead: peer.ahead } : undefined
  }

  /** What is known to be missing here, reconciled or not. */
  behind(node: NodeId): Amount {
    return this.#peers.get(node)?.behind ?? none
  }

  difference(node: NodeId, id: DocumentId): Difference | undefined {
    return this.#peers.get(node)?.differs.get(id)
  }

  differences(node: NodeId): IterableIterator<readonly [DocumentId, Difference]> {
    return (this.#peers.get(node)?.differs ?? new Map<DocumentId, Difference>()).entries()
  }

  /** Nodes that have of this document what we lack. */
  holders(id: DocumentId): NodeId[] {
    return [...this.#peers].filter(([, peer]) => isWanted(peer.differs.get(id))).map(([node]) => node)
  }

  /** Whether a reconciled peer holds exactly what we hold of this document. */
  confirmed(id: DocumentId): boolean {
    return [...this.#peers.values()].some(({ reconciled, differs }) => {
      const difference = differs.get(id)
      return reconciled && (difference === undefined || isEqual(difference.theirs, difference.ours))
    })
  }

  /** Remembers what we hold of a document before it changes, so that the change is told from the whole. */
  remember(id: DocumentId, holding: Holding): void {
    this.#own.delete(id)
    this.#own.set(id, holding)
    if (this.#own.size > peerLimits.rememberedStates) {
      const [oldest] = this.#own.keys()
      this.#own.delete(oldest as DocumentId)
    }
  }

  /** Follows an own durable change: everyone who had all before it lacks it now. */
  changed(change: StoreChange): void {
    const { id } = change.state
    const ours = holdingOf(change.state)
    const before = this.#own.get(id)?.tips ?? tipsBefore(change)
    for (const watch of this.#watches) watch.set(id, ours)
    this.remember(id, ours)
    for (const peer of this.#peers.values()) {
      const theirs = peer.differs.get(id)?.theirs ?? (peer.reconciled ? { tips: before } : nothing)
      put(peer, id, theirs, ours)
    }
  }

  watch(): Watch {
    const changes = new Map<DocumentId, Holding>()
    this.#watches.add(changes)
    return { own: (id) => changes.get(id), [Symbol.dispose]: () => void this.#watches.delete(changes) }
  }

  /**
   * Takes a peer's word about one document, beside our present holding of it. Gives the difference that remains.
   * Throws `RefusedError` when a peer reports more than can be kept.
   */
  report(node: NodeId, id: DocumentId, theirs: Holding, ours: Holding): Difference | undefined {
    const peer = this.#peers.get(node)
    if (peer === undefined) return undefined
    if (peer.differs.size >= peerLimits.differences && !peer.differs.has(id))
      throw new RefusedError(`${node} differs in more than ${peerLimits.differences} documents`)
    put(peer, id, theirs, ours)
    return peer.differs.get(id)
  }

  /**
   * Records of which no other node has acknowledged a synced write: `total` while nobody is reconciled, else the sum
   * over the documents that every reconciled peer lacks.
   */
  atRisk(total: number): number {
    const peers = [...this.#peers.values()].filter((peer) => peer.reconciled)
    const smallest = peers.reduce<PeerEvidence | undefined>(
      (least, peer) => (least === undefined || peer.differs.size < least.differs.size ? peer : least),
      undefined,
    )
    if (smallest === undefined) return total
    let records = 0
    for (const [id, { ours }] of smallest.differs) {
      const found = peers.map((peer) => peer.differs.get(id))
      if (found.every((difference) => difference !== undefined))
        records += recordsNowhere(
          ours.tips,
          found.map(({ theirs }) => theirs.tips),
        )
    }
    return records
  }
}

export function holdingOf(state: { readonly tips: Tips; readonly seal?: string }): Holding {
  return state.seal === undefined ? { tips: state.tips } : { tips: state.tips, seal: state.seal }
}

/** Whether a difference is something to pull: changes that we lack, or a seal over all that we hold. */
export function isWanted(difference: Difference | undefined): boolean {
  if (difference === undefined) return false
  const { theirs, ours } = difference
  return !covers(ours.tips, theirs.tips) || wantsSeal(theirs, ours)
}

function wantsSeal(theirs: Holding, ours: Holding): boolean {
  return theirs.seal !== undefined && ours.seal === undefined && covers(theirs.tips, ours.tips)
}

function isEqual(a: Holding, b: Holding): boolean {
  return covers(a.tips, b.tips) && covers(b.tips, a.tips)
}

/**
 * What was held before a change that we did not see the document of: sealing and rebuilding add nothing; of the
 * authors in a change nothing counts as held, which can only overstate what others lack.
 */
function tipsBefore(change: StoreChange): Tips {
  if (change.changes !== undefined) {
    const authors = new Set(change.changes.tips.map((tip) => tip.actor))
    return change.state.tips.filter((tip) => !authors.has(tip.actor))
  }
  return change.from === 'local' ? change.state.tips : []
}

function put(peer: PeerEvidence, id: DocumentId, theirs: Holding, ours: Holding): void {
  const known = peer.differs.get(id)
  if (known !== undefined) {
    peer.behind = minus(peer.behind, known.behind)
    peer.ahead = minus(peer.ahead, known.ahead)
  }
  if (isEqual(theirs, ours) && !wantsSeal(theirs, ours)) {
    peer.differs.delete(id)
    return
  }
  const difference = { theirs, ours, behind: missing(ours.tips, theirs.tips), ahead: missing(theirs.tips, ours.tips) }
  peer.differs.set(id, difference)
  peer.behind = plus(peer.behind, difference.behind)
  peer.ahead = plus(peer.ahead, difference.ahead)
}

function plus(a: Amount, b: Amount): Amount {
  return { records: a.records + b.records, bytes: a.bytes + b.bytes }
}

function minus(a: Amount, b: Amount): Amount {
  return { records: a.records - b.records, bytes: a.bytes - b.bytes }
}
