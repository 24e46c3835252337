/** Change sets that a peer could send: honest ones, and every kind of dishonest one. */
import {
  actorPrefixOf,
  makeRunId,
  journalId,
  defaultGroup,
  type ActorId,
  type DocumentId,
  type Reading,
} from '../../src/model/index.ts'
import type { ChangeSet, SignedTip, Signer } from '../../src/store/index.ts'
import { newHandle, type Handle } from '../../src/store/automerge.ts'
import { encodeBatch } from '../../src/store/batch-codec/index.ts'
import { readChangeHeader } from '../../src/store/change.ts'
import { tipMessage } from '../../src/store/signing.ts'

/** Writes changes of one actor of a node to one document, without a store that would keep it honest. */
export class Forger {
  readonly id: DocumentId
  readonly actor: ActorId
  readonly handle: Handle
  readonly changes: Uint8Array[] = []
  readonly #signer: Signer
  #time = 1_700_000_000_000_000

  /** `actor`: a number of its own, or a whole id to clone; `of`: whose actor it claims to be. */
  constructor(
    signer: Signer,
    id: DocumentId,
    options: { readonly actor?: number | ActorId; readonly of?: Signer } = {},
  ) {
    this.#signer = signer
    this.id = id
    const { actor = 1, of = signer } = options
    this.actor =
      typeof actor === 'string' ? actor : ((actorPrefixOf(of.node) + actor.toString(16).padStart(16, '0')) as ActorId)
    this.handle = newHandle(this.actor)
  }

  /** Commits what `edit` does to the document as one change. */
  change(edit: (handle: Handle) => void, time: number = ++this.#time): this {
    edit(this.handle)
    this.handle.commit(undefined, time)
    this.changes.push(this.handle.getLastLocalChange() as Uint8Array)
    return this
  }

  /** One honest flush of a journal. */
  flush(readings: readonly Reading[]): this {
    const seq = String(this.changes.length + 1)
    return this.change((handle) => handle.put('_root', seq, encodeBatch(readings), 'bytes'))
  }

  put(key: string, value: string | number | Uint8Array): this {
    return this.change((handle) => handle.put('_root', key, value))
  }

  /** Takes in changes of others, so that the next one depends on them. */
  merge(changes: readonly Uint8Array[]): this {
    this.handle.applyChanges([...changes])
    return this
  }

  tip(signer: Signer = this.#signer): SignedTip {
    const { actor, seq, hash } = readChangeHeader(this.changes.at(-1) as Uint8Array)
    return { actor, seq, hash, records: 0, bytes: 0, signature: signer.sign(tipMessage(this.id, actor, seq, hash)) }
  }

  /** The changes from `from` (0 is the first) with the signed tip. */
  set(from = 0, signer: Signer = this.#signer): ChangeSet {
    return { document: this.id, changes: this.changes.slice(from), tips: [this.tip(signer)] }
  }
}

/** Id of a journal of a node of some earlier run. */
export function journalOf(signer: Signer, run = 1, number = 1): DocumentId {
  return journalId(defaultGroup, signer.node, makeRunId(1_700_000_000_000 + run, new Uint8Array(4)), number)
}
