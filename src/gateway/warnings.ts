import { formatTime, limits, sensorMatcher, type NodeId } from '../model/index.ts'
import type { Store } from '../store/index.ts'
import { freeBytes, sameFileSystem, type Directory } from './directory.ts'
import { logDamage } from './log-damage.ts'
import type { Node } from './node.ts'
import type { PeerInfo } from './operations.ts'
import { sideKeys } from './side-keys.ts'

/** Sensors and documents that a warning names; the others are counted. */
const named = 3

const mebibyte = 1_048_576

/** What a person should look at, each with the way out. */
export async function warningsOf({ store, dir }: Node, peers: readonly PeerInfo[]): Promise<string[]> {
  return [
    ...(await loneAdmin(store)),
    ...(dir === undefined ? [] : await vaultsBeside(store, dir)),
    ...(await sharedNames(store)),
    ...(dir === undefined ? [] : await diskNearlyFull(dir)),
    ...(await damage(store)),
    ...(await droppedLog(store, peers)),
  ]
}

/** Until a peer has been compared with since: then all that any node had of it is back. */
async function droppedLog(store: Store, peers: readonly PeerInfo[]): Promise<string[]> {
  const damage = await logDamage(store)
  if (damage === undefined || peers.some(({ lastSynced }) => lastSynced !== undefined && lastSynced > damage.at))
    return []
  return [
    `on ${formatTime(damage.at)} ${damage.bytes} bytes of the database's log were damaged and dropped: records that were acknowledged may be missing here. Let the node meet its peers, who send again what they have, or restore a backup beside it and compare; and check the disk`,
  ]
}

async function loneAdmin(store: Store): Promise<string[]> {
  const admins = store.members
    .members()
    .filter(({ certificate, revoked, adopted }) => certificate.role === 'admin' && !revoked && !adopted)
  const [admin] = admins
  if (admins.length !== 1 || admin?.certificate.node !== store.node) return []
  if ((await store.side.get(sideKeys.identityExported)) !== undefined) return []
  return [
    'this node is the only admin of the site, and its identity was never exported: if it is lost, nobody can invite or revoke. Run "hedgerow identity export FILE" and keep the file elsewhere',
  ]
}

async function vaultsBeside(store: Store, dir: Directory): Promise<string[]> {
  const warnings: string[] = []
  for await (const [name] of store.side.entries(sideKeys.vaults)) {
    const vault = name.slice(sideKeys.vaults.length)
    if (sameFileSystem(dir.path, vault) === true)
      warnings.push(
        `the vault ${vault} is on the same file system as the store: one broken disk takes both. Put a vault on another disk`,
      )
  }
  return warnings
}

async function sharedNames(store: Store): Promise<string[]> {
  if (store.members.members().length < 2) return []
  const { entries } = await store.policy()
  const matchers = entries.map(({ pattern }) => sensorMatcher(pattern))
  const shared: string[] = []
  for await (const { sensor, nodes } of store.sensors())
    if (nodes.length > 1 && !matchers.some((matches) => matches(sensor)))
      shared.push(`${sensor} (${namesOf(store, nodes)})`)
  if (shared.length === 0) return []
  return [
    `${list(shared)} ${shared.length === 1 ? 'is written by several nodes' : 'are each written by several nodes'} without a policy: if that is meant, say how to merge with "hedgerow policy set SENSOR --rule FIELD=default"; if not, rename one at its source`,
  ]
}

function namesOf(store: Store, nodes: readonly NodeId[]): string {
  return nodes.map((node) => store.members.member(node)?.certificate.name ?? node.slice(-8)).join(', ')
}

async function diskNearlyFull(dir: Directory): Promise<string[]> {
  const free = await freeBytes(dir.path)
  if (free >= 2 * limits.diskLowBytes) return []
  return [
    `the disk is nearly full: ${Math.floor(free / mebibyte)} MiB are free, and below ${limits.diskLowBytes / mebibyte} MiB no readings are taken in`,
  ]
}

async function damage(store: Store): Promise<string[]> {
  const documents = await store.damage()
  if (documents.length === 0) return []
  return [
    `${documents.length} damaged ${documents.length === 1 ? 'document is' : 'documents are'} out of use until a peer or a backup refills ${documents.length === 1 ? 'it' : 'them'}: ${list(documents.map(({ document, reason }) => `${document} (${reason})`))}`,
  ]
}

function list(items: readonly string[]): string {
  const more = items.length - named
  return items.slice(0, named).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
