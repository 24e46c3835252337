/** IP addresses for the simulated network, so that invites, hellos and dialling work with what they meet in the field. */
import type { NodeId } from '../../src/model/index.ts'

export interface AddressBook {
  /** The address of a node as the simulated network knows it becomes one on the site's own network. */
  readonly outside: (address: string) => string
  /** And back. Addresses that nobody has stay what they are. */
  readonly inside: (address: string) => string
}

const port = 47_474

/** `nodes` gives the ids by number; the address of number n is 10.0.n/256.n%256. */
export function addressBook(nodes: () => readonly NodeId[]): AddressBook {
  return {
    outside(address) {
      const match = /^\/memory\/([^/]+)(.*)$/.exec(address)
      const number = nodes().indexOf(match?.[1] as NodeId)
      return number < 0 ? address : `/ip4/10.0.${number >> 8}.${number & 255}/tcp/${port}${match?.[2]}`
    },
    inside(address) {
      const match = /^\/ip4\/10\.0\.(\d+)\.(\d+)\/tcp\/47474(.*)$/.exec(address)
      const node = match && nodes()[Number(match[1]) * 256 + Number(match[2])]
      return node ? `/memory/${node}${match[3]}` : address
    },
  }
}
