/**
 * A damaged document is refilled by others, and they may not have had all of it: what is undamaged here, was signed, and
 * connects to what they sent is kept.
 */
import {
  DamagedError,
  RefusedError,
  type ActorId,
  type ChangeHash,
  type DocumentId,
  type NodeId,
} from '../model/index.ts'
import { readChangeHeader, type ChangeHeader } from './change.ts'
import { under } from './keys.ts'
import type { Ledger } from './ledger.ts'
import type { DocumentRow } from './rows.ts'
import { tipMessage } from './signing.ts'
import type { SignedTip } from './types.ts'

interface Kept {
  readonly chunk: Uint8Array
  readonly header: ChangeHeader
  readonly author: NodeId
}

/**
 * Gives the changes stored here that may follow `refill`, each after all it depends on, with their signed tips: of every
 * actor those up to the tip that was recorded, or none. Where the record is lost too, this node signs its own once more.
 * `authorOf` throws `RefusedError` for a change that may not stay.
 */
export async function salvage(
  ledger: Ledger,
  id: DocumentId,
  row: DocumentRow,
  refill: readonly ChangeHeader[],
  authorOf: (header: ChangeHeader) => NodeId,
): Promise<{ readonly changes: readonly Kept[]; readonly tips: readonly SignedTip[] }> {
  const recorded = new Map(row.quarantined?.tips?.map((tip) => [tip.actor, tip]))
  const stored = await undamaged(ledger, id, authorOf)
  const refused = new Set<ActorId>()
  for (;;) {
    const changes = connecting(stored, refill, refused)
    const newest = new Map(changes.map(({ header }) => [header.actor, header]))
    const tips: SignedTip[] = []
    const before = refused.size
    for (const [actor, header] of newest) {
      const tip = recorded.get(actor) ?? ownTip(ledger, id, header)
      if (tip?.seq === header.seq && tip.hash === header.hash) tips.push(tip)
      else refused.add(actor)
    }
    // Without an actor's changes those that depend on them do not connect either: look again.
    if (refused.size === before) return { changes, tips }
  }
}

async function undamaged(ledger: Ledger, id: DocumentId, authorOf: (header: ChangeHeader) => NodeId): Promise<Kept[]> {
  const { database } = ledger.options
  const kept: Kept[] = []
  for await (const key of database.keys(under(`c\0${id}`)))
    try {
      const chunk = await database.get(key)
      if (chunk === undefined) continue
      const header = readChangeHeader(chunk)
      kept.push({ chunk, header, author: authorOf(header) })
    } catch (error) {
      if (!(error instanceof DamagedError) && !(error instanceof RefusedError)) throw error
    }
  return kept
}

/** Changes whose dependencies and predecessors are all in `refill` or come before them; the stored order is causal. */
function connecting(stored: readonly Kept[], refill: readonly ChangeHeader[], refused: ReadonlySet<ActorId>): Kept[] {
  const here = new Set<ChangeHash>(refill.map(({ hash }) => hash))
  const seqs = new Map(refill.map(({ actor, seq }) => [actor, seq]))
  const changes: Kept[] = []
  for (const change of stored) {
    const { actor, seq, hash, deps } = change.header
    const follows = seq === (seqs.get(actor) ?? 0) + 1 && deps.every((dep) => here.has(dep))
    if (!follows || refused.has(actor)) continue
    here.add(hash)
    seqs.set(actor, seq)
    changes.push(change)
  }
  return changes
}

function ownTip(ledger: Ledger, id: DocumentId, { actor, seq, hash }: ChangeHeader): SignedTip | undefined {
  const { signer, members } = ledger.options
  if (signer === undefined || members.nodeOfActor(actor) !== signer.node) return undefined
  return { actor, seq, hash, records: 0, bytes: 0, signature: signer.sign(tipMessage(id, actor, seq, hash)) }
}
