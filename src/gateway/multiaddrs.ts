import { multiaddr } from '@multiformats/multiaddr'
import { InvalidInputError } from '../model/index.ts'

/** Throws `InvalidInputError` unless each is a multiaddr of a TCP port. */
export function checkMultiaddrs(addresses: readonly string[]): void {
  for (const address of addresses)
    try {
      if (
        !multiaddr(address)
          .getComponents()
          .some(({ name }) => name === 'tcp')
      )
        throw new Error('it names no TCP port')
    } catch (cause) {
      throw new InvalidInputError(
        `${JSON.stringify(address.slice(0, 200))} is not an address of a node, such as /ip4/192.168.1.20/tcp/47474`,
        { cause },
      )
    }
}
