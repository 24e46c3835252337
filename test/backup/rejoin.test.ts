import assert from 'node:assert/strict'
import { join } from 'node:path'
import { restoreBackup } from '../../src/backup/index.ts'
import { RefusedError, systemClock } from '../../src/model/index.ts'
import { createStore, openStore } from '../../src/store/index.ts'
import { copyAll, diskEngine, openTestSite, testRandom, type TestNode } from '../support/store.ts'
import { amend, appendMany, backUp, plainVault, temporaryFolder } from './vault-site.ts'

describe('restored node', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  const open: TestNode[] = []

  beforeEach(async () => {
    folder = await temporaryFolder()
  })
  afterEach(async () => {
    for (const { store } of open.splice(0)) await store.close()
    await folder.remove()
  })

  /**
   * Two nodes; the first is backed up, writes on, hands part of that to the other, and is lost. It comes back from its
   * backup with its identity and writes before, while and after it meets the other again.
   */
  async function loseAndRejoin(store: {
    readonly unsafeKeepActors?: boolean
  }): Promise<{ back: TestNode; b: TestNode }> {
    const [a, b] = (await openTestSite(2, { store })) as [TestNode, TestNode]
    open.push(b)
    const vault = await plainVault(folder.path)
    await appendMany(a, 'greenhouse/air', 0, 100)
    await amend(a, 'greenhouse/air', 1, 10)
    await copyAll(a, b)
    await backUp(a, vault)
    await appendMany(a, 'greenhouse/air', 100, 50)
    await amend(a, 'greenhouse/air', 2, 20)
    await copyAll(a, b)
    await amend(b, 'greenhouse/air', 3, 33)
    // Lost with the directory: nobody has these.
    await appendMany(a, 'greenhouse/air', 900, 10)
    await a.store.close()

    const directory = join(folder.path, 'restored')
    const restored = await restoreBackup({
      vault,
      create: (site, members) =>
        createStore({ engine: diskEngine(directory), clock: systemClock, random: testRandom(501) }, { site, members }),
    })
    await restored.store.close()
    const options = {
      engine: diskEngine(directory),
      clock: systemClock,
      random: testRandom(502),
      signer: a.signer,
      ...store,
    }
    const back: TestNode = { store: await openStore(options), signer: a.signer, options }
    open.push(back)
    await appendMany(back, 'greenhouse/air', 200, 50)
    await amend(back, 'greenhouse/air', 4, 44)
    await copyAll(b, back)
    await appendMany(back, 'greenhouse/air', 250, 50)
    await amend(back, 'greenhouse/air', 5, 55)
    await copyAll(back, b)
    await appendMany(back, 'greenhouse/air', 300, 50)
    await amend(back, 'greenhouse/air', 6, 66)
    await appendMany(b, 'cellar/door', 0, 10)
    await copyAll(back, b)
    await copyAll(b, back)
    return { back, b }
  }

  it('rejoins the living site under a new run: one digest, nothing lost', async () => {
    const { back, b } = await loseAndRejoin({})
    assert.equal(await back.store.digest(), await b.store.digest())
    assert.equal(await back.store.content(), await b.store.content())
    const seconds = new Set<number>()
    const amended = new Map<number, number>()
    for await (const { sensor, time, fields } of back.store.query({ limit: 10_000 })) {
      if (sensor !== 'greenhouse/air') continue
      const second = (time - 1_700_000_000_000_000) / 1_000_000
      seconds.add(second)
      for (const { field, shown, amendments } of fields)
        if (field === 'temperature' && amendments.length > 0) amended.set(second, Number(shown?.value))
    }
    for (const [from, to] of [
      [0, 150],
      [200, 350],
    ] as const)
      for (let second = from; second < to; second++) assert.ok(seconds.has(second), `second ${second}`)
    assert.deepEqual(
      [...amended].sort(([x], [y]) => x - y),
      [
        [1, 10],
        [2, 20],
        [3, 33],
        [4, 44],
        [5, 55],
        [6, 66],
      ],
    )
  })

  it('with its old actors kept would fork: the others refuse it, or the digests differ', async () => {
    let digests: string[] = []
    try {
      const { back, b } = await loseAndRejoin({ unsafeKeepActors: true })
      digests = [await back.store.digest(), await b.store.digest()]
    } catch (error) {
      assert.ok(error instanceof RefusedError, String(error))
      assert.match(error.message, /clone or rollback/)
      return
    }
    assert.notEqual(digests[0], digests[1])
  })
})
