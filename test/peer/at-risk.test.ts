import assert from 'node:assert/strict'
import { createSeededRandom, storedPeerStatus } from '../../src/peer/index.ts'
import { issueRevocation, openStore, type Store } from '../../src/store/index.ts'
import { signerOf } from '../../src/peer/index.ts'
import { appendSome, createTestSite, startUs, type SiteNode, type TestSite } from './site.ts'

const hourUs = 3_600_000_000

/** Records of `lost` that none of the others holds, read from their stores. */
async function lackingElsewhere(lost: Store, others: readonly Store[]): Promise<number> {
  await using snapshot = await lost.snapshot()
  let lacking = 0
  for await (const { id, records } of snapshot.documents()) {
    let best = 0
    for (const store of others) {
      await using held = await store.snapshot()
      best = Math.max(best, (await held.state(id))?.records ?? 0)
    }
    lacking += Math.max(0, records - best)
  }
  return lacking
}

function pair({ nodes }: TestSite): [SiteNode, SiteNode] {
  const [a, b] = nodes
  assert.ok(a !== undefined && b !== undefined)
  return [a, b]
}

describe('at risk', () => {
  for (let seed = 1; seed <= 20; seed++)
    it(`is at least what the others lack when the node vanishes at a random moment (seed ${seed})`, async () => {
      const random = createSeededRandom(seed)
      const gossip = random.uniform() < 0.7
      await using site = await createTestSite(3, { seed, loss: 0.1, delayMs: [5, 80], gossip })
      const [a] = pair(site)
      for (const { peer } of site.nodes) await peer.start()
      const steps = 1 + Math.floor(random.uniform() * 25)
      let appended = 0
      for (let i = 0; i < steps; i++) {
        const count = 1 + Math.floor(random.uniform() * 40)
        await appendSome(a, count, startUs + i * hourUs)
        appended += count
        if (random.uniform() < 0.2) await a.store.sealOpen()
        if (random.uniform() < 0.1) site.world.partition([[a.node]])
        else if (random.uniform() < 0.3) site.world.heal()
        await site.clock.runFor(Math.floor(random.uniform() * 700))
      }
      const risk = await a.peer.atRisk()
      site.world.disconnect(a.node)
      const others = site.nodes.slice(1).map(({ store }) => store)
      const lacking = await lackingElsewhere(a.store, others)
      assert.ok(lacking <= risk, `${lacking} of ${appended} records are lost, ${risk} were reported at risk`)
    })

  it('is everything again after a start, until a peer was reconciled', async () => {
    await using site = await createTestSite(2)
    const [a, b] = pair(site)
    for (const { peer } of site.nodes) await peer.start()
    await appendSome(a, 40)
    await site.converge(3_000)
    await site.clock.runFor(1_000)
    assert.equal(await a.peer.atRisk(), 0)
    site.world.disconnect(b.node)
    await site.crash(a)
    await a.peer.start()
    await site.clock.runFor(1_000)
    assert.equal(await a.peer.atRisk(), 40)
    const [status] = await a.peer.status()
    assert.deepEqual([status?.connected, status?.synced, status?.ahead.records], [false, false, 40])
  })

  it('is everything again when the only other node is revoked, connected or not', async () => {
    for (const isConnected of [true, false]) {
      await using site = await createTestSite(2)
      const [a, b] = pair(site)
      for (const { peer } of site.nodes) await peer.start()
      await appendSome(a, 40)
      await site.converge(3_000)
      await site.clock.runFor(1_000)
      assert.equal(await a.peer.atRisk(), 0)
      if (!isConnected) site.world.disconnect(b.node)
      await site.clock.runFor(1_000)
      await a.store.members.add(issueRevocation(signerOf(a.identity), a.store.members, { node: b.node, keep: [] }))
      await site.clock.runFor(1_000)
      assert.equal(await a.peer.atRisk(), 40)
    }
  })

  it('of a stopped node is what it was at a clean stop, and everything once a record was added', async () => {
    await using site = await createTestSite(2)
    const [a] = pair(site)
    for (const { peer } of site.nodes) await peer.start()
    await appendSome(a, 40)
    await site.converge(3_000)
    await site.clock.runFor(1_000)
    let stopped = false
    const stop = a.peer.stop().finally(() => (stopped = true))
    await site.clock.runUntil(() => stopped, 10_000)
    await stop
    await a.store.close()
    a.store = await openStore({
      engine: a.engine,
      clock: site.clock,
      random: createSeededRandom(9),
      signer: signerOf(a.identity),
    })
    const clean = await storedPeerStatus(a.store)
    assert.equal(clean.atRisk, 0)
    assert.equal(clean.peers[0]?.ahead.records, 0)
    assert.ok((clean.peers[0].lastSynced ?? 0) > startUs)
    assert.ok(clean.peers[0].addresses.length > 0)
    await appendSome(a, 1, startUs + hourUs)
    const after = await storedPeerStatus(a.store)
    assert.equal(after.atRisk, 41)
    assert.equal(after.peers[0]?.ahead.records, 41)
  })
})
