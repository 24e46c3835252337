/**
 * The live path: own changes to everybody at once, a topic per group. A hint, never the delivery: what is lost, comes too
 * early or is too large is pulled.
 */
import { parseDocumentId, policyId, RefusedError, type DocumentId, type NodeId } from '../model/index.ts'
import type { StoreChange } from '../store/index.ts'
import { peerLimits } from './constants.ts'
import { reasonOf, type PeerContext } from './context.ts'
import { Mailbox } from './mailbox.ts'
import { decodeGossip, encodeGossip, type GossipMessage } from './messages.ts'

export interface GossipEvents {
  /** A change came that something is missing before, or that was only announced. */
  readonly onGap: (id: DocumentId) => void
}

export class Gossip {
  readonly #context: PeerContext
  readonly #events: GossipEvents
  readonly #inbox = new Mailbox<{ readonly data: Uint8Array; readonly from: NodeId }>(Infinity)
  readonly #topics = new Map<string, () => void>()
  #waiting = 0
  #waitingBytes = 0
  #stop: (() => void) | undefined

  constructor(context: PeerContext, events: GossipEvents) {
    this.#context = context
    this.#events = events
  }

  async start(): Promise<void> {
    const { store, tasks } = this.#context
    this.#stop = store.onChange((change) => this.#onChange(change))
    this.#subscribe('site')
    this.#subscribe('default')
    await this.#followPolicy()
    tasks.run('gossip', () => this.#receive())
  }

  stop(): void {
    this.#stop?.()
    this.#inbox.close()
    for (const unsubscribe of this.#topics.values()) unsubscribe()
    this.#topics.clear()
  }

  async #followPolicy(): Promise<void> {
    const { entries } = await this.#context.store.policy()
    for (const { group } of entries) if (group !== undefined) this.#subscribe(group)
  }

  #subscribe(group: string): void {
    const topic = this.#topic(group)
    if (this.#topics.has(topic) || this.#topics.size >= peerLimits.gossipTopics) return
    this.#topics.set(
      topic,
      this.#context.network.subscribe(topic, (data, from) => this.#take(data, from)),
    )
  }

  #topic(group: string): string {
    return `/hedgerow/${this.#context.store.site}/${group}/1`
  }

  #onChange({ state, changes, from }: StoreChange): void {
    const { tasks, network } = this.#context
    if (state.id === policyId) tasks.run('following the policy', () => this.#followPolicy())
    const group = groupOf(state.id)
    this.#subscribe(group)
    if (from !== 'local' || changes === undefined) return
    const bytes = changes.changes.reduce((sum, change) => sum + change.length, 0)
    let data = bytes <= peerLimits.gossipInlineBytes ? encodeGossip({ kind: 'changes', changes }) : undefined
    if (data === undefined || data.length > peerLimits.gossipInlineBytes)
      data = encodeGossip({ kind: 'tips', document: state.id, tips: changes.tips })
    const message = data
    tasks.run('gossip', () => network.publish(this.#topic(group), message))
  }

  #take(data: Uint8Array, from: NodeId): void {
    if (this.#waiting >= peerLimits.gossipWaiting || this.#waitingBytes > peerLimits.gossipWaitingBytes) return
    this.#waiting++
    this.#waitingBytes += data.length
    this.#inbox.put({ data, from })
  }

  async #receive(): Promise<void> {
    const { log, tasks } = this.#context
    for await (const { data, from } of this.#inbox) {
      try {
        if (!tasks.signal.aborted) await this.#store(decodeGossip(data), from)
      } catch (error) {
        // One that does not verify may only be early: its author's certificate may still be on the way.
        const level = error instanceof RefusedError ? 'info' : 'warn'
        log(level, 'a gossip message was not stored', { node: from, reason: reasonOf(error) })
      } finally {
        this.#waiting--
        this.#waitingBytes -= data.length
      }
    }
  }

  async #store(message: GossipMessage, from: NodeId): Promise<void> {
    if (message.kind === 'tips') return this.#events.onGap(message.document)
    const { missing } = await this.#context.store.receive(message.changes, from)
    if (missing) this.#events.onGap(message.changes.document)
  }
}

function groupOf(id: DocumentId): string {
  const parsed = parseDocumentId(id)
  return parsed.kind === 'journal' || parsed.kind === 'amendments' ? parsed.group : 'site'
}
