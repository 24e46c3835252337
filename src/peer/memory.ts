/**
 * What a node remembers of its peers across restarts, in the store's side table: addresses, when they were last seen, and
 * after a clean stop what was known about what they hold. Evidence itself never outlives a run.
 */
import { parseNodeId, type NodeId, type TimeUs } from '../model/index.ts'
import type { SideTable, Store } from '../store/index.ts'
import { peerLimits } from './constants.ts'
import type { Amount } from './tips.ts'
import { usableAddresses } from './usable-addresses.ts'

/** As stored under `peer/addr/<node>`. */
const addressPrefix = 'peer/addr/'
/** As stored under `peer/seen/<node>`. */
const seenPrefix = 'peer/seen/'
/** Of the last clean stop: `{ digest, atRisk }`. */
const evidenceName = 'peer/evidence'
/** Where this node could last be reached. */
const ownName = 'peer/self'

export interface Seen {
  readonly lastSeen?: TimeUs
  readonly lastSynced?: TimeUs
  /** As of the last clean stop, if it was reconciled then. */
  readonly behind?: Amount
  readonly ahead?: Amount
}

/** Remembers where a node can be reached: it is dialled at the next start. */
export async function rememberAddresses(store: Store, node: NodeId, addresses: readonly string[]): Promise<void> {
  const kept = usableAddresses(node, addresses).slice(0, peerLimits.targetAddresses)
  if (kept.length > 0) await store.side.put(addressPrefix + node, kept, { lazy: true })
}

export async function* rememberedAddresses(side: SideTable): AsyncGenerator<readonly [NodeId, readonly string[]]> {
  for await (const [name, value] of side.entries(addressPrefix))
    if (Array.isArray(value)) yield [parseNodeId(name.slice(addressPrefix.length)), value.filter(isAddress)]
}

export async function rememberOwnAddresses(side: SideTable, addresses: readonly string[]): Promise<void> {
  if (addresses.length > 0) await side.put(ownName, addresses, { lazy: true })
}

export async function ownAddresses(side: SideTable): Promise<readonly string[]> {
  const value = await side.get(ownName)
  return Array.isArray(value) ? value.filter(isAddress) : []
}

export async function rememberSeen(side: SideTable, node: NodeId, seen: Seen): Promise<void> {
  await side.put(seenPrefix + node, seen, { lazy: true })
}

export async function loadSeen(side: SideTable): Promise<Map<NodeId, Seen>> {
  const seen = new Map<NodeId, Seen>()
  for await (const [name, value] of side.entries(seenPrefix))
    seen.set(parseNodeId(name.slice(seenPrefix.length)), value as Seen)
  return seen
}

/** What was at risk at a clean stop: true only as long as the documents are what they were, so the digest goes with it. */
export async function rememberAtRisk(store: Store, atRisk: number): Promise<void> {
  await store.side.put(evidenceName, { digest: await store.digest(), atRisk })
}

/** A running node's evidence is in its memory: what a former stop left would be outdated after a crash. */
export async function forgetAtRisk(side: SideTable): Promise<void> {
  if ((await side.get(evidenceName)) !== undefined) await side.delete(evidenceName)
}

/** `undefined`: there was no clean stop, or the documents have changed since. */
export async function rememberedAtRisk(store: Store): Promise<number | undefined> {
  const value = (await store.side.get(evidenceName)) as { digest: string; atRisk: number } | undefined
  return value !== undefined && value.digest === (await store.digest()) ? value.atRisk : undefined
}

function isAddress(value: unknown): value is string {
  return typeof value === 'string' && value.length <= peerLimits.addressChars
}
