import type { NodeId } from '../model/index.ts'
import type { Store } from '../store/index.ts'
import { peerLimits } from './constants.ts'
import type { Dialler } from './dialler.ts'
import type { AddressBook } from './members-exchange.ts'
import { otherMembers } from './status.ts'

/** Shares where the members of the site say they can be reached, and has the dialler learn it from others. */
export function addressBook(store: Store, own: NodeId, dialler: Dialler): AddressBook {
  return {
    share: (except) =>
      otherMembers(store, own)
        .map(({ certificate: { node } }) => ({
          node,
          addresses: dialler.shareable(node).slice(0, peerLimits.helloAddresses),
        }))
        .filter(({ node, addresses }) => node !== except && addresses.length > 0)
        .slice(0, peerLimits.sharedMembers),
    learn: (known) => {
      for (const { node, addresses } of known)
        if (store.members.member(node)?.adopted === false) dialler.add(node, addresses, false)
    },
  }
}
