import assert from 'node:assert/strict'
import { parseFieldName, parseSensorId } from '../../src/model/index.ts'
import { addressOf, appendSome, createTestSite, startUs, type SiteNode, type TestSite } from './site.ts'

const hourUs = 3_600_000_000
const t = parseFieldName('t')
const shared = parseSensorId('shared/air')

async function startAll({ nodes, clock }: TestSite, forMs = 3_000): Promise<void> {
  for (const { peer } of nodes) await peer.start()
  await clock.runFor(forMs)
}

function nth({ nodes }: TestSite, n: number): SiteNode {
  const node = nodes[n]
  assert.ok(node !== undefined)
  return node
}

function warnings({ log }: SiteNode): string[] {
  return log
    .filter(({ level }) => level !== 'info')
    .map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`)
}

async function recordCounts({ nodes }: TestSite): Promise<number[]> {
  return Promise.all(nodes.map(async ({ store }) => (await store.totals()).records))
}

describe('a site of three peers', () => {
  it('shares what was appended before they met and after, without a word of complaint', async () => {
    await using site = await createTestSite(3)
    for (const node of site.nodes) await appendSome(node, 50)
    await startAll(site)
    await site.converge(2_000)
    for (const node of site.nodes) await appendSome(node, 10, startUs + hourUs)
    await site.converge(2_000)
    assert.deepEqual(await recordCounts(site), [180, 180, 180])
    for (const node of site.nodes) assert.deepEqual(warnings(node), [])
  })

  it('knows that all is everywhere: nothing at risk, everybody synced', async () => {
    await using site = await createTestSite(3)
    await appendSome(nth(site, 0), 50)
    assert.equal(await nth(site, 0).peer.atRisk(), 50)
    await startAll(site)
    await appendSome(nth(site, 1), 5)
    await site.converge(2_000)
    await site.clock.runFor(500)
    for (const { peer, events } of site.nodes) {
      assert.equal(await peer.atRisk(), 0)
      for (const status of await peer.status()) {
        const { connected, synced, behind, ahead, lastSynced } = status
        assert.deepEqual(
          { connected, synced, behind, ahead },
          {
            connected: true,
            synced: true,
            behind: { records: 0, bytes: 0 },
            ahead: { records: 0, bytes: 0 },
          },
        )
        assert.equal(lastSynced, site.clock.nowUs())
      }
      assert.equal(events.filter(({ type }) => type === 'peer-connected').length, 2)
      assert.ok(events.some(({ type }) => type === 'synced'))
    }
  })

  it('delivers within a second by gossip alone', async () => {
    await using site = await createTestSite(3, { reconciliation: false })
    await startAll(site)
    for (const node of site.nodes) await appendSome(node, 100)
    await site.converge(1_000)
    assert.deepEqual(await recordCounts(site), [300, 300, 300])
  })

  it('delivers everything with gossip off', async () => {
    await using site = await createTestSite(3, { gossip: false })
    await startAll(site)
    for (const node of site.nodes) for (let i = 0; i < 3; i++) await appendSome(node, 100, startUs + i * hourUs)
    await site.converge(2_000)
    assert.deepEqual(await recordCounts(site), [900, 900, 900])
  })

  it('passes records on between nodes that never meet', async () => {
    await using site = await createTestSite(4, { links: 'line', gossip: false })
    await startAll(site, 200)
    // The addresses of members are shared, so that they would meet: keep the ends apart.
    site.world.partition([[nth(site, 0).node, nth(site, 1).node, nth(site, 2).node], [nth(site, 3).node]])
    await appendSome(nth(site, 0), 20)
    await site.converge(5_000, site.nodes.slice(0, 3))
    site.world.partition([
      [nth(site, 2).node, nth(site, 3).node],
      [nth(site, 0).node, nth(site, 1).node],
    ])
    await site.converge(90_000)
    assert.deepEqual(await recordCounts(site), [20, 20, 20, 20])
  })

  it('finds everybody from one address', async () => {
    await using site = await createTestSite(4, { links: 'line' })
    await startAll(site, 30_000)
    for (const { peer } of site.nodes)
      assert.deepEqual(
        (await peer.status()).map(({ connected }) => connected),
        [true, true, true],
      )
  })

  it('converges with one message in five lost', async () => {
    await using site = await createTestSite(3, { loss: 0.2, seed: 7 })
    await startAll(site)
    for (let i = 0; i < 5; i++) for (const node of site.nodes) await appendSome(node, 20, startUs + i * hourUs)
    await site.converge(120_000)
    assert.deepEqual(await recordCounts(site), [300, 300, 300])
  })

  it('merges what both sides of a partition corrected', async () => {
    await using site = await createTestSite(3)
    await appendSome(nth(site, 0), 10, startUs, shared)
    await startAll(site)
    await site.converge(2_000)
    site.world.partition([[nth(site, 0).node], [nth(site, 1).node, nth(site, 2).node]])
    await site.clock.runFor(1_000)
    for (const [n, value] of [
      [0, 1],
      [1, 2],
    ] as const)
      await nth(site, n).store.amend({ sensor: shared, time: startUs, fields: [{ field: t, value }] })
    assert.equal((await nth(site, 1).peer.status()).find(({ node }) => node === nth(site, 0).node)?.connected, false)
    await site.clock.runFor(5_000)
    assert.equal(await nth(site, 0).peer.atRisk(), 1)
    site.world.heal()
    await site.converge(90_000)
    for (const { store } of site.nodes) {
      const record = await store.record(shared, startUs)
      assert.equal(record?.fields[0]?.conflict, 'amend/amend')
      assert.deepEqual(
        record.fields[0].amendments.map(({ value }) => Number(value)).sort((a, b) => a - b),
        [1, 2],
      )
    }
    await site.clock.runFor(1_000)
    assert.equal(await nth(site, 0).peer.atRisk(), 0)
  })

  it('catches up from sealed journals, parts and all', async () => {
    await using site = await createTestSite(2)
    const [a, b] = [nth(site, 0), nth(site, 1)]
    for (let i = 0; i < 12; i++) {
      await appendSome(a, 200, startUs + i * hourUs)
      await a.store.sealOpen()
    }
    await startAll(site)
    await site.converge(5_000)
    await using snapshot = await b.store.snapshot()
    let sealed = 0
    for await (const state of snapshot.documents()) if (state.seal !== undefined) sealed++
    assert.equal(sealed, 12)
    assert.deepEqual(warnings(b), [])
  })

  it('takes over the seal of a journal that it has already', async () => {
    await using site = await createTestSite(2)
    const [a, b] = [nth(site, 0), nth(site, 1)]
    await startAll(site)
    await appendSome(a, 200)
    await site.converge(2_000)
    await a.store.sealOpen()
    await site.clock.runFor(2_000)
    await using snapshot = await b.store.snapshot()
    for await (const state of snapshot.documents()) assert.notEqual(state.seal, undefined)
    for (const { peer } of site.nodes) assert.equal((await peer.status())[0]?.synced, true)
  })

  it('goes on after a crash in the middle of a transfer, and seals what it left open', async () => {
    await using site = await createTestSite(3, { delayMs: [20, 40], gossip: false })
    const [a, b] = [nth(site, 0), nth(site, 1)]
    for (let i = 0; i < 20; i++) {
      await appendSome(a, 300, startUs + i * hourUs)
      await a.store.sealOpen()
    }
    await appendSome(b, 10)
    for (const { peer } of site.nodes) await peer.start()
    let records = 10
    for (let waited = 0; records === 10 && waited < 10_000; waited += 20) {
      await site.clock.runFor(20)
      records = (await b.store.totals()).records
    }
    assert.ok(records > 10 && records < 6_000, `${records} records came before the crash`)
    await site.crash(b)
    await b.peer.start()
    await site.converge(90_000)
    assert.deepEqual(await recordCounts(site), [6_010, 6_010, 6_010])
    await using snapshot = await b.store.snapshot()
    await site.clock.runFor(5_000)
    for await (const { id, seal } of snapshot.documents()) assert.notEqual(seal, undefined, id)
  })

  it('keeps nothing that a peer of another run acknowledged', async () => {
    await using site = await createTestSite(2)
    const [a, b] = [nth(site, 0), nth(site, 1)]
    await startAll(site)
    await appendSome(a, 30)
    await site.converge(2_000)
    await site.clock.runFor(500)
    assert.equal(await a.peer.atRisk(), 0)
    await site.crash(b)
    await site.clock.runFor(2_000)
    // Not heard of since: what it said still counts, it was synced.
    assert.equal(await a.peer.atRisk(), 0)
    const risks: number[] = []
    a.peer.onEvent(({ type }) => {
      if (type === 'peer-connected') void a.peer.atRisk().then((risk) => risks.push(risk))
    })
    await b.peer.start()
    await site.clock.runFor(90_000)
    assert.deepEqual(risks, [30])
    assert.equal(await a.peer.atRisk(), 0)
  })

  it('does not dial itself, and ends a double dial with one session', async () => {
    await using site = await createTestSite(2, { links: 'none' })
    const [a, b] = [nth(site, 0), nth(site, 1)]
    for (const { peer } of site.nodes) await peer.start()
    const signal = new AbortController().signal
    const dials = [a.peer.connect([addressOf(b.node)], { signal }), b.peer.connect([addressOf(a.node)], { signal })]
    await site.clock.runFor(3_000)
    await Promise.all(dials)
    await appendSome(a, 5)
    await site.converge(1_000)
    for (const { peer } of site.nodes) assert.equal((await peer.status())[0]?.connected, true)
  })
})

describe('a simulated site', () => {
  it('does the same twice with the same seed', async () => {
    const trace = async (): Promise<string> => {
      await using site = await createTestSite(4, { seed: 42, loss: 0.1 })
      for (const { peer } of site.nodes) await peer.start()
      const lines: unknown[] = []
      for (const { peer, n } of site.nodes)
        peer.onEvent(({ type, node }) => lines.push([site.clock.monotonicMs(), n, type, node]))
      for (let i = 0; i < 4; i++) {
        for (const node of site.nodes) await appendSome(node, 20, startUs + i * hourUs)
        await site.clock.runFor(700)
        if (i === 1) site.world.partition([[nth(site, 0).node]])
        if (i === 2) site.world.heal()
      }
      await site.converge(120_000)
      for (const { log, store } of site.nodes) lines.push(log, await store.digest())
      return JSON.stringify(lines)
    }
    assert.equal(await trace(), await trace())
  })
})
