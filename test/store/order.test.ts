import assert from 'node:assert/strict'
import fc from 'fast-check'
import { amendmentsId, defaultGroup, limits } from '../../src/model/index.ts'
import type { Handle } from '../../src/store/automerge.ts'
import { readChangeHeader } from '../../src/store/change.ts'
import { issueCertificate, openStore } from '../../src/store/index.ts'
import { OrderClock } from '../../src/store/order.ts'
import { Forger } from '../support/forger.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { copyAll, openTestSite, reading, testSigner, type TestNode } from '../support/store.ts'

const t0 = 1_700_000_000_000_000

/** Orders of all changes of a node's own documents, in the order they were made. */
async function ordersOf(node: TestNode): Promise<number[]> {
  const orders: number[] = []
  await using snapshot = await node.store.snapshot()
  for await (const { id } of snapshot.documents())
    for (const chunk of (await snapshot.changesSince(id, [])).changes) orders.push(readChangeHeader(chunk).time)
  return orders.sort((a, b) => a - b)
}

describe('order clock', () => {
  it('gives orders that strictly increase, whatever it saw and however the wall clock jumps', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constant('next' as const), fc.integer({ min: t0 - 1e9, max: t0 + 1e9 })), {
          minLength: 2,
        }),
        fc.array(fc.integer({ min: t0 - 1e9, max: t0 + 1e9 }), { minLength: 1 }),
        (steps, walls) => {
          const clock = new ManualClock(t0)
          const order = new OrderClock(clock, 0)
          let last = 0
          for (const [i, step] of steps.entries()) {
            clock.setWall(walls[i % walls.length] as number)
            if (step !== 'next') order.observe(step)
            else {
              const next = order.next()
              assert.ok(next > last)
              last = next
            }
          }
        },
      ),
    )
  })

  it('is moved by remote orders up to five minutes ahead, by later ones not at all', () => {
    const order = new OrderClock(new ManualClock(t0), 0)
    order.observe(t0 + limits.orderAheadUs + 1)
    assert.equal(order.next(), t0)
    order.observe(t0 + limits.orderAheadUs)
    assert.equal(order.next(), t0 + limits.orderAheadUs + 1)
  })
})

describe('orders of a store', () => {
  it('go on after a restart with a wall clock that was set back by an hour', async () => {
    const clock = new ManualClock(t0)
    const [node] = (await openTestSite(1, { clock })) as [TestNode]
    await node.store.append([reading('s', t0, { a: 1 })], { flush: true })
    const sensor = reading('s', t0, { a: 1 }).sensor
    const [field] = reading('s', t0, { a: 2 }).fields as never as [{ field: never; value: number }]
    await node.store.amend({ sensor, time: t0, fields: [field] })
    const before = (await ordersOf(node)).at(-1) as number
    await node.store.close()
    clock.setWall(t0 - 3_600_000_000)
    const again: TestNode = { ...node, store: await openStore(node.options) }
    await again.store.append([reading('s', t0 + 1, { a: 1 })], { flush: true })
    const after = await ordersOf(again)
    assert.ok((after.at(-1) as number) > before)
    assert.equal(new Set(after).size, 3)
    await again.store.close()
  })

  it('follow every remote order that may move them, also beside one in the same document that may not', async () => {
    const clock = new ManualClock(t0)
    const [node] = (await openTestSite(1, { clock })) as [TestNode]
    const remote = testSigner(1)
    const { members } = node.store
    await members.add([issueCertificate(testSigner(0), members, { node: remote.node, name: 'b', role: 'writer' })])
    let n = 0
    const put = (handle: Handle): void => handle.put('_root', 'k', ++n)
    const forger = new Forger(remote, amendmentsId(defaultGroup, reading('s', t0, { a: 1 }).sensor, '2023-11-14'))
    forger.change(put, t0 + 86_400_000_000).change(put, t0 + 240_000_000)
    await node.store.receive(forger.set(), remote.node)
    await node.store.append([reading('s', t0, { a: 1 })], { flush: true })
    assert.ok((await ordersOf(node)).includes(t0 + 240_000_001))
    await node.store.close()
  })

  it('are not moved by a peer whose clock is a day ahead', async () => {
    const clocks = [new ManualClock(t0), new ManualClock(t0 + 86_400_000_000)]
    const [a] = (await openTestSite(1, { clock: clocks[0] as ManualClock })) as [TestNode]
    const [, ahead] = (await openTestSite(2, { clock: clocks[1] as ManualClock })) as [TestNode, TestNode]
    await a.store.members.add(ahead.store.members.keys().map((key) => ahead.store.members.get(key) as Uint8Array))
    await ahead.store.append([reading('s', t0, { a: 1 })], { flush: true })
    await copyAll(ahead, a)
    await a.store.append([reading('s', t0 + 1, { a: 1 })], { flush: true })
    const orders = await ordersOf(a)
    assert.ok((orders[0] as number) < t0 + 1_000_000)
    assert.ok((orders.at(-1) as number) >= t0 + 86_400_000_000)
    for (const { store } of [a, ahead]) await store.close()
  })
})
