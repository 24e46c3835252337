import { multiaddr } from '@multiformats/multiaddr'
import type { NodeId } from '../model/index.ts'
import { peerLimits } from './constants.ts'

/**
 * Those of a node's addresses that can be dialled: multiaddrs which name that node or, at their end, none. All addresses of
 * a node are dialled together, so one that cannot be read would cost the others. `undefined`: the node is not known yet.
 */
export function usableAddresses(node: NodeId | undefined, addresses: readonly string[]): string[] {
  return addresses.filter((address) => address.length <= peerLimits.addressChars && isUsable(node, address))
}

function isUsable(node: NodeId | undefined, address: string): boolean {
  try {
    const components = multiaddr(address).getComponents()
    const named = components.findLast(({ name }) => name === 'p2p')?.value
    return components.length > 0 && (node === undefined || named === undefined || named === node)
  } catch {
    // What others say may be anything: it is not kept.
    return false
  }
}
