/**
 * The site as one node sees it: who belongs to it, who is there, and how every record comes to everybody. `createPeer` puts
 * it together over a `Store` and a `Network`; docs/protocol.md has the messages.
 */
import { SitePeer } from './peer.ts'
import type { Peer, PeerOptions } from './types.ts'

export type * from './types.ts'
export { storedPeerStatus, type PeerStatus } from './status.ts'
export { rememberAddresses } from './memory.ts'
export type { PeerLog } from './context.ts'
export { redeemInvite, type Redeemed, type RedeemOptions } from './join.ts'
export { decodeInvite, encodeInvite, inviteCodeChars, type Invite } from './invite-code.ts'
export { inviteLimits, openInvites, type Invites, type Redemption } from './invites.ts'
export * from './identity.ts'
export * from './network/index.ts'

/** Makes a node's peer part. It does nothing before `start`. */
export function createPeer(options: PeerOptions): Peer {
  return new SitePeer(options)
}
