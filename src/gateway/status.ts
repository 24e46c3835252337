import { storedPeerStatus } from '../peer/index.ts'
import type { Store } from '../store/index.ts'
import type { Node } from './node.ts'
import type { NodeStatus, PeerInfo, WhoAmI } from './operations.ts'
import { sideKeys } from './side-keys.ts'
import { warningsOf } from './warnings.ts'

/** Says how a node is: what it holds, what its peers lack, what a person should look at. */
export async function nodeStatus(node: Node, deep: boolean): Promise<NodeStatus> {
  const { store } = node
  const { records, documents } = await store.totals()
  const evidence = await peersOf(node)
  return {
    ...(store.node === undefined ? {} : { node: store.node }),
    site: store.site,
    ...(await siteNameOf(store)),
    records,
    documents,
    digest: await store.digest(),
    ...(deep ? { content: await store.content() } : {}),
    ...evidence,
    warnings: await warningsOf(node, evidence.peers),
  }
}

async function peersOf({
  peer,
  store,
}: Node): Promise<{ readonly atRisk: number; readonly peers: readonly PeerInfo[] }> {
  if (peer !== undefined) return { atRisk: await peer.atRisk(), peers: await peer.status() }
  return storedPeerStatus(store)
}

export async function whoAmI({ store, identity, peer, mode }: Node): Promise<WhoAmI> {
  const member = store.node === undefined ? undefined : store.members.member(store.node)
  return {
    ...(store.node === undefined ? {} : { node: store.node }),
    site: store.site,
    ...(await siteNameOf(store)),
    ...(identity === undefined ? {} : { name: member?.certificate.name ?? identity.name }),
    ...(member === undefined ? {} : { role: member.certificate.role }),
    founder: member?.founder ?? false,
    exported: (await store.side.get(sideKeys.identityExported)) !== undefined,
    running: mode === 'run',
    addresses: peer?.addresses() ?? [],
  }
}

async function siteNameOf(store: Store): Promise<{ readonly siteName?: string }> {
  const siteName = await store.side.get(sideKeys.siteName)
  return typeof siteName === 'string' ? { siteName } : {}
}
