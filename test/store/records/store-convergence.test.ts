import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import {
  ConflictError,
  InvalidInputError,
  parseFieldName,
  parseSensorId,
  parseSensorPattern,
  type GroupName,
  type Value,
} from '../../../src/model/index.ts'
import type { RecordView, Store } from '../../../src/store/index.ts'
import { openTestSite, reading, type TestNode } from '../../support/store.ts'

const sensor = parseSensorId('a')
const pattern = parseSensorPattern('a')
const field = parseFieldName('t')
const times = [Date.UTC(2026, 0, 31) * 1000, Date.UTC(2026, 1, 1) * 1000]
const values: Value[] = [1, 1n, 2, 'x']
const nodeCount = 3

const step = fc.record({
  do: fc.constantFrom('append', 'append', 'amend', 'amend', 'resolve', 'remove', 'note', 'copy', 'copy', 'move'),
  node: fc.nat(nodeCount - 1),
  from: fc.nat(nodeCount - 1),
  time: fc.constantFrom(...times),
  value: fc.constantFrom(...values),
})

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

async function play(nodes: readonly TestNode[], item: Step): Promise<void> {
  const node = nodes[item.node] as TestNode
  const { store } = node
  const { time, value } = item
  const seen = (await all(store)).find((record) => record.time === time)?.seen
  const request = { sensor, time, ...(seen !== undefined && { seen }) }
  try {
    switch (item.do) {
      case 'append':
        await store.append([reading('a', time, { t: value })], { flush: true })
        break
      case 'amend':
        await store.amend({ ...request, fields: [{ field, value }], create: true })
        break
      case 'note':
        await store.amend({ ...request, fields: [], note: 'n' })
        break
      case 'remove':
        await store.remove(request)
        break
      case 'resolve':
        await store.resolve({ ...request, field, choice: { value } })
        break
      case 'move':
        // Only the founder may.
        await nodes[0]?.store.setPolicy({ pattern, group: `g${item.from}` as GroupName })
        break
      case 'copy':
        if (item.from !== item.node) await copy(nodes[item.from] as TestNode, node)
    }
  } catch (error) {
    assert.ok(error instanceof InvalidInputError || error instanceof ConflictError, String(error))
  }
}

/** Gives `to` what it lacks of others' documents and of shared ones. */
async function copy(from: TestNode, to: TestNode): Promise<void> {
  await using snapshot = await from.store.snapshot()
  for await (const { id } of snapshot.documents()) {
    if (id.startsWith('journal.') && id.includes(to.signer.node)) continue
    await using held = await to.store.snapshot()
    const changes = await snapshot.changesSince(id, (await held.state(id))?.tips ?? [])
    if (changes.changes.length > 0) await to.store.receive(changes, from.signer.node)
  }
}

async function all(store: Store): Promise<RecordView[]> {
  const records: RecordView[] = []
  for await (const record of store.query({ includeRemoved: true })) records.push(record)
  return records
}

describe('records of several stores', () => {
  it('are the same everywhere with one digest and one content, after whatever was written where', async function () {
    this.timeout(60_000)
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 14 }), fc.integer(), async (steps, seed) => {
        const nodes = await openTestSite(nodeCount, { seed })
        try {
          for (const item of steps) await play(nodes, item)
          // Each gives to its neighbour, twice around: the last has passed on what the first began with.
          for (let i = 0; i < 2 * nodeCount; i++)
            await copy(nodes[i % nodeCount] as TestNode, nodes[(i + 1) % nodeCount] as TestNode)
          const [first, ...others] = nodes.map(({ store }) => store) as [Store, ...Store[]]
          const records = await all(first)
          const content = await first.content()
          for (const other of others) {
            assert.deepEqual(await all(other), records)
            assert.equal(await other.content(), content)
            assert.equal(await other.digest(), await first.digest())
          }
          const written = new Set(steps.flatMap((item) => (item.do === 'append' ? [item.time] : [])))
          for (const time of written) assert.ok(records.some((record) => record.time === time))
        } finally {
          for (const { store } of nodes) await store.close()
        }
      }),
      { numRuns: 100 },
    )
  })
})
