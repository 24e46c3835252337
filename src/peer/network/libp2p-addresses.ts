import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { InvalidInputError, NetworkError, parseNodeId, type NodeId } from '../../model/index.ts'
import { constants } from './constants.ts'

/** Reads the addresses of one node; the id, where one of them names it, is added to all. */
export function parseAddresses(addresses: readonly string[]): {
  readonly expected: NodeId | undefined
  readonly multiaddrs: Multiaddr[]
} {
  if (addresses.length === 0) throw new InvalidInputError('no address to connect to was given')
  if (addresses.length > constants.maxAddresses)
    throw new InvalidInputError(`${addresses.length} addresses of one node are above ${constants.maxAddresses}`)
  const parsed = addresses.map((address) => {
    try {
      return multiaddr(address)
    } catch (cause) {
      throw new InvalidInputError(`${JSON.stringify(address)} is not an address such as /ip4/192.168.1.20/tcp/47474`, {
        cause,
      })
    }
  })
  const ids = new Set(parsed.map(nodeOfAddress).filter((id) => id !== undefined))
  if (ids.size > 1) throw new InvalidInputError(`the addresses belong to different nodes: ${[...ids].join(', ')}`)
  const [id] = ids
  if (id === undefined) return { expected: undefined, multiaddrs: parsed }
  const expected = parseNodeId(id)
  return {
    expected,
    multiaddrs: parsed.map((address) =>
      nodeOfAddress(address) === undefined ? address.encapsulate(`/p2p/${id}`) : address,
    ),
  }
}

function nodeOfAddress(address: Multiaddr): string | undefined {
  return address.getComponents().findLast(({ name }) => name === 'p2p')?.value
}

/** Turns libp2p's failure to listen into an error that names the address and the way out. */
export function listenError(listen: readonly string[], cause: unknown): NetworkError {
  const text = cause instanceof Error ? cause.message : String(cause)
  const inUse = text.includes('EADDRINUSE')
  // libp2p lists each address with a stack: the system's own words are enough.
  const reason = /Error: (.+)/.exec(text)?.[1] ?? text.trim().split('\n', 1)[0]
  return new NetworkError(
    `cannot listen on ${listen.join(' and ')}: ` +
      (inUse
        ? 'the port is in use (EADDRINUSE); stop the other program or choose another port'
        : `${reason}; choose an address of this machine`),
    { cause },
  )
}

/** Whether `start` failed because another program holds the port: the next one may be free. */
export function isAddressInUse(error: unknown): boolean {
  return error instanceof NetworkError && error.message.includes('EADDRINUSE')
}
