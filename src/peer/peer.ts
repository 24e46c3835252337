/** Puts the peer part together: connections, sessions, gossip, transfers and evidence of one node. */
import {
  ClosedError,
  NetworkError,
  NotAllowedError,
  RefusedError,
  type NodeId,
  type Timer,
  type TimeUs,
} from '../model/index.ts'
import type { Role } from '../store/index.ts'
import { addressBook } from './address-book.ts'
import { Connections } from './connections.ts'
import { peerLimits, protocols } from './constants.ts'
import { reasonOf, Tasks, type PeerContext } from './context.ts'
import { Dialler } from './dialler.ts'
import { Evidence } from './evidence.ts'
import { Gossip } from './gossip.ts'
import { ownHello } from './hello.ts'
import { signerOf } from './identity.ts'
import { encodeInvite } from './invite-code.ts'
import { openInvites, type Invites } from './invites.ts'
import { answerJoin } from './join.ts'
import {
  forgetAtRisk,
  loadSeen,
  ownAddresses,
  rememberAddresses,
  rememberAtRisk,
  rememberedAddresses,
  rememberOwnAddresses,
  rememberSeen,
  type Seen,
} from './memory.ts'
import { answerMembers, type AddressBook } from './members-exchange.ts'
import type { Hello } from './messages.ts'
import { limitedLog } from './network/limited-log.ts'
import { Pulls } from './pulls.ts'
import { Session } from './session.ts'
import { otherMembers, timesOf, type PeerStatus } from './status.ts'
import type { Peer, PeerEvent, PeerOptions } from './types.ts'

export class SitePeer implements Peer {
  readonly #options: PeerOptions
  readonly #context: PeerContext
  readonly #connections: Connections
  readonly #sessions = new Map<NodeId, Session>()
  readonly #dialler: Dialler
  readonly #book: AddressBook
  readonly #pulls: Pulls
  readonly #gossip: Gossip | undefined
  readonly #invites: Invites
  readonly #listeners = new Set<{ readonly call: (event: PeerEvent) => void }>()
  readonly #unsubscribe: (() => void)[] = []
  readonly #synced = new Set<NodeId>()
  #seen = new Map<NodeId, Seen>()
  #persisting: Timer | undefined
  #sealing = false
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor(options: PeerOptions) {
    this.#options = options
    const { store, network, clock, random, log, gossip = true, reconciliation = true } = options
    const limited = limitedLog(log, clock)
    const context = { store, network, clock, random, log: limited, evidence: new Evidence(), tasks: new Tasks(limited) }
    this.#context = context
    this.#invites = openInvites(store.side, random)
    this.#connections = new Connections(context, {
      addresses: () => network.addresses(),
      onAccepted: (hello) => this.#accepted(hello),
      onAdmitted: (node) => this.#admitted(node),
      onClosed: (node, error, admitted) => this.#closed(node, error, admitted),
      onRefused: (node, reason) => {
        this.#dialler.refused(node, reason)
        this.#emit({ type: 'peer-refused', node, reason })
      },
    })
    this.#dialler = new Dialler(context, {
      greet: (node) => this.#connections.greet(node),
      isConnected: (node) => this.#connections.isConnected(node),
      isUnwanted: (node) => node === network.node || store.members.member(node)?.revoked === true,
      isMember: (node) => store.members.member(node)?.adopted === false,
    })
    this.#book = addressBook(store, network.node, this.#dialler)
    this.#pulls = new Pulls(context, gossip ? peerLimits.graceMs : 0, {
      onRefused: (node, id, error) => this.#connections.misbehaved(node, id, error),
      onSettled: (node) => this.#noteSynced(node),
    })
    this.#gossip = gossip ? new Gossip(context, { onGap: (id) => reconciliation && this.#pulls.hurry(id) }) : undefined
  }

  start(): Promise<void> {
    if (this.#stopping !== undefined) return Promise.reject(new ClosedError('the peer was stopped: make a new one'))
    this.#starting ??= this.#start()
    return this.#starting
  }

  async #start(): Promise<void> {
    const { store, network, identity, staticPeers = [] } = this.#options
    await store.members.add(identity.entries)
    ownHello(this.#context, [])
    this.#seen = await loadSeen(store.side)
    await forgetAtRisk(store.side)
    this.#listen()
    await this.#gossip?.start()
    await network.start()
    await rememberOwnAddresses(store.side, network.addresses())
    for (const address of staticPeers) this.#dialler.addStatic(address)
    for await (const [node, addresses] of rememberedAddresses(store.side)) this.#dialler.addRemembered(node, addresses)
    this.#dialler.start()
    this.#persistLater()
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    const { store, network, tasks, evidence } = this.#context
    const reason = new ClosedError('the peer was stopped')
    // Its failure was its caller's; what it had begun is ended here.
    await this.#starting?.catch(() => undefined)
    this.#persisting?.cancel()
    this.#dialler.stop()
    for (const node of this.#sessions.keys()) this.#touch(node)
    // Before the connections end: what is known now is what the last acknowledgements said.
    const atRisk = await this.atRisk()
    this.#gossip?.stop()
    for (const session of this.#sessions.values()) session.end(reason)
    const stopped = tasks.stop(reason)
    await network.stop()
    await stopped
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe()
    if (this.#starting === undefined) return
    for (const [node, seen] of this.#seen) {
      const amounts = evidence.amounts(node)
      await rememberSeen(store.side, node, { ...timesOf(seen), ...amounts })
    }
    // Records appended since are not acknowledged: the greater number is the true one.
    await rememberAtRisk(store, Math.max(atRisk, await this.atRisk()))
  }

  addresses(): readonly string[] {
    return this.#options.network.addresses()
  }

  async status(): Promise<readonly PeerStatus[]> {
    const { store, evidence, network } = this.#context
    const { records, bytes } = await store.totals()
    return otherMembers(store, network.node).map(({ certificate: { node, name, role } }) => {
      this.#touch(node)
      const amounts = evidence.amounts(node)
      const lastError = this.#dialler.lastError(node)
      return {
        node,
        name,
        role,
        connected: this.#connections.isAdmitted(node),
        behind: evidence.behind(node),
        ahead: amounts?.ahead ?? { records, bytes },
        synced: this.#isSynced(node),
        ...timesOf(this.#seen.get(node)),
        addresses: this.#dialler.addresses(node),
        ...(lastError === undefined ? {} : { lastError }),
      }
    })
  }

  async atRisk(): Promise<number> {
    const { records } = await this.#context.store.totals()
    return this.#context.evidence.atRisk(records)
  }

  async invite({ role, expiresMs }: { role: Role; expiresMs: number }): Promise<{ code: string; expires: TimeUs }> {
    const { identity, store, clock, network } = this.#options
    const own = store.members.member(identity.node)
    if (own === undefined || own.revoked || own.adopted || own.certificate.role !== 'admin')
      throw new NotAllowedError('only an admin of the site invites: do this on a gateway of an admin')
    if (role === 'admin' && !own.founder)
      throw new NotAllowedError('only the founder of the site invites admins: do this on the gateway that founded it')
    const nowUs = clock.nowUs()
    const expires = nowUs + Math.round(expiresMs * 1000)
    const token = await this.#invites.create({ role, expires, nowUs })
    const listening = network.addresses()
    const addresses = listening.length > 0 ? listening : await ownAddresses(store.side)
    const { site, psk, node } = identity
    return { code: encodeInvite({ site, psk, token, inviter: node, expires, role, addresses }), expires }
  }

  async connect(addresses: readonly string[], { signal }: { readonly signal: AbortSignal }): Promise<NodeId> {
    const node = await this.#options.network.connect(addresses, { signal })
    await this.#connections.greet(node)
    return node
  }

  onEvent(listener: (event: PeerEvent) => void): () => void {
    const entry = { call: listener }
    this.#listeners.add(entry)
    return () => this.#listeners.delete(entry)
  }

  // ------------------------------------------------------------------------------------------------ wiring

  #listen(): void {
    const { store, network, evidence } = this.#context
    this.#handle()
    this.#unsubscribe.push(
      store.onChange((change) => {
        evidence.changed(change)
        const { id, tips } = change.state
        if (tips.length === 0) for (const session of this.#sessions.values()) session.lost(id)
        // What came by gossip or from another peer may have been all that was lacking.
        for (const node of this.#sessions.keys()) this.#noteSynced(node)
      }),
      store.members.onChange(() => this.#membersChanged()),
      network.onConnect((node, { inbound, address }) => {
        if (!inbound && address !== undefined) this.#dialler.worked(node, address)
        this.#connections.opened(node, inbound)
      }),
      network.onDisconnect((node) => this.#connections.closed(node, new NetworkError(`${node} is disconnected`))),
      network.onDiscover((node, addresses) => this.#dialler.add(node, addresses, true)),
    )
  }

  #handle(): void {
    const { store, network, identity, clock, reconciliation = true } = this.#options
    const { log } = this.#context
    const invites = this.#invites
    const signer = signerOf(identity)
    network.handle(protocols.hello, (from, incoming) => this.#connections.answer(from, incoming), { stranger: true })
    network.handle(
      protocols.join,
      (from, incoming) => {
        const parts = { store, invites, signer, addresses: network.addresses(), nowUs: clock.nowUs(), log }
        return this.#connections.joining(from, answerJoin(parts, from, incoming))
      },
      { stranger: true },
    )
    network.handle(protocols.members, (from, incoming) =>
      answerMembers(store.members, this.#book, this.#sessionOf(from).node, incoming),
    )
    if (!reconciliation) return
    network.handle(protocols.state, (from, incoming) => this.#sessionOf(from).handleStates(incoming))
    network.handle(protocols.reconcile, (from, incoming) => this.#sessionOf(from).handleReconcile(incoming))
    network.handle(protocols.pull, (from, incoming) => this.#sessionOf(from).handlePull(incoming))
  }

  #sessionOf(node: NodeId): Session {
    const session = this.#sessions.get(node)
    if (session === undefined) throw new RefusedError(`${node} has not said hello`)
    return session
  }

  #accepted(hello: Hello): void {
    const { store, evidence, tasks } = this.#context
    const { node } = hello
    store.observeOrder(hello.order)
    evidence.begin(node, hello.run)
    if (this.#sessions.has(node)) return
    const session = new Session(this.#context, this.#book, node, {
      onWanted: (from, id, settled) => this.#pulls.want(from, id, settled),
      onReported: (from) => this.#noteSynced(from),
      onReconciled: (from) => this.#reconciled(from),
      onBroken: (from, error) => {
        this.#context.log('warn', 'a session ended', { node: from, reason: reasonOf(error) })
        this.#connections.disconnect(from, new NetworkError(`the session with ${from} ended: ${reasonOf(error)}`))
      },
    })
    this.#sessions.set(node, session)
    if (hello.addresses.length === 0) return
    this.#dialler.add(node, hello.addresses, false)
    tasks.run('remembering addresses', () => rememberAddresses(store, node, this.#dialler.addresses(node)))
  }

  #admitted(node: NodeId): void {
    const session = this.#sessions.get(node)
    if (session === undefined) return
    const { reconciliation = true } = this.#options
    this.#dialler.connected(node)
    this.#touch(node)
    if (reconciliation) this.#pulls.begin(node, session.signal)
    session.start(reconciliation)
    this.#context.log('info', 'a peer connected', { node, name: this.#nameOf(node) })
    this.#emit({ type: 'peer-connected', node })
  }

  #closed(node: NodeId, error: Error, admitted: boolean): void {
    const session = this.#sessions.get(node)
    this.#synced.delete(node)
    this.#sessions.delete(node)
    session?.end(error)
    if (admitted) {
      this.#markSeen(node)
      this.#context.log('info', 'a peer disconnected', { node, name: this.#nameOf(node), reason: error.message })
      this.#emit({ type: 'peer-disconnected', node })
    }
    this.#dialler.disconnected(node)
  }

  #reconciled(node: NodeId): void {
    this.#pulls.retry(node)
    this.#noteSynced(node)
    this.#sealLeftOpen()
  }

  #membersChanged(): void {
    const { store, evidence } = this.#context
    // Connected or not: what a revoked node acknowledged does not count any more.
    for (const { certificate, revoked } of store.members.members()) if (revoked) evidence.forget(certificate.node)
    for (const [node, session] of this.#sessions) {
      if (store.members.member(node)?.revoked === true) {
        this.#connections.disconnect(node, new NotAllowedError(`${node} was revoked`))
        continue
      }
      session.membersChanged()
      // What was refused may only have come before its author's certificate.
      if (this.#connections.isAdmitted(node)) this.#pulls.retry(node)
    }
  }

  /** Journals that an earlier run of this node left open are sealed once a reconciled peer holds the same. */
  #sealLeftOpen(): void {
    if (this.#sealing) return
    this.#sealing = true
    const { store, evidence, tasks } = this.#context
    tasks.run('sealing what was left open', async () => {
      try {
        await store.sealLeftOpen((id) => evidence.confirmed(id))
      } finally {
        this.#sealing = false
      }
    })
  }

  // ------------------------------------------------------------------------------------------------ status

  #isSynced(node: NodeId): boolean {
    const amounts = this.#context.evidence.amounts(node)
    return amounts !== undefined && amounts.behind.records === 0 && amounts.ahead.records === 0
  }

  #noteSynced(node: NodeId): void {
    if (!this.#isSynced(node)) {
      this.#synced.delete(node)
      return
    }
    if (this.#synced.has(node) || !this.#sessions.has(node)) return
    this.#synced.add(node)
    this.#touch(node)
    this.#emit({ type: 'synced', node })
  }

  #touch(node: NodeId): void {
    if (this.#connections.isAdmitted(node)) this.#markSeen(node)
  }

  /** Writes down that a node is here now, and synced if it is. */
  #markSeen(node: NodeId): void {
    const now = this.#context.clock.nowUs()
    const known = this.#seen.get(node)
    this.#seen.set(node, { ...timesOf(known), lastSeen: now, ...(this.#isSynced(node) ? { lastSynced: now } : {}) })
  }

  #persistLater(): void {
    const { clock, store, tasks } = this.#context
    this.#persisting = clock.setTimer(() => {
      tasks.run('remembering peers', async () => {
        for (const node of this.#sessions.keys()) {
          this.#touch(node)
          const seen = this.#seen.get(node)
          if (seen !== undefined) await rememberSeen(store.side, node, timesOf(seen))
        }
        await rememberOwnAddresses(store.side, this.addresses())
      })
      // Alone for a day: the store seals without a peer to ask.
      if (this.#sessions.size === 0) this.#sealLeftOpen()
      this.#persistLater()
    }, peerLimits.persistMs)
  }

  #nameOf(node: NodeId): string {
    return this.#options.store.members.member(node)?.certificate.name ?? node
  }

  #emit(event: PeerEvent): void {
    for (const { call } of this.#listeners)
      try {
        call(event)
      } catch (error) {
        this.#context.log('error', 'a listener to events of peers failed', {
          type: event.type,
          reason: reasonOf(error),
        })
      }
  }
}
