import { NotAllowedError } from '../model/index.ts'
import { createLibp2pNetwork, createPeer, decodeInvite } from '../peer/index.ts'
import type { Role } from '../store/index.ts'
import type { Node, NodeEnvironment } from './node.ts'
import type { Invitation } from './operations.ts'

/**
 * Makes an invite. A stopped node makes one, too, with the addresses it had when it ran last: the code works once the
 * node runs again.
 */
export async function inviteAnother(
  { peer, identity, store }: Node,
  environment: NodeEnvironment,
  request: { readonly role: Role; readonly expiresMs: number },
): Promise<Invitation> {
  if (peer !== undefined) return peer.invite(request)
  if (identity === undefined)
    throw new NotAllowedError(
      'this directory has no identity: bring it back with "hedgerow identity import FILE" or "hedgerow join CODE"',
    )
  const { privateSeed, psk } = identity
  // Never started: it only says that there are no addresses but the remembered ones.
  const network = createLibp2pNetwork({ ...environment, privateSeed, psk, listen: [], mdns: undefined })
  const invitation = await createPeer({ ...environment, store, identity, network }).invite(request)
  if (decodeInvite(invitation.code).addresses.length === 0)
    throw new NotAllowedError(
      'this node has never run, so nobody knows where to reach it: start it with "hedgerow run" and invite from another terminal',
    )
  return invitation
}
