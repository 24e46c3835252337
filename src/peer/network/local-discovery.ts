/**
 * mDNS on the local network with the site's own service tag. It announces and hears, and never dials. It is kept away
 * from libp2p's own discovery, which would remember unverified addresses and dial them beside ours.
 */
import type { ComponentLogger, PeerInfo, Startable } from '@libp2p/interface'
import type { AddressManager } from '@libp2p/interface-internal'
import { mdns } from '@libp2p/mdns'
import type { Multiaddr } from '@multiformats/multiaddr'
import { constants } from './constants.ts'

/** Chooses few addresses for an mDNS answer: IPv4 first, loopback only if there is nothing else, no link-local IPv6. */
export function announcedAddresses(addresses: readonly Multiaddr[]): Multiaddr[] {
  const rank = (address: Multiaddr): number => {
    const text = address.toString()
    if (/^\/ip4\/127\.|^\/ip6\/::1\//.test(text)) return 2
    return text.startsWith('/ip4/') ? 0 : 1
  }
  const usable = addresses.filter((address) => !/^\/ip6\/fe80:|^\/ip6zone\//.test(address.toString()))
  const sorted = usable.toSorted((a, b) => rank(a) - rank(b))
  const outside = sorted.filter((address) => rank(address) < 2)
  return (outside.length > 0 ? outside : sorted).slice(0, constants.mdnsAddresses)
}

export function localDiscovery(
  components: { readonly addressManager: AddressManager; readonly logger: ComponentLogger },
  tag: string,
  onDiscover: (peer: PeerInfo) => void,
): Startable {
  const { addressManager, logger } = components
  const discovery = mdns({ serviceTag: tag, interval: constants.mdnsIntervalMs, broadcast: true })({
    logger,
    addressManager: new Proxy(addressManager, {
      get: (target, name, receiver): unknown =>
        name === 'getAddresses' ? () => announcedAddresses(target.getAddresses()) : Reflect.get(target, name, receiver),
    }),
  }) as ReturnType<ReturnType<typeof mdns>> & Startable
  discovery.addEventListener('peer', ({ detail }) => onDiscover(detail))
  return {
    start: () => discovery.start(),
    stop: () => discovery.stop(),
  }
}
