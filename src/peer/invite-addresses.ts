import { BlockList } from 'node:net'
import { multiaddr, type Component, type Multiaddr } from '@multiformats/multiaddr'
import { InvalidInputError } from '../model/index.ts'

/** Gives the binary multiaddr of an address, without the `/p2p/<node>` at its end. */
export function addressBytes(address: string): Uint8Array {
  try {
    const whole = multiaddr(address)
    const names = whole.getComponents().map((component) => component.name)
    return names.at(-1) === 'p2p' ? whole.decapsulateCode(421).bytes : whole.bytes
  } catch (cause) {
    throw new InvalidInputError(`${JSON.stringify(address)} is not a multiaddr such as /ip4/192.168.1.20/tcp/47474`, {
      cause,
    })
  }
}

/** Reads a binary multiaddr from untrusted bytes. */
export function addressText(bytes: Uint8Array): string {
  const address = parse(bytes).toString()
  if (address === '' || address === '/') throw new InvalidInputError('an address of this invite is empty')
  return address
}

/**
 * Sorts addresses by how likely a gateway of the same site reaches them: IPv4 of a private network, other IPv4, names,
 * IPv6 of a private network, other IPv6, link-local. Drops repeated ones and those that name no host (`0.0.0.0`);
 * loopback stays only where there is nothing else.
 */
export function rankAddresses(addresses: readonly Uint8Array[]): Uint8Array[] {
  const distinct = new Map(addresses.map((bytes) => [Buffer.from(bytes).toString('hex'), bytes]))
  const ranked = [...distinct.values()]
    .map((bytes) => ({ bytes, rank: rankOf(parse(bytes).getComponents()) }))
    .filter(({ rank }) => rank !== 'unusable')
    // Stable: of one rank the caller's order stays.
    .sort((a, b) => order.indexOf(a.rank) - order.indexOf(b.rank))
  const reachable = ranked.filter(({ rank }) => rank !== 'loopback')
  return (reachable.length > 0 ? reachable : ranked).map(({ bytes }) => bytes)
}

type Rank = 'private4' | 'public4' | 'name' | 'private6' | 'public6' | 'local' | 'loopback' | 'unusable'
const order: readonly Rank[] = ['private4', 'public4', 'name', 'private6', 'public6', 'local', 'loopback']

const subnets: readonly [Rank, string, number, 'ipv4' | 'ipv6'][] = [
  ['unusable', '0.0.0.0', 8, 'ipv4'],
  ['unusable', '::', 128, 'ipv6'],
  ['loopback', '127.0.0.0', 8, 'ipv4'],
  ['loopback', '::1', 128, 'ipv6'],
  ['local', '169.254.0.0', 16, 'ipv4'],
  ['local', 'fe80::', 10, 'ipv6'],
  // RFC 1918, shared address space (RFC 6598), unique local addresses (RFC 4193).
  ['private4', '10.0.0.0', 8, 'ipv4'],
  ['private4', '172.16.0.0', 12, 'ipv4'],
  ['private4', '192.168.0.0', 16, 'ipv4'],
  ['private4', '100.64.0.0', 10, 'ipv4'],
  ['private6', 'fc00::', 7, 'ipv6'],
]
const ranges = subnets.map(([rank, net, bits, family]) => {
  const list = new BlockList()
  list.addSubnet(net, bits, family)
  return { rank, list, family }
})

function rankOf(components: readonly Component[]): Rank {
  const host = components.find(({ name }) => name === 'ip4' || name === 'ip6' || name.startsWith('dns'))
  if (host?.value === undefined) return 'unusable'
  if (host.name.startsWith('dns')) return host.value === 'localhost' ? 'loopback' : 'name'
  const family = host.name === 'ip4' ? 'ipv4' : 'ipv6'
  const range = ranges.find((range) => range.family === family && range.list.check(host.value ?? '', family))
  return range?.rank ?? (family === 'ipv4' ? 'public4' : 'public6')
}

function parse(bytes: Uint8Array): Multiaddr {
  try {
    const address = multiaddr(bytes)
    address.getComponents()
    return address
  } catch (cause) {
    throw new InvalidInputError('an address of this invite is not readable: make a new one', { cause })
  }
}
