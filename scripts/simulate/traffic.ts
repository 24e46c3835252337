/** A node's end of the simulated network: with IP addresses, and with a count of what it sends. */
import type { NodeId } from '../../src/model/index.ts'
import type { Network, StreamHandler } from '../../src/peer/index.ts'
import type { AddressBook } from './addresses.ts'

/** What all nodes sent. Gossip is counted once where it was published, not at every hop. */
export interface Traffic {
  connections: number
  streams: number
  messages: number
  messageBytes: number
  gossip: number
  gossipBytes: number
}

export function noTraffic(): Traffic {
  return { connections: 0, streams: 0, messages: 0, messageBytes: 0, gossip: 0, gossipBytes: 0 }
}

/** Counts what goes out through `network` into `traffic`, and calls everybody by the addresses of `book`. */
export function siteNetwork(network: Network, traffic: Traffic, book: AddressBook): Network {
  return new SiteNetwork(network, traffic, book)
}

class SiteNetwork implements Network {
  readonly node: NodeId
  readonly #inner: Network
  readonly #traffic: Traffic
  readonly #book: AddressBook

  constructor(inner: Network, traffic: Traffic, book: AddressBook) {
    this.node = inner.node
    this.#inner = inner
    this.#traffic = traffic
    this.#book = book
    inner.onConnect((_node, { inbound }) => {
      if (!inbound) traffic.connections += 1
    })
  }

  start: Network['start'] = () => this.#inner.start()
  stop: Network['stop'] = () => this.#inner.stop()
  addresses: Network['addresses'] = () => this.#inner.addresses().map(this.#book.outside)
  connections: Network['connections'] = () => this.#inner.connections()
  connect: Network['connect'] = (addresses, options) => this.#inner.connect(addresses.map(this.#book.inside), options)
  disconnect: Network['disconnect'] = (node) => this.#inner.disconnect(node)
  admit: Network['admit'] = (node) => this.#inner.admit(node)
  subscribe: Network['subscribe'] = (topic, listener) => this.#inner.subscribe(topic, listener)
  onConnect: Network['onConnect'] = (listener) =>
    this.#inner.onConnect((node, { inbound, address }) =>
      listener(node, { inbound, ...(address === undefined ? {} : { address: this.#book.outside(address) }) }),
    )
  onDisconnect: Network['onDisconnect'] = (listener) => this.#inner.onDisconnect(listener)
  onDiscover: Network['onDiscover'] = (listener) =>
    this.#inner.onDiscover((node, addresses) => listener(node, addresses.map(this.#book.outside)));
  [Symbol.asyncDispose] = (): Promise<void> => this.stop()

  open: Network['open'] = (node, protocol, outgoing, options) => {
    this.#traffic.streams += 1
    return this.#inner.open(node, protocol, this.#counted(outgoing), options)
  }

  handle: Network['handle'] = (protocol, handler, options) => {
    const counted: StreamHandler = (from, incoming, context) => this.#counted(handler(from, incoming, context))
    this.#inner.handle(protocol, counted, options)
  }

  publish: Network['publish'] = (topic, data) => {
    this.#traffic.gossip += 1
    this.#traffic.gossipBytes += data.length
    return this.#inner.publish(topic, data)
  }

  /** Hands `return` on, as a loop over the messages themselves would: a source must learn that nobody listens. */
  #counted(messages: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const traffic = this.#traffic
    return {
      [Symbol.asyncIterator]() {
        const source = Symbol.asyncIterator in messages ? messages[Symbol.asyncIterator]() : messages[Symbol.iterator]()
        return {
          async next() {
            const step = await source.next()
            if (step.done !== true) {
              traffic.messages += 1
              traffic.messageBytes += step.value.length
            }
            return step
          },
          async return() {
            await source.return?.()
            return { done: true, value: undefined }
          },
        }
      },
    }
  }
}
