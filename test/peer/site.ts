/** A site of peers over the simulated network: virtual clock, seeded randomness, stores in memory. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  createPeer,
  createSeededRandom,
  createSimulatedWorld,
  createVirtualClock,
  nodeKeyFromSeed,
  type Identity,
  type Peer,
  type PeerEvent,
  type PeerOptions,
  type SimulatedWorld,
  type VirtualClock,
} from '../../src/peer/index.ts'
import { signerOf } from '../../src/peer/index.ts'
import type { NodeId } from '../../src/model/index.ts'
import { createStore, foundSite, issueCertificate, openStore, type Engine, type Store } from '../../src/store/index.ts'
import { memoryEngine, reading } from '../support/store.ts'

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: Record<string, unknown>
}

export interface SiteNode {
  readonly n: number
  readonly node: NodeId
  readonly identity: Identity
  readonly engine: Engine
  store: Store
  peer: Peer
  readonly log: LogLine[]
  readonly events: PeerEvent[]
}

export interface TestSite extends AsyncDisposable {
  readonly clock: VirtualClock
  readonly world: SimulatedWorld
  readonly nodes: SiteNode[]
  /** Makes a peer for a node's store, in place of one that was stopped or crashed. */
  makePeer(node: SiteNode, options?: Partial<PeerOptions>): Peer
  /** Loses whatever was not written, and starts a new run on the same engine. */
  crash(node: SiteNode): Promise<void>
  /** Runs until all stores have one digest. */
  converge(limitMs: number, nodes?: readonly SiteNode[]): Promise<void>
}

export interface SiteOptions extends Partial<PeerOptions> {
  readonly seed?: number
  readonly loss?: number
  readonly delayMs?: readonly [number, number]
  /** Everybody dials everybody; `line`: each only the next; `none`: nobody. */
  readonly links?: 'all' | 'line' | 'none'
}

export const startUs: number = Date.UTC(2026, 10, 1) * 1000

export function testIdentity(n: number): Pick<Identity, 'node' | 'publicKey' | 'privateSeed'> {
  return nodeKeyFromSeed(createHash('sha256').update(`site test ${n}`).digest())
}

export function addressOf(node: NodeId): string {
  return `/memory/${node}/p2p/${node}`
}

export async function createTestSite(count: number, options: SiteOptions = {}): Promise<TestSite> {
  const { seed = 1, loss = 0, delayMs = [1, 5], links = 'all', ...peerOptions } = options
  const clock = createVirtualClock(startUs)
  const random = createSeededRandom(seed)
  const world = createSimulatedWorld({ clock, random, delayMs, loss })
  const founder = testIdentity(0)
  const { site, entry } = foundSite(signerOf({ ...founder }), 'node-0')
  const entries = [entry]
  const nodes: SiteNode[] = []
  const makePeer = (node: SiteNode, more: Partial<PeerOptions> = {}): Peer => {
    const staticPeers = nodes
      .filter(({ n }) => (links === 'all' ? n !== node.n : links === 'line' && n === node.n + 1))
      .map((other) => addressOf(other.node))
    const peer = createPeer({
      store: node.store,
      identity: node.identity,
      network: world.network(node.node),
      clock,
      random,
      log: (level, message, fields) => node.log.push({ level, message, fields }),
      staticPeers,
      ...peerOptions,
      ...more,
    })
    peer.onEvent((event) => node.events.push(event))
    node.peer = peer
    return peer
  }
  for (let n = 0; n < count; n++) {
    const key = testIdentity(n)
    const engine = memoryEngine()
    if (n > 0) {
      const founderStore = (nodes[0] as SiteNode).store
      entries.push(
        issueCertificate(signerOf(founder), founderStore.members, {
          node: key.node,
          name: `node-${n}`,
          role: 'writer',
        }),
      )
    }
    const own = entries.slice(0, 1).concat(n > 0 ? entries.slice(-1) : [])
    const store = await createStore({ engine, clock, random, signer: signerOf(key) }, { site, members: own })
    const identity: Identity = { ...key, site, psk: new Uint8Array(32), name: `node-${n}`, entries: own.slice(-1) }
    const node = { n, node: key.node, identity, engine, store, log: [], events: [] } as unknown as SiteNode
    nodes.push(node)
  }
  for (const node of nodes) makePeer(node)
  const stop = async (work: Promise<unknown>): Promise<void> => {
    let done = false
    const finished = work.finally(() => (done = true))
    assert.ok(await clock.runUntil(() => done, 60_000), 'stopping took more than a minute')
    await finished
  }
  return {
    clock,
    world,
    nodes,
    makePeer,
    async crash(node) {
      world.disconnect(node.node)
      await stop(node.peer.stop())
      await stop(node.store.close())
      const reopened = node.engine
      node.store = await openStore({ engine: reopened, clock, random, signer: signerOf(node.identity) })
      makePeer(node)
    },
    async converge(limitMs, among = nodes) {
      const step = 100
      for (let waited = 0; ; waited += step) {
        const digests = new Set(await Promise.all(among.map(({ store }) => store.digest())))
        if (digests.size === 1) return
        assert.ok(waited < limitMs, `the nodes did not converge within ${limitMs} ms (seed ${seed})`)
        await clock.runFor(step)
      }
    },
    async [Symbol.asyncDispose]() {
      await stop(Promise.all(nodes.map(({ peer }) => peer.stop())))
      for (const { store } of nodes) await stop(store.close())
    },
  }
}

/** Appends readings of one sensor, one a second. */
export async function appendSome(
  node: SiteNode,
  count: number,
  from: number = startUs,
  sensor: string = `node-${node.n}/air`,
): Promise<void> {
  const readings = Array.from({ length: count }, (_, i) =>
    reading(sensor, from + i * 1_000_000, { t: 20 + (i % 7) / 10 }),
  )
  await node.store.append(readings, { flush: true })
}
