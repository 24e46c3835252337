import assert from 'node:assert/strict'
import { ClosedError } from '../../src/model/index.ts'
import { createSeededRandom } from '../../src/peer/index.ts'
import type { Store } from '../../src/store/index.ts'
import { addressOf, appendSome, createTestSite, startUs, type SiteNode, type TestSite } from './site.ts'

const hourUs = 3_600_000_000

function nth({ nodes }: TestSite, n: number): SiteNode {
  const node = nodes[n]
  assert.ok(node !== undefined)
  return node
}

/** Runs until a promise has settled; fails if that takes longer. */
async function within<T>({ clock }: TestSite, ms: number, what: string, work: Promise<T>): Promise<T> {
  let done = false
  const watched = work.finally(() => (done = true))
  // A failure is thrown below, not here.
  watched.catch(() => undefined)
  assert.ok(await clock.runUntil(() => done, ms), `${what} took more than ${ms} ms`)
  return watched
}

/** A store that counts who listens to its changes. */
function counted(store: Store): { readonly store: Store; readonly listening: () => number } {
  let listening = 0
  const onChange: Store['onChange'] = (listener) => {
    const remove = store.onChange(listener)
    listening++
    return () => {
      listening--
      remove()
    }
  }
  const proxy = new Proxy(store, {
    get(target, name) {
      if (name === 'onChange') return onChange
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  return { store: proxy, listening: () => listening }
}

describe('a site in turmoil', () => {
  it('comes together again when twelve nodes return at once, each with news', async () => {
    await using site = await createTestSite(12, { delayMs: [5, 40] })
    for (const node of site.nodes) await appendSome(node, 20)
    await Promise.all(site.nodes.map(({ peer }) => peer.start()))
    await site.converge(20_000)
    for (const node of site.nodes) await site.crash(node)
    for (const node of site.nodes) await appendSome(node, 10, startUs + hourUs)
    await Promise.all(site.nodes.map(({ peer }) => peer.start()))
    await site.converge(20_000)
    await site.clock.runFor(5_000)
    assert.equal((await nth(site, 0).store.totals()).records, 360)
    for (const { peer, log } of site.nodes) {
      assert.ok((await peer.status()).every(({ connected }) => connected))
      assert.equal(await peer.atRisk(), 0)
      assert.deepEqual(
        log.filter(({ level }) => level === 'error'),
        [],
      )
    }
  })

  it('owes nothing to a peer that is gone for good', async () => {
    await using site = await createTestSite(3)
    for (const { peer } of site.nodes) await peer.start()
    await appendSome(nth(site, 0), 10)
    await site.converge(3_000)
    await site.clock.runFor(1_000)
    site.world.partition([[nth(site, 0).node, nth(site, 1).node], [nth(site, 2).node]])
    await appendSome(nth(site, 0), 10, startUs + hourUs)
    await nth(site, 0).store.sealOpen()
    await site.clock.runFor(86_400_000 / 4)
    const [present, gone] = [nth(site, 1).node, nth(site, 2).node]
    assert.equal(await nth(site, 0).peer.atRisk(), 0)
    const statuses = await nth(site, 0).peer.status()
    const none = { records: 0, bytes: 0 }
    const here = statuses.find(({ node }) => node === present)
    assert.deepEqual([here?.connected, here?.synced, here?.behind, here?.ahead], [true, true, none, none])
    const away = statuses.find(({ node }) => node === gone)
    assert.deepEqual([away?.connected, away?.synced, away?.ahead.records], [false, false, 10])
  })

  for (let seed = 1; seed <= 8; seed++)
    it(`stops within seconds at any moment, and goes on afterwards (seed ${seed})`, async () => {
      const random = createSeededRandom(seed)
      await using site = await createTestSite(3, { seed, delayMs: [5, 60], loss: 0.05 })
      const [a, b] = [nth(site, 0), nth(site, 1)]
      for (let i = 0; i < 6; i++) {
        await appendSome(a, 400, startUs + i * hourUs)
        if (i % 2 === 0) await a.store.sealOpen()
      }
      for (const { peer } of site.nodes) await peer.start()
      await site.clock.runFor(Math.floor(random.uniform() * 3_000))
      await within(site, 10_000, 'stopping', b.peer.stop())
      const digest = await b.store.digest()
      await site.clock.runFor(5_000)
      assert.equal(await b.store.digest(), digest, 'something came after the stop')
      site.makePeer(b)
      await b.peer.start()
      await site.converge(120_000)
    })

  it('stops at any step of its start, and leaves nothing behind that listens to its store', async () => {
    for (let turns = 0; turns < 60; turns++) {
      await using site = await createTestSite(1)
      const node = nth(site, 0)
      const { store, listening } = counted(node.store)
      site.makePeer(node, { store })
      const starting = node.peer.start().catch((error: unknown) => assert.ok(error instanceof ClosedError))
      for (let turn = 0; turn < turns; turn++) await Promise.resolve()
      await within(site, 10_000, 'stopping', node.peer.stop())
      await within(site, 10_000, 'starting', starting)
      assert.equal(listening(), 0, `after ${turns} turns`)
      await assert.rejects(node.peer.start(), ClosedError)
    }
  })

  it('survives that two nodes dial and drop each other again and again', async () => {
    await using site = await createTestSite(2)
    const [a, b] = [nth(site, 0), nth(site, 1)]
    for (const { peer } of site.nodes) await peer.start()
    const { signal } = new AbortController()
    for (let i = 0; i < 20; i++) {
      const dials = Promise.allSettled([
        a.peer.connect([addressOf(b.node)], { signal }),
        b.peer.connect([addressOf(a.node)], { signal }),
      ])
      await site.clock.runFor(10 * (i % 7))
      site.world.partition([[a.node], [b.node]])
      site.world.heal()
      await within(site, 20_000, 'dialling', dials)
    }
    await appendSome(a, 5)
    await site.converge(120_000)
    await site.clock.runFor(2_000)
    for (const { peer } of site.nodes) assert.equal((await peer.status())[0]?.synced, true)
  })

  it('is not disturbed by a listener that throws', async () => {
    await using site = await createTestSite(2)
    for (const { peer } of site.nodes) {
      peer.onEvent(() => {
        throw new Error('a listener')
      })
      await peer.start()
    }
    await appendSome(nth(site, 0), 5)
    await site.converge(3_000)
    await site.clock.runFor(1_000)
    assert.equal((await nth(site, 1).peer.status())[0]?.synced, true)
  })
})
