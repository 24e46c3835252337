import type { NodeId, TimeUs } from '../model/index.ts'
import type { Member, Role, Store } from '../store/index.ts'
import { loadSeen, rememberedAddresses, rememberedAtRisk, type Seen } from './memory.ts'
import { none, type Amount } from './tips.ts'

/** What is known about one other member. */
export interface PeerStatus {
  readonly node: NodeId
  readonly name: string
  readonly role: Role
  readonly connected: boolean
  /** What it has that we lack, as far as it told. */
  readonly behind: Amount
  /** Of what we have, what it has not acknowledged: everything until it was reconciled in its present run. */
  readonly ahead: Amount
  /** Reconciled in this run, and nothing is lacking on either side as far as is known. */
  readonly synced: boolean
  readonly lastSeen?: TimeUs
  readonly lastSynced?: TimeUs
  readonly addresses: readonly string[]
  readonly lastError?: string
}

/** The members of the site that this node can connect to. */
export function otherMembers(store: Store, own: NodeId | undefined): Member[] {
  return store.members
    .members()
    .filter(({ certificate, revoked, adopted }) => certificate.node !== own && !revoked && !adopted)
}

export function timesOf(seen: Seen | undefined): { lastSeen?: TimeUs; lastSynced?: TimeUs } {
  return {
    ...(seen?.lastSeen === undefined ? {} : { lastSeen: seen.lastSeen }),
    ...(seen?.lastSynced === undefined ? {} : { lastSynced: seen.lastSynced }),
  }
}

/**
 * What a stopped node knew when it stopped. After a crash, or when the documents have changed since, it knows nothing: all
 * records count as at risk and as ahead of everybody.
 */
export async function storedPeerStatus(
  store: Store,
): Promise<{ readonly peers: readonly PeerStatus[]; readonly atRisk: number }> {
  const { records, bytes } = await store.totals()
  const atRisk = await rememberedAtRisk(store)
  const seen = await loadSeen(store.side)
  const addresses = new Map<NodeId, readonly string[]>()
  for await (const [node, known] of rememberedAddresses(store.side)) addresses.set(node, known)
  const peers = otherMembers(store, store.node).map(({ certificate: { node, name, role } }) => {
    const known = seen.get(node)
    return {
      node,
      name,
      role,
      connected: false,
      behind: known?.behind ?? none,
      ahead: (atRisk === undefined ? undefined : known?.ahead) ?? { records, bytes },
      synced: false,
      ...timesOf(known),
      addresses: addresses.get(node) ?? [],
    }
  })
  return { peers, atRisk: atRisk ?? records }
}
