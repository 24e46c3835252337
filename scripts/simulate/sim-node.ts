/** One simulated gateway: a key, a disk, and the node that runs on it from time to time, which is the one that `run` runs. */
import {
  createSiteStore,
  foundIdentity,
  openNode,
  redeem,
  type Node,
  type Operations,
} from '../../src/gateway/index.ts'
import { ClosedError, HedgerowError, NotFoundError, type NodeId } from '../../src/model/index.ts'
import {
  createNodeKey,
  rememberAddresses,
  signerOf,
  type Identity,
  type Network,
  type NodeKey,
  type SeededRandom,
  type SimulatedWorld,
  type VirtualClock,
} from '../../src/peer/index.ts'
import { issueCertificate, type StoreLog } from '../../src/store/index.ts'
import type { Acknowledged } from './acknowledged.ts'
import type { AddressBook } from './addresses.ts'
import { SimulatedDisk } from './crashable-level.ts'
import { siteNetwork, type Traffic } from './traffic.ts'

/** What all nodes of a simulation share. */
export interface Surroundings {
  readonly clock: VirtualClock
  readonly random: SeededRandom
  readonly world: SimulatedWorld
  readonly traffic: Traffic
  readonly book: AddressBook
  readonly acknowledged: Acknowledged
  readonly syncMs: readonly [number, number]
  readonly gossip: boolean
  readonly reconciliation: boolean
  readonly keepActors: boolean
  readonly log: (node: number, ...line: Parameters<StoreLog>) => void
  /** Something happened that no fault of the scenario explains. */
  readonly problem: (what: string) => void
}

interface Run {
  readonly node: Node
  readonly ended: AbortController
}

/** How often and how long after a failure a person tries an invite again, ms. */
const joinAttempts = 20
const joinPauseMs = 2_000
const inviteMs = 86_400_000

export class SimulatedNode {
  readonly number: number
  readonly key: NodeKey
  readonly disk: SimulatedDisk
  readonly #surroundings: Surroundings
  readonly #random: SeededRandom
  readonly #log: StoreLog
  #identity: Identity | undefined
  #run: Run | undefined
  /** Processes that ended and may still be tidying up. */
  readonly #ending = new Set<Promise<void>>()

  constructor(number: number, surroundings: Surroundings) {
    this.number = number
    this.#surroundings = surroundings
    // One source for the node's whole life: no run draws what an earlier one has drawn.
    this.#random = surroundings.random.fork(`node ${number}`)
    this.key = createNodeKey(this.#random)
    this.disk = new SimulatedDisk({
      clock: surroundings.clock,
      random: surroundings.random.fork(`disk ${number}`),
      syncMs: surroundings.syncMs,
    })
    this.#log = (level, message, fields) => surroundings.log(number, level, message, fields)
  }

  get id(): NodeId {
    return this.#identity?.node ?? this.key.node
  }

  get name(): string {
    return `node-${this.number}`
  }

  /** Whether it belongs to the site. */
  get isMember(): boolean {
    return this.#identity !== undefined
  }

  /** The node while it runs. */
  get running(): Node | undefined {
    return this.#run?.node
  }

  /** Founds the site and makes `others` its members before any of them starts. */
  async found(others: readonly SimulatedNode[]): Promise<void> {
    const identity = foundIdentity(this.name, this.#random)
    this.#identity = identity
    const store = await createSiteStore(identity, this.#storeOptions())
    const certificates = others.map((other) =>
      issueCertificate(signerOf(identity), store.members, { node: other.key.node, name: other.name, role: 'writer' }),
    )
    await store.members.add(certificates)
    await store.close()
    for (const [i, other] of others.entries())
      await other.#settleIn({
        identity: {
          ...other.key,
          site: identity.site,
          psk: identity.psk,
          name: other.name,
          entries: [certificates[i] as Uint8Array],
        },
        entries: [...identity.entries, ...certificates],
      })
  }

  /** Joins as a person does: asks a running admin for an invite, and redeems it; tries again when the network fails. */
  async join(via: SimulatedNode): Promise<void> {
    const { clock } = this.#surroundings
    const { signal } = new AbortController()
    let code: string | undefined
    for (let attempt = 1; ; attempt++) {
      const network = this.#network(this.key.node)
      try {
        code ??= (await via.ask(({ calls }) => calls.invite({ role: 'writer', expiresMs: inviteMs }, { signal }))).code
        await network.start()
        const joined = await redeem(
          code,
          this.name,
          { clock, random: this.#random, log: this.#log, signal, network },
          this.key,
        )
        await network.stop()
        await this.#settleIn(joined, joined)
        break
      } catch (error) {
        await network.stop()
        if (!(error instanceof HedgerowError) || attempt === joinAttempts) throw error
        this.#log('info', 'joining failed', { attempt, reason: error.message })
      }
      await clock.sleep(joinPauseMs)
    }
    await this.start()
  }

  /** Makes the store of a directory that becomes this identity's. */
  async #settleIn(
    { identity, entries }: { readonly identity: Identity; readonly entries: readonly Uint8Array[] },
    known?: { readonly inviter: NodeId; readonly addresses: readonly string[] },
  ): Promise<void> {
    const store = await createSiteStore(identity, this.#storeOptions())
    await store.members.add(entries)
    if (known !== undefined) await rememberAddresses(store, known.inviter, known.addresses)
    await store.close()
    this.#identity = identity
  }

  #network(node: NodeId, tag?: string): Network {
    const { world, traffic, book } = this.#surroundings
    return siteNetwork(world.network(node, tag === undefined ? {} : { tag }), traffic, book)
  }

  #storeOptions(): Parameters<typeof createSiteStore>[1] {
    return { engine: this.disk.engine(), clock: this.#surroundings.clock, random: this.#random, log: this.#log }
  }

  async start(): Promise<void> {
    if (this.#run !== undefined) return
    const identity = this.#identity
    if (identity === undefined) throw new NotFoundError(`${this.name} has not joined yet`)
    const { clock, acknowledged, gossip, reconciliation, keepActors, problem } = this.#surroundings
    const ended = new AbortController()
    const node = await openNode({
      mode: 'run',
      clock,
      random: this.#random,
      // What is tidied up behind a power cut says nothing to anybody.
      log: (...line) => ended.signal.aborted || this.#log(...line),
      engine: () => this.disk.engine(),
      identity,
      network: ({ node: id, site }) => this.#network(id, site),
      gossip,
      reconciliation,
      unsafeKeepActors: keepActors,
    })
    const run: Run = { node, ended }
    this.#run = run
    node.store.onChange((change) => {
      if (this.#run === run) acknowledged.changed(this.number, change, clock.monotonicMs())
    })
    void node.failed.then((error) => {
      // A write that failed because the power was cut is what a power cut is.
      if (this.#run === run) problem(`${this.name} failed: ${error.message}`)
    })
  }

  /** Stops as a person stops it. */
  async stop(): Promise<void> {
    const run = this.#run
    if (run === undefined) return
    await run.node.operations.calls.flush(undefined, { signal: run.ended.signal })
    this.#end(run)
    await run.node.close()
  }

  /** Cuts its power. */
  crash(): void {
    this.#cut(() => this.disk.crash())
  }

  /** Cuts its power; its disk comes up as it was at `toMs`. */
  rollback(toMs: number): void {
    this.#cut(() => this.disk.rollback(toMs))
  }

  #cut(disk: () => void): void {
    const run = this.#run
    this.#surroundings.world.disconnect(this.id)
    disk()
    if (run === undefined) return
    this.#end(run)
    // Nobody closes a process without power; this frees its memory and its timers. What it still says is nobody's.
    const ending = run.node.close().catch(() => undefined)
    this.#ending.add(ending)
    void ending.finally(() => this.#ending.delete(ending))
  }

  #end(run: Run): void {
    this.#run = undefined
    run.ended.abort(new ClosedError(`${this.name} is down`))
  }

  /** Asks the running node. Throws `ClosedError` if it is down, or goes down before it has answered. */
  async ask<T>(question: (operations: Operations, signal: AbortSignal) => Promise<T>): Promise<T> {
    const run = this.#run
    if (run === undefined) throw new ClosedError(`${this.name} is down`)
    const { signal } = run.ended
    const { promise, reject } = Promise.withResolvers<never>()
    const onEnd = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', onEnd, { once: true })
    try {
      const answer = await Promise.race([question(run.node.operations, signal), promise])
      // An answer that comes out of a machine without power was never given.
      signal.throwIfAborted()
      return answer
    } finally {
      signal.removeEventListener('abort', onEnd)
    }
  }

  /** Stops and waits for everything that this node ever started. */
  async close(): Promise<void> {
    await this.stop()
    await Promise.all(this.#ending)
  }
}
