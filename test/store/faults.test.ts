import assert from 'node:assert/strict'
import fc from 'fast-check'
import { StorageError, type DocumentId } from '../../src/model/index.ts'
import {
  createStore,
  foundSite,
  openStore,
  type ChangeSet,
  type SignedSeal,
  type Store,
  type StoreOptions,
} from '../../src/store/index.ts'
import {
  cuttableEngine,
  diskFull,
  failingEngine,
  fsyncFailed,
  newEngine,
  type WriteFault,
} from '../support/faulty-engine.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { copyAll, openTestSite, reading, testRandom, testSigner, type TestNode } from '../support/store.ts'

const t0 = 1_700_000_000_000_000

/** What another node of the site has: changes of a journal and of amendments, and a sealed journal. */
interface Gifts {
  readonly entries: readonly Uint8Array[]
  readonly changes: readonly ChangeSet[]
  readonly seal: SignedSeal
  readonly part: (index: number) => Promise<Uint8Array>
}

async function gifts(): Promise<Gifts> {
  const [a, b] = (await openTestSite(2, { clock: new ManualClock(t0) })) as [TestNode, TestNode]
  await b.store.append([reading('b/sealed', t0, { t: 1 })], { flush: true })
  await b.store.sealOpen()
  await b.store.append([reading('b/open', t0, { t: 1 }), reading('b/open', t0 + 1, { t: 2 })], { flush: true })
  await b.store.amend(amendment('b/open', t0, 7))
  const snapshot = await b.store.snapshot()
  const states = await Array.fromAsync(snapshot.documents())
  const changes = await Promise.all(
    states.filter(({ seal }) => seal === undefined).map(({ id }) => snapshot.changesSince(id, [])),
  )
  const sealed = states.find(({ seal }) => seal !== undefined)?.id as DocumentId
  const parts = [await snapshot.sealedPart(sealed, 0)]
  const seal = (await snapshot.seal(sealed)) as SignedSeal
  const entries = a.store.members.keys().map((key) => a.store.members.get(key) as Uint8Array)
  await snapshot[Symbol.asyncDispose]()
  await a.store.close()
  await b.store.close()
  return { entries, changes, seal, part: async (index) => parts[index] as Uint8Array }
}

function amendment(sensor: string, time: number, value: number): Parameters<Store['amend']>[0] {
  const { sensor: id, fields } = reading(sensor, time, { t: value })
  return { sensor: id, time, fields, create: true }
}

/** One step of the workload: what it makes true if it is acknowledged, and how many rows of it a store shows. */
interface Step {
  readonly name: string
  run(store: Store): Promise<unknown>
  /** How much of it is there, of `whole`. */
  found(store: Store): Promise<number>
  readonly whole: number
}

function appendStep(sensor: string, count: number, options: { readonly flush?: boolean } = { flush: true }): Step {
  const readings = Array.from({ length: count }, (_, i) => reading(sensor, t0 + i, { t: i }))
  const id = readings[0]?.sensor as never
  return {
    name: `append ${sensor}`,
    run: (store) => store.append(readings, options),
    found: async (store) => (await Array.fromAsync(store.query({ patterns: [id] }))).length,
    whole: count,
  }
}

function amendStep(sensor: string, time: number, value: number): Step {
  return {
    name: `amend ${sensor} ${time}`,
    run: (store) => store.amend(amendment(sensor, time, value)),
    found: async (store) => {
      const record = await store.record(amendment(sensor, time, value).sensor, time)
      const values = record?.fields.flatMap(({ amendments }) => amendments.map((other) => other.value)) ?? []
      return values.includes(value) ? 1 : 0
    },
    whole: 1,
  }
}

function workload({ changes, seal, part }: Gifts): Step[] {
  const from = testSigner(1).node
  const stateStep = (name: string, run: Step['run'], id: DocumentId): Step => ({
    name,
    run,
    found: async (store) => {
      await using snapshot = await store.snapshot()
      return (await snapshot.state(id)) === undefined ? 0 : 1
    },
    whole: 1,
  })
  const sealed = changes.map((set) =>
    stateStep(`receive ${set.document}`, (store) => store.receive(set, from), set.document),
  )
  return [
    appendStep('s/1', 3),
    appendStep('critical/1', 2),
    amendStep('s/1', t0, 5),
    ...sealed,
    {
      name: 'several at once',
      run: (store) => Promise.all([appendStep('s/2', 2).run(store), store.side.put('test/a', 1)]),
      found: async (store) => {
        const side = (await store.side.get('test/a')) === 1 ? 1 : 0
        // Two promises of their own: each holds alone.
        return (await appendStep('s/2', 2).found(store)) + side === 3 ? 1 : 0
      },
      whole: 1,
    },
    { name: 'seal', run: (store) => store.sealOpen(), found: async () => 1, whole: 1 },
    {
      name: 'receive sealed',
      run: (store) => store.receiveSealed(seal, part, from),
      found: async (store) => (await Array.fromAsync(store.query({ patterns: ['b/sealed' as never] }))).length,
      whole: 1,
    },
    appendStep('s/3', 4),
    amendStep('s/1', t0 + 1, 6),
    {
      name: 'policy',
      run: (store) => store.setPolicy({ pattern: 'critical/**' as never, group: 'hot' as never, lane: 'critical' }),
      found: async (store) => (await store.policy()).entries.length,
      whole: 1,
    },
    appendStep('critical/2', 2),
    // Appended before, and again: nothing may be doubled, whatever failed.
    { ...appendStep('s/1', 3), name: 'append again' },
  ]
}

function optionsOf(engine: StoreOptions['engine'], seed = 1): StoreOptions {
  return { engine, clock: new ManualClock(t0 + 1_000_000), random: testRandom(seed), signer: testSigner(0) }
}

interface Outcome {
  readonly acknowledged: Step[]
  readonly rejected: Step[]
  /** Highest sequence told of each document and actor. */
  readonly told: Map<string, number>
}

async function run(store: Store, steps: readonly Step[]): Promise<Outcome> {
  const outcome: Outcome = { acknowledged: [], rejected: [], told: new Map() }
  store.onChange(({ state: { id, tips } }) => {
    for (const { actor, seq } of tips) outcome.told.set(`${id} ${actor}`, seq)
  })
  for (const step of steps)
    await step.run(store).then(
      () => outcome.acknowledged.push(step),
      (error: unknown) => {
        assert.ok(error instanceof StorageError, String(error))
        outcome.rejected.push(step)
      },
    )
  return outcome
}

async function check(store: Store, { acknowledged, rejected, told }: Outcome): Promise<void> {
  for (const step of acknowledged) assert.equal(await step.found(store), step.whole, `${step.name} was acknowledged`)
  for (const step of rejected) {
    const found = await step.found(store)
    assert.ok(found === 0 || found === step.whole, `${step.name} was rejected and shows ${found} of ${step.whole}`)
  }
  await using snapshot = await store.snapshot()
  const tips = new Map<string, number>()
  for await (const state of snapshot.documents())
    for (const { actor, seq } of state.tips) tips.set(`${state.id} ${actor}`, seq)
  for (const [name, seq] of told) assert.ok((tips.get(name) ?? 0) >= seq, `${name} was told up to ${seq}`)
  assert.deepEqual(await store.damage(), [])
}

describe('a store whose disk fails', () => {
  let given: Gifts
  let members: Uint8Array[]
  let peers: TestNode[]
  before(async () => {
    given = await gifts()
    members = [...given.entries]
    peers = await openTestSite(3, { seed: 7, clock: new ManualClock(t0 + 5_000_000) })
  })
  after(async () => {
    for (const { store } of peers) await store.close()
  })

  async function open(engine: StoreOptions['engine']): Promise<TestNode> {
    const options = optionsOf(engine)
    const { site } = foundSite(testSigner(0), 'node-0')
    return { options, signer: testSigner(0), store: await createStore(options, { site, members }) }
  }

  /** Opens what is on the disk again, checks it, appends more, and lets a fresh node take all of it. */
  async function reopenAndCheck(node: TestNode, engine: StoreOptions['engine'], outcome: Outcome): Promise<void> {
    const options = optionsOf(engine, 4)
    const again: TestNode = { ...node, options, store: await openStore(options) }
    await check(again.store, outcome)
    assert.deepEqual((await again.store.scrub()).damaged, [])
    await again.store.append([reading('after', t0, { t: 1 })], { flush: true })
    await again.store.amend(amendment('after', t0, 99))
    const [fresh] = (await openTestSite(1, { seed: 9 })) as [TestNode]
    await fresh.store.members.add(members)
    await copyAll(again, fresh)
    assert.equal(await fresh.store.digest(), await again.store.digest())
    assert.equal(await fresh.store.content(), await again.store.content())
    assert.deepEqual(await statesOf(fresh.store), await statesOf(again.store))
    assert.deepEqual(await fresh.store.totals(), await again.store.totals())
    for (const { store } of [fresh, again]) await store.close()
  }

  const kinds: Record<string, { fault: WriteFault; goesOn: boolean }> = {
    'is full for a moment': { fault: { error: diskFull() }, goesOn: true },
    'wrote and did not say so': { fault: { error: diskFull(), written: true }, goesOn: true },
    'fails an fsync': { fault: { error: fsyncFailed() }, goesOn: false },
  }
  for (const [name, { fault, goesOn }] of Object.entries(kinds))
    it(`keeps what it acknowledged and shows no half of what it rejected, when the disk ${name} at any write`, async () => {
      for (let n = 1; ; n++) {
        let batches = Number.NEGATIVE_INFINITY
        const disk = newEngine()
        const node = await open(failingEngine(disk, () => (++batches === n ? fault : undefined)))
        const failures: Error[] = []
        node.store.onFailure((error) => failures.push(error))
        batches = 0
        const outcome = await run(node.store, workload(given))
        const over = batches < n
        if (over) assert.deepEqual(outcome.rejected, [])
        if (goesOn) {
          // Something may have failed with nobody to tell (a seal that the next run makes); never two things.
          assert.ok(outcome.rejected.length <= 1, outcome.rejected.map((step) => step.name).join())
          assert.equal(failures.length, 0)
          await check(node.store, outcome)
          const digest = await node.store.digest()
          const totals = await node.store.totals()
          assert.deepEqual((await node.store.scrub()).damaged, [])
          await node.store.close()
          const again = await openStore(optionsOf(disk, 3))
          assert.equal(await again.digest(), digest)
          assert.equal((await again.totals()).records, totals.records)
          await again.close()
        } else {
          if (!over) {
            assert.equal(failures.length, 1)
            const steps = workload(given).map((step) => step.name)
            const after = steps.slice(steps.indexOf(outcome.rejected[0]?.name as string))
            // These may have had nothing to write.
            const idle = new Set(['seal', 'append again'])
            const refused = outcome.rejected.map((step) => step.name)
            assert.deepEqual(
              after.filter((other) => !refused.includes(other) && !idle.has(other)),
              [],
            )
          }
          await node.store.close()
        }
        batches = Number.NEGATIVE_INFINITY
        await reopenAndCheck(node, disk, outcome)
        if (over) return
      }
    })

  it('has after a power cut all it acknowledged and all it told, and goes on with new journals and actors', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 3, max: 30 }), fc.integer({ min: 0, max: 3 }), async (cutAt, unsynced) => {
        const disk = cuttableEngine({ cutAt })
        const node = await open(disk.engine)
        const outcome = await run(node.store, workload(given))
        await node.store.close()
        const engine = await disk.found(unsynced)
        const again: TestNode = { ...node, store: await openStore(optionsOf(engine, 2)) }
        await check(again.store, outcome)
        const before = await tipsOf(again.store)
        await again.store.append([reading('next', t0, { t: 1 })], { flush: true })
        await again.store.amend(amendment('next', t0, 3))
        const after = await tipsOf(again.store)
        for (const [name, seq] of before) assert.equal(after.get(name), seq, `${name} was written by an earlier run`)
        assert.ok(after.size > before.size)
        await again.store.close()
        await reopenAndCheck(again, engine, outcome)
      }),
      { numRuns: 12 },
    )
  })
})

async function statesOf(store: Store): Promise<unknown[]> {
  await using snapshot = await store.snapshot()
  const states = await Array.fromAsync(snapshot.documents())
  return states.map(({ id, tips, heads }) => ({
    id,
    tips: tips.map(({ actor, seq, hash, records, bytes }) => [actor, seq, hash, records, bytes]),
    heads,
  }))
}

/** Sequence of every actor of this node. */
async function tipsOf(store: Store): Promise<Map<string, number>> {
  await using snapshot = await store.snapshot()
  const tips = new Map<string, number>()
  for await (const { id, tips: all } of snapshot.documents())
    for (const { actor, seq } of all) tips.set(`${id} ${actor}`, seq)
  return tips
}
