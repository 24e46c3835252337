/** The one composition of a node: what `run`, every command, the tests and the simulator work with. */
import { existsSync } from 'node:fs'
import {
  ClosedError,
  NotAllowedError,
  systemClock,
  systemRandom,
  WrongSiteError,
  type Clock,
  type Random,
} from '../model/index.ts'
import {
  createLibp2pNetwork,
  createPeer,
  readIdentity,
  signerOf,
  type Identity,
  type Network,
  type Peer,
} from '../peer/index.ts'
import { openStore, type Engine, type Store, type StoreLog } from '../store/index.ts'
import { nodeOperations } from './answers.ts'
import { Cleanup } from './cleanup.ts'
import { serveControl } from './control/server.ts'
import { socketPlace } from './control/socket-place.ts'
import {
  directory,
  freeBytes,
  keepReserve,
  levelEngine,
  namingHolder,
  noteHolder,
  requireStore,
  type Directory,
} from './directory.ts'
import { checkMultiaddrs } from './multiaddrs.ts'
import { noteLogDamage } from './log-damage.ts'
import type { Operations } from './operations.ts'
import { defaultPort, freePort, listenAddresses } from './ports.ts'
import { sideKeys } from './side-keys.ts'
import { finishSiteChange } from './site-change.ts'

export interface NodeOptions {
  /** The node's directory. Left out in the simulator, which gives `engine`, `identity` and `network` instead. */
  readonly dir?: string
  /** `run`: with peers and the control socket. `offline`: the store alone, for a command. */
  readonly mode: 'run' | 'offline'
  readonly clock?: Clock
  readonly random?: Random
  readonly log?: StoreLog
  /** Makes the storage engine, not yet opened; LevelDB in `dir` when left out. */
  readonly engine?: () => Engine
  readonly identity?: Identity
  /** Makes the network; libp2p when left out. */
  readonly network?: (identity: Identity) => Network
  /** Multiaddrs; port 47474 or the next free one on IPv4 and IPv6 when left out. */
  readonly listen?: readonly string[]
  /** Multiaddrs told to other nodes instead of those listened on. */
  readonly announce?: readonly string[]
  /** Multiaddrs that are dialled for ever. */
  readonly staticPeers?: readonly string[]
  /** Find others on the local network; true when left out. */
  readonly mdns?: boolean
  readonly gossip?: boolean
  readonly reconciliation?: boolean
  /** Keeps actors across restarts. Only for the test that shows why this must not be. */
  readonly unsafeKeepActors?: boolean
}

export interface Node extends AsyncDisposable {
  /** Absent in memory. */
  readonly dir: Directory | undefined
  readonly mode: 'run' | 'offline'
  /** Absent in a restored directory that has no identity yet. */
  readonly identity: Identity | undefined
  readonly store: Store
  /** Absent offline. */
  readonly peer: Peer | undefined
  readonly operations: Operations
  /** Resolves with the error when a write to disk failed: the node must be closed, nothing more is acknowledged. */
  readonly failed: Promise<Error>
  /** Stops the peer, flushes, closes the store. Idempotent. */
  close(): Promise<void>
}

/** Opens a node. Throws `NotFoundError` where there is no store, `LockedError` where another process has it. */
export async function openNode(options: NodeOptions): Promise<Node> {
  checkMultiaddrs([...(options.listen ?? []), ...(options.announce ?? []), ...(options.staticPeers ?? [])])
  const node = new ComposedNode(options)
  try {
    await node.open()
    return node
  } catch (error) {
    await closeAfterFailure(() => node.close(), node.environment.log)
    throw error
  }
}

/** What is replaced when a running node joins another site. */
interface Parts {
  readonly identity: Identity | undefined
  readonly store: Store
  readonly peer: Peer | undefined
  readonly close: () => Promise<void>
}

export interface NodeEnvironment {
  readonly clock: Clock
  readonly random: Random
  readonly log: StoreLog
}

class ComposedNode implements Node {
  readonly dir: Directory | undefined
  readonly mode: 'run' | 'offline'
  readonly environment: NodeEnvironment
  readonly operations: Operations
  readonly failed: Promise<Error>
  readonly #options: NodeOptions
  readonly #cleanup = new Cleanup()
  readonly #fail: (error: Error) => void
  #parts: Parts | undefined
  /** Resolves when no change of site is under way. */
  #ready: Promise<void> = Promise.resolve()

  constructor(options: NodeOptions) {
    this.#options = options
    this.mode = options.mode
    this.dir = options.dir === undefined ? undefined : directory(options.dir)
    this.environment = {
      clock: options.clock ?? systemClock,
      random: options.random ?? systemRandom,
      log: options.log ?? ((): void => undefined),
    }
    const { promise, resolve } = Promise.withResolvers<Error>()
    this.failed = promise
    this.#fail = resolve
    this.operations = nodeOperations({
      environment: this.environment,
      current: async () => {
        await this.#ready
        return this
      },
      moveSite: (move) => this.#moveSite(move),
    })
  }

  get identity(): Identity | undefined {
    return this.#present().identity
  }

  get store(): Store {
    return this.#present().store
  }

  get peer(): Peer | undefined {
    return this.#present().peer
  }

  #present(): Parts {
    if (this.#parts === undefined) throw new ClosedError('the node is closed')
    return this.#parts
  }

  async open(): Promise<void> {
    const { dir } = this
    if (dir !== undefined) {
      if (!existsSync(dir.joining)) requireStore(dir.path)
      await finishSiteChange(dir, this.environment)
      await keepReserve(dir)
    }
    this.#cleanup.add(() => this.#closeParts())
    this.#parts = await this.#openParts()
    if (dir === undefined) return
    this.#cleanup.add(noteHolder(dir))
    if (this.mode === 'offline') return
    const control = await serveControl(this.operations, socketPlace(dir.path), (error) =>
      this.environment.log('warn', 'a control connection broke', { reason: String(error) }),
    )
    this.#cleanup.add(() => control.close())
  }

  /** Gives the parts up, runs `move` on the closed directory, and opens what is there then. Operations wait meanwhile. */
  async #moveSite(move: (dir: Directory) => Promise<void>): Promise<void> {
    const { dir } = this
    if (dir === undefined) throw new NotAllowedError('a node in memory cannot change its site')
    const { promise, resolve } = Promise.withResolvers<void>()
    await this.#ready
    this.#ready = promise
    try {
      await this.#closeParts()
      await move(dir)
      this.#parts = await this.#openParts()
    } finally {
      resolve()
    }
  }

  async #closeParts(): Promise<void> {
    const parts = this.#parts
    this.#parts = undefined
    await parts?.close()
  }

  async #openParts(): Promise<Parts> {
    const cleanup = new Cleanup()
    try {
      const { identity, store } = await this.#openStore(cleanup)
      const peer = this.mode === 'run' ? await this.#startPeer(identity, store, cleanup) : undefined
      return { identity, store, peer, close: () => cleanup.run() }
    } catch (error) {
      await closeAfterFailure(() => cleanup.run(), this.environment.log)
      throw error
    }
  }

  async #openStore(cleanup: Cleanup): Promise<{ identity: Identity | undefined; store: Store }> {
    const { dir, environment } = this
    const { engine, unsafeKeepActors } = this.#options
    const identity = this.#options.identity ?? (dir === undefined ? undefined : await readIdentity(dir.path))
    const open = (): Promise<Store> =>
      openStore({
        ...environment,
        engine: engine?.() ?? levelEngine(requirePath(dir).store),
        ...(identity === undefined ? {} : { signer: signerOf(identity) }),
        ...(dir === undefined ? {} : { freeBytes: () => freeBytes(dir.path) }),
        ...(unsafeKeepActors === undefined ? {} : { unsafeKeepActors }),
      })
    const store = dir === undefined ? await open() : await namingHolder(dir, open)
    cleanup.add(() => store.close())
    store.onFailure(this.#fail)
    if (dir !== undefined && engine === undefined)
      await noteLogDamage(dir, store, environment.clock.nowUs(), environment.log)
    if (identity !== undefined) {
      if (identity.site !== store.site)
        throw new WrongSiteError(
          `the identity in ${dir?.identity ?? 'memory'} is of site ${identity.site}, the store is of site ${store.site}: put the right identity.key there`,
        )
      await store.members.add(identity.entries)
    }
    return { identity, store }
  }

  async #startPeer(identity: Identity | undefined, store: Store, cleanup: Cleanup): Promise<Peer> {
    if (identity === undefined)
      throw new NotAllowedError(
        'this directory was restored and has no identity yet: bring it back with "hedgerow identity import FILE", join the living site with "hedgerow join CODE", or restore with --new-site when no admin is left',
      )
    const { gossip, reconciliation, staticPeers = [] } = this.#options
    const network = this.#options.network?.(identity) ?? (await this.#libp2p(identity, store))
    const peer = createPeer({
      ...this.environment,
      store,
      identity,
      network,
      staticPeers,
      ...(gossip === undefined ? {} : { gossip }),
      ...(reconciliation === undefined ? {} : { reconciliation }),
    })
    cleanup.add(() => peer.stop())
    await peer.start()
    return peer
  }

  async #libp2p(identity: Identity, store: Store): Promise<Network> {
    const { listen, announce, mdns = true } = this.#options
    return createLibp2pNetwork({
      ...this.environment,
      privateSeed: identity.privateSeed,
      psk: identity.psk,
      listen: listen ?? listenAddresses(await this.#port(store)),
      ...(announce === undefined ? {} : { announce }),
      mdns: mdns ? { tag: mdnsTag(identity.site) } : undefined,
    })
  }

  /** The port of the last run if it is free, else the default one or the next free after it. */
  async #port(store: Store): Promise<number> {
    const remembered = await store.side.get(sideKeys.listenPort)
    const port = await freePort(typeof remembered === 'number' ? remembered : defaultPort)
    if (port !== remembered) await store.side.put(sideKeys.listenPort, port)
    return port
  }

  close(): Promise<void> {
    return this.#cleanup.run()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** Closes what was opened before a failure. The failure itself is what the caller hears of; what closing says is logged. */
async function closeAfterFailure(close: () => Promise<void>, log: StoreLog): Promise<void> {
  try {
    await close()
  } catch (error) {
    log('warn', 'closing after a failure failed, too', { reason: String(error) })
  }
}

/** The site's own mDNS service: only its nodes ask for it. A DNS label has at most 63 characters. */
function mdnsTag(site: string): string {
  return `_hedgerow-${site.slice(0, 16)}._udp.local`
}

function requirePath(dir: Directory | undefined): Directory {
  if (dir === undefined) throw new NotAllowedError('a node needs a directory or an engine')
  return dir
}
