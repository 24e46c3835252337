import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { DocumentId } from '../../src/model/index.ts'
import type { ChangeSet, RecordView, Store } from '../../src/store/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { copyAll, openTestSite, reading, type TestNode } from '../support/store.ts'

const t0 = 1_700_000_000_000_000
const day = 86_400_000_000

type Action = 'append' | 'amend' | 'remove' | 'resolve' | 'seal' | 'deliver'

interface Step {
  readonly action: Action
  readonly node: number
  readonly to: number
  readonly sensor: number
  readonly time: number
  readonly value: number
  /** Which document and how much of it is delivered. */
  readonly part: number
}

const step = fc.record<Step>({
  action: fc.constantFrom(
    'append',
    'append',
    'amend',
    'amend',
    'remove',
    'resolve',
    'seal',
    'deliver',
    'deliver',
    'deliver',
  ),
  node: fc.nat(2),
  to: fc.nat(2),
  sensor: fc.nat(1),
  time: fc.nat(2),
  value: fc.nat(2),
  part: fc.nat(1000),
})

function target({ sensor, time }: Step): { sensor: RecordView['sensor']; time: number } {
  // Two of the three times are of one day: they share a document.
  const at = t0 + (time === 2 ? day : time)
  return { sensor: reading(`s/${sensor}`, at, { t: 1 }).sensor, time: at }
}

/** Values of amendments as they were acknowledged. */
async function act(store: Store, action: Step, made: Set<string>): Promise<void> {
  const { sensor, time } = target(action)
  const { value } = action
  const field = 't' as never
  if (action.action === 'append') {
    await store.append([reading(sensor, time, { t: value })], { flush: true })
    return
  }
  if (action.action === 'seal') return store.sealOpen()
  const record = await store.record(sensor, time)
  const seen = record === undefined ? {} : { seen: record.seen }
  try {
    if (action.action === 'amend')
      await store.amend({ sensor, time, fields: [{ field, value: 100 + value }], create: true, ...seen })
    if (action.action === 'remove') await store.remove({ sensor, time, ...seen })
    if (action.action === 'resolve')
      await store.resolve({ sensor, time, field, choice: { value: 200 + value }, ...seen })
  } catch (error) {
    // There is no such record, or nothing to resolve.
    assert.ok(['NOT_FOUND', 'CONFLICT', 'INVALID_INPUT'].includes((error as { code: string }).code), String(error))
    return
  }
  made.add(action.action)
}

/** Sends the first changes of one document that `to` lacks, or its seal. */
async function deliver(from: TestNode, to: TestNode, part: number): Promise<void> {
  await using snapshot = await from.store.snapshot()
  await using held = await to.store.snapshot()
  const states = await Array.fromAsync(snapshot.documents())
  const state = states[part % Math.max(1, states.length)]
  if (state === undefined) return
  const sealed = part % 3 === 0 ? await snapshot.seal(state.id) : undefined
  if (sealed !== undefined) {
    await to.store.receiveSealed(sealed, (index) => snapshot.sealedPart(state.id, index), from.signer.node)
    return
  }
  const set = await snapshot.changesSince(state.id, part % 5 === 0 ? [] : ((await held.state(state.id))?.tips ?? []))
  if (set.changes.length > 0) await to.store.receive(set, from.signer.node)
}

describe('stores that exchange documents', () => {
  it('show the same, with one digest and one content, whatever was written where and delivered in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.nat(1000), async (steps, seed) => {
        const nodes = await openTestSite(3, { seed, clock: new ManualClock(t0 + 10 * day) })
        const appended = new Set<string>()
        for (const one of steps) {
          const node = nodes[one.node] as TestNode
          if (one.action === 'deliver') {
            await deliver(node, nodes[one.to] as TestNode, one.part)
            continue
          }
          await act(node.store, one, new Set())
          if (one.action === 'append') {
            const { sensor, time } = target(one)
            appended.add(`${sensor} ${time} ${one.value}`)
          }
        }
        for (let round = 0; round < 2; round++)
          for (const from of nodes) for (const to of nodes) if (from !== to) await copyAll(from, to)
        const [first, ...others] = nodes as [TestNode, ...TestNode[]]
        const digest = await first.store.digest()
        const content = await first.store.content()
        const records = await Array.fromAsync(first.store.query({ includeRemoved: true }))
        const sensors = await Array.fromAsync(first.store.sensors())
        for (const { store } of others) {
          assert.equal(await store.digest(), digest)
          assert.equal(await store.content(), content)
          assert.deepEqual(await Array.fromAsync(store.query({ includeRemoved: true })), records)
          assert.deepEqual(await Array.fromAsync(store.sensors()), sensors)
          assert.equal((await store.totals()).records, (await first.store.totals()).records)
        }
        const shown = new Set(
          records.flatMap(({ sensor, time, fields }) =>
            fields.flatMap(({ readings }) => readings.map(({ value }) => `${sensor} ${time} ${String(value)}`)),
          ),
        )
        assert.deepEqual(
          [...appended].filter((one) => !shown.has(one)),
          [],
        )
        for (const { store } of nodes) {
          assert.deepEqual(await store.damage(), [])
          await store.close()
        }
      }),
      { numRuns: 200 },
    )
  })

  it('hold the same state whatever prefix of a document came first, in whatever pieces', async () => {
    const [a, b] = (await openTestSite(2)) as [TestNode, TestNode]
    for (let i = 0; i < 6; i++) await a.store.append([reading('s', t0 + i, { t: i })], { flush: true })
    const { sensor } = reading('s', t0, { t: 0 })
    for (let i = 0; i < 4; i++) {
      const node = i % 2 === 0 ? a : b
      await copyAll(a, b)
      await copyAll(b, a)
      const seen = (await node.store.record(sensor, t0))?.seen as string
      await node.store.amend({ sensor, time: t0, fields: [{ field: 't' as never, value: 50 + i }], seen })
    }
    await copyAll(b, a)
    await using snapshot = await a.store.snapshot()
    const all: ChangeSet[] = []
    for await (const { id } of snapshot.documents()) all.push(await prefixes(a.store, id))
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.nat(5)), fc.boolean(), async (pieces, again) => {
        const [, , c] = (await openTestSite(3)) as [TestNode, TestNode, TestNode]
        for (const set of all) {
          // Only whole sets are signed at their end; what comes before is resent as a replay.
          const from = (pieces.next().value as number) % set.changes.length
          const late = await c.store.receive({ ...set, changes: set.changes.slice(from) }, a.signer.node)
          assert.equal(late.missing, from > 0)
          await c.store.receive(set, a.signer.node)
          if (again) assert.equal((await c.store.receive(set, b.signer.node)).stored, 0)
        }
        assert.equal(await c.store.digest(), await a.store.digest())
        assert.equal(await c.store.content(), await a.store.content())
        await c.store.close()
      }),
      { numRuns: 20 },
    )
    await a.store.close()
    await b.store.close()
  })
})

async function prefixes(store: Store, id: DocumentId): Promise<ChangeSet> {
  await using snapshot = await store.snapshot()
  return await snapshot.changesSince(id, [])
}
