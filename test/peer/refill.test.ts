import assert from 'node:assert/strict'
import { parseFieldName, parseSensorId, type DocumentId } from '../../src/model/index.ts'
import type { Engine } from '../../src/store/index.ts'
import { appendSome, createTestSite, startUs, type SiteNode, type TestSite } from './site.ts'

/** Flips a bit in every stored change and part of a document. */
async function damage(engine: Engine, id: DocumentId): Promise<void> {
  const raw = engine as unknown as {
    iterator(options: { gte: string; lt: string }): AsyncIterable<[string, Uint8Array]>
    put(key: string, value: Uint8Array): Promise<void>
  }
  let found = 0
  for (const prefix of [`c\0${id}\0`, `p\0${id}\0`])
    for await (const [key, value] of raw.iterator({ gte: prefix, lt: `${prefix}\uffff` })) {
      const broken = Uint8Array.from(value)
      const at = broken.length >> 1
      broken[at] = (broken[at] as number) ^ 4
      await raw.put(key, broken)
      found++
    }
  assert.ok(found > 0, `nothing is stored of ${id}`)
}

async function documentsOf({ store }: SiteNode): Promise<DocumentId[]> {
  await using snapshot = await store.snapshot()
  const ids: DocumentId[] = []
  for await (const { id } of snapshot.documents()) ids.push(id)
  return ids
}

async function damageAll(node: SiteNode, ids: readonly DocumentId[]): Promise<void> {
  for (const id of ids) await damage(node.engine, id)
  const { damaged } = await node.store.scrub()
  assert.deepEqual([...damaged].sort(), [...ids].sort())
  assert.equal((await node.store.damage()).length, ids.length)
}

function pair({ nodes }: TestSite): [SiteNode, SiteNode] {
  const [a, b] = nodes
  assert.ok(a !== undefined && b !== undefined)
  return [a, b]
}

const scenes: readonly {
  readonly title: string
  /** Makes the documents, by the first node or the second; the first one's are damaged. */
  readonly prepare: (a: SiteNode, b: SiteNode, site: TestSite) => Promise<void>
}[] = [
  { title: 'an open journal of another node', prepare: (_a, b) => appendSome(b, 30) },
  {
    title: 'a sealed journal of another node',
    prepare: async (_a, b) => {
      await appendSome(b, 3_000)
      await b.store.sealOpen()
    },
  },
  {
    title: 'a journal that an earlier run of its own left',
    prepare: async (a, _b, site) => {
      await appendSome(a, 30)
      await site.converge(3_000)
      await site.crash(a)
      await a.peer.start()
      await site.clock.runFor(3_000)
    },
  },
  {
    title: 'an amendments document that is being written',
    prepare: async (_a, b) => {
      await appendSome(b, 3)
      await b.store.amend({
        sensor: parseSensorId('node-1/air'),
        time: startUs,
        fields: [{ field: parseFieldName('t'), value: 1 }],
      })
    },
  },
  {
    title: 'a settled amendments document',
    prepare: async (a, _b, site) => {
      await appendSome(a, 3)
      await a.store.amend({
        sensor: parseSensorId('node-0/air'),
        time: startUs,
        fields: [{ field: parseFieldName('t'), value: 1 }],
      })
      await site.converge(3_000)
      await site.crash(a)
      await a.peer.start()
      await site.clock.runFor(1_300_000)
    },
  },
]

describe('a damaged document', () => {
  for (const { title, prepare } of scenes)
    for (const restarted of [false, true])
      it(`comes back from a peer within seconds: ${title}${restarted ? ', after a restart' : ''}`, async () => {
        await using site = await createTestSite(2, { gossip: false })
        const [a, b] = pair(site)
        for (const { peer } of site.nodes) await peer.start()
        await site.clock.runFor(1_000)
        await prepare(a, b, site)
        await site.converge(5_000)
        if (restarted) {
          await site.crash(a)
          await a.peer.start()
          await site.clock.runFor(3_000)
        }
        await damageAll(a, await documentsOf(a))
        assert.notEqual(await a.store.digest(), await b.store.digest())
        await site.converge(3_000)
        assert.deepEqual(await a.store.damage(), [])
        await site.clock.runFor(1_000)
        for (const { peer } of site.nodes) {
          assert.equal(await peer.atRisk(), 0)
          assert.equal((await peer.status())[0]?.synced, true)
        }
        for (const { log } of site.nodes)
          assert.deepEqual(
            log.filter(({ message }) => message === 'a document from a peer was refused'),
            [],
          )
      })
})

describe('a damaged journal of the present run', () => {
  it('is written anew from memory, and nobody is asked for it', async () => {
    await using site = await createTestSite(2, { gossip: false })
    const [a] = pair(site)
    for (const { peer } of site.nodes) await peer.start()
    await appendSome(a, 30)
    await site.converge(5_000)
    const [id] = await documentsOf(a)
    assert.ok(id !== undefined)
    await damage(a.engine, id)
    assert.deepEqual((await a.store.scrub()).damaged, [id])
    await site.clock.runFor(100_000)
    await site.converge(0)
    assert.deepEqual(await a.store.damage(), [])
    assert.deepEqual(
      a.log.filter(({ level }) => level !== 'info'),
      [],
    )
  })

  it('that was sealed costs no peer its good name', async () => {
    await using site = await createTestSite(2, { gossip: false })
    const [a] = pair(site)
    for (const { peer } of site.nodes) await peer.start()
    for (let i = 0; i < 8; i++) {
      await appendSome(a, 30, startUs + i * 3_600_000_000)
      await a.store.sealOpen()
    }
    await site.converge(5_000)
    await damageAll(a, await documentsOf(a))
    await site.clock.runFor(200_000)
    assert.equal((await a.peer.status())[0]?.connected, true)
    assert.ok(!a.events.some(({ type }) => type === 'peer-refused'))
  })
})
