/**
 * mDNS on the local networks with the site's own service tag, in libp2p's format (libp2p specifications,
 * discovery/mdns): who asks for the tag is told this node's addresses. It announces and hears, and never dials.
 *
 * One socket per interface: `@libp2p/mdns` sends on the one interface that the route to 224.0.0.251 names, which on a
 * host with containers is often the wrong one, and on a network without a default route is none.
 */
import { networkInterfaces } from 'node:os'
import multicastDns, { type MulticastDNS, type ResponsePacket } from 'multicast-dns'
import type { Clock, NodeId, Timer } from '../../model/index.ts'
import { constants } from './constants.ts'
import { usableAddresses } from '../usable-addresses.ts'
import { parseAddresses } from './libp2p-addresses.ts'
import type { NetworkLog } from './log.ts'

export interface LocalDiscoveryOptions {
  readonly node: NodeId
  /** Service tag of the site, such as `_x._udp.local`. */
  readonly tag: string
  /** Where this node can be reached. */
  readonly addresses: () => readonly string[]
  readonly onDiscover: (node: NodeId, addresses: readonly string[]) => void
  readonly clock: Clock
  readonly log: NetworkLog
}

interface Link {
  readonly dns: MulticastDNS
  /** When it last announced this node, and the announcement that waits. */
  announcedMs: number
  announcing: Timer | undefined
}

const prefix = 'dnsaddr='

export class LocalDiscovery {
  readonly #options: LocalDiscoveryOptions
  /** By the interface's address. */
  readonly #links = new Map<string, Link>()
  readonly #faults = new Set<string>()
  #timer: Timer | undefined

  constructor(options: LocalDiscoveryOptions) {
    this.#options = options
  }

  /** Asks on every interface, now and on a timer; interfaces come and go. */
  start(): void {
    const { tag, clock } = this.#options
    const present = interfaceAddresses(networkInterfaces())
    for (const [address, link] of this.#links) if (!present.includes(address)) void this.#leave(address, link)
    for (const address of present) if (!this.#links.has(address)) this.#join(address)
    for (const [address, { dns }] of this.#links)
      dns.query([{ name: tag, type: 'PTR' }], (error) => this.#fault(address, error))
    this.#timer = clock.setTimer(() => this.start(), constants.mdnsIntervalMs)
  }

  async stop(): Promise<void> {
    this.#timer?.cancel()
    await Promise.all([...this.#links].map(([address, link]) => this.#leave(address, link)))
  }

  #join(address: string): void {
    // Bound to the interface's own address it would hear no multicast.
    const dns = multicastDns({ interface: address, bind: '0.0.0.0' })
    const link: Link = { dns, announcedMs: -Infinity, announcing: undefined }
    this.#links.set(address, link)
    dns.on('error', (error) => this.#fault(address, error))
    dns.on('warning', (error) => this.#fault(address, error))
    dns.on('query', ({ questions = [] }) => {
      if (questions.some(({ name }) => name === this.#options.tag)) this.#announceSoon(address, link)
    })
    dns.on('response', (packet) => this.#hear(packet))
  }

  #leave(address: string, { dns, announcing }: Link): Promise<void> {
    this.#links.delete(address)
    announcing?.cancel()
    return new Promise((resolve) => dns.destroy(resolve))
  }

  /** Once for many questions: everybody hears the answer. */
  #announceSoon(address: string, link: Link): void {
    if (link.announcing !== undefined || this.#links.get(address) !== link) return
    const { clock } = this.#options
    const waitMs = Math.max(0, link.announcedMs + constants.mdnsPauseMs - clock.monotonicMs())
    link.announcing = clock.setTimer(() => {
      link.announcing = undefined
      link.announcedMs = clock.monotonicMs()
      this.#announce(address, link)
    }, waitMs)
  }

  #announce(address: string, { dns }: Link): void {
    const { node, tag, addresses } = this.#options
    const announced = announcedAddresses(addresses(), address)
    if (announced.length === 0) return
    const name = `${node}.${tag}`
    dns.respond(
      [
        { name: tag, type: 'PTR', class: 'IN', ttl: constants.mdnsLifeSeconds, data: name },
        ...announced.map((text) => ({
          name,
          type: 'TXT' as const,
          class: 'IN' as const,
          ttl: constants.mdnsLifeSeconds,
          data: prefix + text,
        })),
      ],
      (error) => this.#fault(address, error),
    )
  }

  #hear({ answers = [], additionals = [] }: ResponsePacket): void {
    const { node, tag, onDiscover, log } = this.#options
    if (!answers.some(({ type, name }) => type === 'PTR' && name === tag)) return
    const texts = [...answers, ...additionals].flatMap((answer) =>
      answer.type === 'TXT' ? [answer.data].flat().map(String) : [],
    )
    try {
      const { expected, multiaddrs } = parseAddresses(heardAddresses(texts))
      if (expected !== undefined && expected !== node) onDiscover(expected, multiaddrs.map(String))
    } catch (error) {
      log('info', 'an announcement on the local network was ignored', { error })
    }
  }

  /** Says once what is wrong with an interface: it may come right, and discovery has other ways. */
  #fault(address: string, error: Error | null | undefined): void {
    if (error === null || error === undefined || !this.#links.has(address)) return
    const known = `${address} ${error.message}`
    if (this.#faults.has(known) || this.#faults.size >= constants.mdnsFaults) return
    this.#faults.add(known)
    this.#options.log('warn', 'local discovery does not work on an interface', { interface: address, error })
  }
}

/** Chooses few addresses for an announcement on an interface: its own first, IPv4 before IPv6, loopback only if there is nothing else. */
export function announcedAddresses(addresses: readonly string[], interfaceAddress: string): string[] {
  const rank = (address: string): number => {
    if (address.startsWith(`/ip4/${interfaceAddress}/`)) return 0
    if (/^\/ip4\/127\.|^\/ip6\/::1\//.test(address)) return 3
    return address.startsWith('/ip4/') ? 1 : 2
  }
  // A text of a TXT record has at most 255 bytes; link-local IPv6 means nothing on another host.
  const usable = addresses.filter(
    (address) => !/^\/ip6\/fe80:|^\/ip6zone\//.test(address) && Buffer.byteLength(prefix + address) <= 255,
  )
  const sorted = usable.toSorted((a, b) => rank(a) - rank(b))
  const outside = sorted.filter((address) => rank(address) < 3)
  return (outside.length > 0 ? outside : sorted).slice(0, constants.mdnsAddresses)
}

/** The first IPv4 address of each interface; loopback only where there is no other. */
export function interfaceAddresses(interfaces: ReturnType<typeof networkInterfaces>): string[] {
  const first = Object.values(interfaces).flatMap(
    (list = []) => list.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? [],
  )
  return first.length > 0 ? first.slice(0, constants.mdnsInterfaces) : ['127.0.0.1']
}

/** The addresses in the texts of an answer; one that cannot be read does not cost the others. */
export function heardAddresses(texts: readonly string[]): string[] {
  const addresses = texts
    .filter((text) => text.startsWith(prefix))
    .slice(0, constants.discoverAddresses)
    .map((text) => text.slice(prefix.length))
  return usableAddresses(undefined, addresses)
}
