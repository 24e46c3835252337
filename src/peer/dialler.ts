/**
 * Keeps this node connected to everybody it knows: static, remembered, discovered and shared addresses, one attempt per
 * node at a time, exponential pauses with jitter, and again after every disconnect. The network itself never dials.
 */
import type { NodeId } from '../model/index.ts'
import { peerLimits } from './constants.ts'
import { deadline, reasonOf, type PeerContext } from './context.ts'
import { usableAddresses } from './usable-addresses.ts'

export interface DiallerHooks {
  /** Says hello on a new or existing connection; resolves when admitted, throws when not. */
  readonly greet: (node: NodeId, signal: AbortSignal) => Promise<void>
  readonly isConnected: (node: NodeId) => boolean
  /** Revoked nodes and ourselves are never dialled. */
  readonly isUnwanted: (node: NodeId) => boolean
  /** Of the site, as far as is known here. Others have a small share of the targets and dials. */
  readonly isMember: (node: NodeId) => boolean
}

interface Target {
  readonly key: string
  /** Unknown for a static address without `/p2p/…` until it was dialled. */
  node: NodeId | undefined
  addresses: string[]
  /** The address that last led to the node: always the first, whatever others say. */
  worked: string | undefined
  attempts: number
  busy: boolean
  /** Earliest next attempt, by the monotonic clock. */
  dueMs: number
  readonly fixed: boolean
  /** When its connection became usable. */
  connectedMs: number | undefined
  /** It was refused: until then discovery does not bring it back. */
  refusedUntilMs: number
  lastError?: string
}

export class Dialler {
  readonly #context: PeerContext
  readonly #hooks: DiallerHooks
  readonly #targets = new Map<string, Target>()
  /** Configured addresses, without the node's id: how this node reaches others may be its own affair (a tunnel, a relay). */
  readonly #configured = new Set<string>()
  #dialling = 0
  #timerDueMs = Infinity
  #stopped = true

  constructor(context: PeerContext, hooks: DiallerHooks) {
    this.#context = context
    this.#hooks = hooks
  }

  start(): void {
    this.#stopped = false
    this.#schedule()
  }

  stop(): void {
    this.#stopped = true
  }

  /** An address that was configured: dialled for ever, with or without the node's id in it. */
  addStatic(address: string): void {
    this.#configured.add(withoutNode(address))
    const node = nodeIn(address)
    // One that cannot be read fails by itself, without harm to what else is known of the node.
    const known = usableAddresses(node, [address]).length > 0 ? node : undefined
    this.#add(known ?? address, known, [address], true)
  }

  /** Addresses of a node, from wherever. `fresh`: it has just announced itself, so it is tried at once. */
  add(node: NodeId, addresses: readonly string[], fresh: boolean): void {
    const target = this.#add(node, node, addresses, false)
    if (target === undefined || !fresh || target.busy || this.#hooks.isConnected(node)) return
    if (this.#nowMs() < target.refusedUntilMs) return
    target.attempts = 0
    // A little apart, since the other side hears of us at the same moment.
    target.dueMs = Math.min(target.dueMs, this.#nowMs() + 200 * this.#context.random.uniform())
    this.#schedule()
  }

  /** Addresses of an earlier run, as `addresses` gave them: the first is the one that worked. */
  addRemembered(node: NodeId, addresses: readonly string[]): void {
    this.#add(node, node, addresses, false)
    const [first] = addresses
    if (first !== undefined) this.worked(node, first)
  }

  /** We reached the node at this address: it stays and is the first of the node's. */
  worked(node: NodeId, address: string): void {
    const [usable] = usableAddresses(node, [nodeIn(address) === undefined ? `${address}/p2p/${node}` : address])
    const target = this.#targets.get(node)
    if (usable === undefined || target === undefined) return
    target.worked = usable
    target.addresses = merged(target, [])
  }

  addresses(node: NodeId): readonly string[] {
    return this.#targets.get(node)?.addresses ?? []
  }

  /** What others may be told of where a node is: all but what was configured here. */
  shareable(node: NodeId): readonly string[] {
    return this.addresses(node).filter((address) => !this.#configured.has(withoutNode(address)))
  }

  lastError(node: NodeId): string | undefined {
    return this.#targets.get(node)?.lastError
  }

  /** A connection is usable: the next attempt begins afresh. */
  connected(node: NodeId): void {
    for (const target of this.#of(node)) {
      target.connectedMs = this.#nowMs()
      delete target.lastError
    }
  }

  /** A connection ended: it is dialled again soon, or later if that happens again and again. */
  disconnected(node: NodeId): void {
    const now = this.#nowMs()
    for (const target of this.#of(node)) {
      if (target.connectedMs !== undefined)
        target.attempts = now - target.connectedMs < peerLimits.shortSessionMs ? target.attempts + 1 : 0
      target.connectedMs = undefined
      target.dueMs = Math.max(target.dueMs, now + this.#pause(target))
    }
    this.#schedule()
  }

  /** Leaves a node alone for a while: it was refused. */
  refused(node: NodeId, reason: string): void {
    for (const target of this.#of(node)) {
      target.lastError = reason
      target.dueMs = this.#nowMs() + peerLimits.dialBackoffMaxMs * (0.5 + this.#context.random.uniform() / 2)
      target.refusedUntilMs = target.dueMs
    }
  }

  #of(node: NodeId): Target[] {
    return [...this.#targets.values()].filter((target) => target.node === node)
  }

  #add(key: string, node: NodeId | undefined, addresses: readonly string[], fixed: boolean): Target | undefined {
    if (node !== undefined && this.#hooks.isUnwanted(node)) return undefined
    const usable = node === undefined ? addresses : usableAddresses(node, addresses)
    const known = this.#targets.get(key)
    if (known !== undefined) {
      known.addresses = merged(known, usable)
      return known
    }
    if (usable.length === 0 || !this.#hasRoom(!fixed && this.#isStranger(node))) return undefined
    const target: Target = {
      key,
      node,
      addresses: usable.slice(0, peerLimits.targetAddresses),
      worked: undefined,
      attempts: 0,
      busy: false,
      dueMs: this.#nowMs(),
      fixed,
      connectedMs: undefined,
      refusedUntilMs: 0,
    }
    this.#targets.set(key, target)
    this.#schedule()
    return target
  }

  #isStranger(node: NodeId | undefined): boolean {
    return node !== undefined && !this.#hooks.isMember(node)
  }

  /**
   * Whether there is room for one more; else the one that failed most is forgotten, if any did. Those that are not known
   * as members have a share of their own, so that ids somebody made up take no member's place.
   */
  #hasRoom(stranger: boolean): boolean {
    const rivals = [...this.#targets.values()].filter(
      ({ fixed, node }) => (!fixed && this.#isStranger(node)) === stranger,
    )
    if (rivals.length < (stranger ? peerLimits.dialStrangers : peerLimits.dialTargets)) return true
    const worst = rivals
      .filter(({ fixed, busy, attempts }) => !fixed && !busy && attempts > 0)
      .reduce<Target | undefined>(
        (most, target) => (target.attempts > (most?.attempts ?? 0) ? target : most),
        undefined,
      )
    return worst !== undefined && this.#targets.delete(worst.key)
  }

  #nowMs(): number {
    return this.#context.clock.monotonicMs()
  }

  #pause(target: Target): number {
    const most = Math.min(peerLimits.dialBackoffMaxMs, peerLimits.dialBackoffMs * 2 ** Math.min(target.attempts, 16))
    return most * (0.5 + this.#context.random.uniform() / 2)
  }

  #isIdle(target: Target): boolean {
    return !target.busy && (target.node === undefined || !this.#hooks.isConnected(target.node))
  }

  /** Starts what is due and sets one timer for what comes next. */
  #schedule(): void {
    if (this.#stopped) return
    const now = this.#nowMs()
    let next = Infinity
    for (const target of this.#targets.values()) {
      if (!this.#isIdle(target)) continue
      if (target.dueMs > now) next = Math.min(next, target.dueMs)
      else if (this.#dialling < this.#dialsFor(target)) this.#begin(target)
    }
    if (next >= this.#timerDueMs) return
    this.#timerDueMs = next
    this.#context.clock.setTimer(() => {
      if (this.#timerDueMs === next) this.#timerDueMs = Infinity
      this.#schedule()
    }, next - now)
  }

  #dialsFor({ fixed, node }: Target): number {
    return !fixed && this.#isStranger(node) ? peerLimits.dials / 2 : peerLimits.dials
  }

  #begin(target: Target): void {
    target.busy = true
    this.#dialling++
    this.#context.tasks.run('dialling', async () => {
      try {
        await this.#dial(target)
      } finally {
        target.busy = false
        this.#dialling--
        this.#schedule()
      }
    })
  }

  async #dial(target: Target): Promise<void> {
    const { clock, network, tasks } = this.#context
    if (target.node !== undefined && this.#hooks.isUnwanted(target.node)) {
      this.#targets.delete(target.key)
      return
    }
    using limit = deadline(clock, peerLimits.dialMs, 'dialling', tasks.signal)
    try {
      const node = await network.connect(target.addresses, { signal: limit.signal })
      target.node = node
      await this.#hooks.greet(node, tasks.signal)
    } catch (error) {
      // Expected on every network: nodes are away. The status shows it.
      target.lastError = reasonOf(error)
      target.attempts++
    } finally {
      target.dueMs = Math.max(target.dueMs, this.#nowMs() + this.#pause(target))
    }
  }
}

/** The one that worked, then the newest; the oldest are forgotten. */
function merged({ worked, addresses }: Target, more: readonly string[]): string[] {
  const first = worked === undefined ? [] : [worked]
  return [...new Set([...first, ...more, ...addresses])].slice(0, peerLimits.targetAddresses)
}

/** The node id at the end of a multiaddr. */
export function nodeIn(address: string): NodeId | undefined {
  return /\/p2p\/(12D3Koo[1-9A-HJ-NP-Za-km-z]+)$/.exec(address)?.[1] as NodeId | undefined
}

function withoutNode(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '')
}
