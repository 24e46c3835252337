import assert from 'node:assert/strict'
import { NetworkError, systemClock, systemRandom } from '../../src/model/index.ts'
import {
  createLibp2pNetwork,
  createNodeKey,
  createPeer,
  decodeInvite,
  redeemInvite,
  signerOf,
  type Identity,
  type Network,
  type NodeKey,
  type Peer,
} from '../../src/peer/index.ts'
import { createStore, foundSite, type Store } from '../../src/store/index.ts'
import { memoryEngine, reading } from '../support/store.ts'

interface Gateway extends AsyncDisposable {
  readonly store: Store
  readonly peer: Peer
  readonly identity: Identity
}

function networkOf(key: NodeKey, psk: Uint8Array): Network {
  return createLibp2pNetwork({
    privateSeed: key.privateSeed,
    psk,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: undefined,
    log: () => undefined,
    clock: systemClock,
  })
}

async function gateway(
  identity: Identity,
  members: readonly Uint8Array[],
  staticPeers: readonly string[],
): Promise<Gateway> {
  const { site } = identity
  const engine = memoryEngine()
  const signer = signerOf(identity)
  const store = await createStore({ engine, clock: systemClock, random: systemRandom, signer }, { site, members })
  const network = networkOf(identity, identity.psk)
  const log = (): void => undefined
  const peer = createPeer({ store, identity, network, clock: systemClock, random: systemRandom, log, staticPeers })
  await peer.start()
  return {
    store,
    peer,
    identity,
    async [Symbol.asyncDispose]() {
      await peer.stop()
      await store.close()
    },
  }
}

async function founder(): Promise<Gateway> {
  const key = createNodeKey(systemRandom)
  const { site, entry } = foundSite(signerOf(key), 'founder')
  const psk = systemRandom.bytes(32)
  return gateway({ ...key, site, psk, name: 'founder', entries: [entry] }, [entry], [])
}

async function join(inviter: Gateway, name: string): Promise<Gateway> {
  const invite = decodeInvite((await inviter.peer.invite({ role: 'writer', expiresMs: 60_000 })).code)
  const key = createNodeKey(systemRandom)
  await using network = networkOf(key, invite.psk)
  await network.start()
  const signal = AbortSignal.timeout(10_000)
  const { entries, addresses } = await redeemInvite({ network, invite, name, signal })
  await network.stop()
  return gateway({ ...key, site: invite.site, psk: invite.psk, name, entries: [] }, entries, addresses)
}

/** Resolves when `done` says so; fails after ten seconds with what it waited for. */
async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < 10_000; waited += 20) {
    if (await done()) return
    await systemClock.sleep(20)
  }
  assert.fail(`waited ten seconds for ${what}`)
}

describe('peers over libp2p', () => {
  it('join, find each other through the inviter, and share everything', async () => {
    await using a = await founder()
    await a.store.append([reading('a/air', 1_000_000, { t: 20 })], { flush: true })
    await using b = await join(a, 'second')
    await using c = await join(a, 'third')
    const all = [a, b, c]
    await until('everybody to be connected', async () => {
      const statuses = await Promise.all(all.map(({ peer }) => peer.status()))
      return statuses.every((peers) => peers.length === 2 && peers.every(({ connected }) => connected))
    })
    for (const [n, { store }] of all.entries())
      await store.append([reading('shared/air', 2_000_000, { t: n })], { flush: true })
    await until('one digest', async () => new Set(await Promise.all(all.map(({ store }) => store.digest()))).size === 1)
    await until('no record at risk', async () => {
      const risks = await Promise.all(all.map(({ peer }) => peer.atRisk()))
      return risks.every((risk) => risk === 0)
    })
    const shown = await Promise.all(all.map(({ store }) => store.content()))
    assert.equal(new Set(shown).size, 1)
    assert.equal((await a.store.totals()).records, 4)
    assert.deepEqual((await b.peer.status()).map(({ name }) => name).sort(), ['founder', 'third'])
  })

  it('connect again by themselves after one was away', async () => {
    await using a = await founder()
    await using b = await join(a, 'second')
    await until('a connection', async () => (await a.peer.status())[0]?.connected === true)
    await b.peer.stop()
    await until('the end of the connection', async () => (await a.peer.status())[0]?.connected === false)
    await a.store.append([reading('a/air', 1_000_000, { t: 1 })], { flush: true })
    const { identity, store } = b
    const network = networkOf(identity, identity.psk)
    const [clock, random] = [systemClock, systemRandom]
    // No address is given: it remembers where the others were.
    const again = createPeer({ store, identity, network, clock, random, log: () => undefined })
    await again.start()
    await until('one digest', async () => (await a.store.digest()) === (await store.digest()))
    await again.stop()
  })

  it('do not even hear of someone with another pre-shared key', async () => {
    await using a = await founder()
    await using network = networkOf(createNodeKey(systemRandom), systemRandom.bytes(32))
    await network.start()
    await assert.rejects(network.connect(a.peer.addresses(), { signal: AbortSignal.timeout(10_000) }), NetworkError)
    assert.deepEqual(await a.peer.status(), [])
  })
})
