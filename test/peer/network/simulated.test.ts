import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { NetworkError, nodeIdOf, systemClock, type NodeId } from '../../../src/model/index.ts'
import {
  createSeededRandom,
  createSimulatedWorld,
  createVirtualClock,
  type Network,
  type SimulatedWorld,
  type VirtualClock,
} from '../../../src/peer/network/index.ts'
import { bytes, networkContract } from '../../contracts/network.ts'

networkContract('simulated', async () => {
  const random = createSeededRandom(1)
  const world = createSimulatedWorld({ clock: systemClock, random, delayMs: [0, 2] })
  return { create: () => world.network(nodeIdOf(random.bytes(32))), cleanUp: async () => undefined }
})

interface Scene {
  readonly clock: VirtualClock
  readonly world: SimulatedWorld
  readonly nodes: readonly Network[]
}

/** Starts `count` nodes, each connected to and admitted by all others. */
async function scene(
  count: number,
  options: { seed?: number; loss?: number; reorder?: number; duplicate?: number } = {},
): Promise<Scene> {
  const clock = createVirtualClock(1_700_000_000_000_000)
  const { seed = 1, ...weather } = options
  const random = createSeededRandom(seed)
  const world = createSimulatedWorld({ clock, random: random.fork('world'), delayMs: [1, 20], ...weather })
  const nodes: Network[] = []
  for (let i = 0; i < count; i++) nodes.push(world.network(nodeIdOf(random.bytes(32)), { tag: 'site' }))
  for (const network of nodes) network.onConnect((node) => network.admit(node))
  for (const network of nodes) {
    await network.start()
    const connecting = nodes
      .slice(0, nodes.indexOf(network))
      .map((other) => network.connect(other.addresses(), { signal: new AbortController().signal }))
    await clock.runFor(1_000 + (options.loss === undefined ? 0 : 30_000))
    await Promise.all(connecting)
  }
  return { clock, world, nodes }
}

const open = { signal: new AbortController().signal }

describe('simulated world', () => {
  it('gives the same run for the same seed and another for another', async () => {
    const run = async (seed: number): Promise<string> => {
      const { clock, nodes } = await scene(4, { seed, loss: 0.2, reorder: 0.3, duplicate: 0.2 })
      const hash = createHash('sha256')
      const note = (text: string): void => {
        hash.update(`${clock.nowUs()} ${text}\n`)
      }
      for (const network of nodes) {
        network.subscribe('t', (data, from) => note(`gossip ${network.node} ${from} ${Buffer.from(data).toString()}`))
        network.handle('/echo/1', async function* (from, incoming) {
          for await (const message of incoming) {
            note(`echo ${from} ${message.length}`)
            yield message
          }
        })
      }
      const talks = nodes.slice(1).map(async (network, i) => {
        for await (const message of network.open(
          nodes[0]!.node,
          '/echo/1',
          [bytes('a'), new Uint8Array(i * 1000)],
          open,
        ))
          note(`answer ${message.length}`)
      })
      for (let i = 0; i < 50; i++) {
        await nodes[i % 4]!.publish('t', bytes(`${i}`))
        await clock.runFor(10)
      }
      await clock.runFor(60_000)
      await Promise.all(talks)
      return hash.digest('hex')
    }
    const [first, second, other] = [await run(1), await run(1), await run(2)]
    assert.equal(first, second)
    assert.notEqual(first, other)
  })

  it('breaks connections and streams across a partition and heals', async () => {
    const { clock, world, nodes } = await scene(4)
    const [a, b, c, d] = nodes as [Network, Network, Network, Network]
    const { promise: never } = Promise.withResolvers<void>()
    c.handle('/wait/1', async function* () {
      await never
      yield bytes('x')
    })
    const talk = assert.rejects(async () => {
      for await (const _ of a.open(c.node, '/wait/1', [], open));
    }, NetworkError)
    const lost: NodeId[] = []
    a.onDisconnect((node) => lost.push(node))
    world.partition([
      [a.node, b.node],
      [c.node, d.node],
    ])
    await clock.runFor(1)
    await talk
    assert.deepEqual(lost.sort(), [c.node, d.node].sort())
    assert.deepEqual(a.connections(), [b.node])
    const failing = assert.rejects(a.connect([`/memory/${c.node}`], open), NetworkError)
    await clock.runFor(10_000)
    await failing
    const heard: string[] = []
    for (const network of [b, c, d]) network.subscribe('t', () => heard.push(network.node))
    await a.publish('t', bytes('x'))
    await clock.runFor(1_000)
    assert.deepEqual(heard, [b.node])
    world.heal()
    const connecting = a.connect(c.addresses(), open)
    await clock.runFor(1_000)
    assert.equal(await connecting, c.node)
    await a.publish('t', bytes('y'))
    await clock.runFor(1_000)
    assert.deepEqual(new Set(heard), new Set([b.node, c.node, d.node]))
  })

  it('lets a crashed node vanish at the others without a word to itself, and come back', async () => {
    const { clock, world, nodes } = await scene(3)
    const [a, b] = nodes as [Network, Network, Network]
    let told = 0
    b.onDisconnect(() => told++)
    const lost: NodeId[] = []
    a.onDisconnect((node) => lost.push(node))
    world.disconnect(b.node)
    await clock.runFor(100)
    assert.deepEqual([told, lost], [0, [b.node]])
    assert.throws(() => b.admit(a.node))
    await b.stop()
    const again = world.network(b.node)
    await again.start()
    const connecting = again.connect(a.addresses(), open)
    await clock.runFor(1_000)
    assert.equal(await connecting, a.node)
    assert.ok(a.connections().includes(b.node))
  })

  it('loses, repeats and reorders gossip at about the given rates, and never what a stream carries', async () => {
    const { clock, nodes } = await scene(2, { loss: 0.2, duplicate: 0.2, reorder: 0.3 })
    const [a, b] = nodes as [Network, Network]
    const heard: number[] = []
    b.subscribe('t', (data) => heard.push(Number(Buffer.from(data).toString())))
    for (let i = 0; i < 500; i++) {
      await a.publish('t', bytes(`${i}`))
      await clock.runFor(20)
    }
    await clock.runFor(1_000)
    const distinct = new Set(heard).size
    assert.ok(distinct > 350 && distinct < 450, `${distinct} of 500 arrived`)
    assert.ok(heard.length > distinct + 40, 'some came twice')
    assert.ok(
      heard.some((value, i) => i > 0 && value < heard[i - 1]!),
      'some were overtaken',
    )
    b.handle('/echo/1', (_from, incoming) => incoming)
    const got: string[] = []
    const messages = Array.from({ length: 200 }, (_, i) => bytes(`${i}`))
    const talk = (async () => {
      for await (const message of a.open(b.node, '/echo/1', messages, open)) got.push(Buffer.from(message).toString())
    })()
    await clock.runFor(600_000)
    await talk
    assert.deepEqual(
      got,
      messages.map((message) => Buffer.from(message).toString()),
    )
  })

  it('announces nodes of one tag to each other, also after a partition', async () => {
    const clock = createVirtualClock(0)
    const random = createSeededRandom(3)
    const world = createSimulatedWorld({ clock, random, delayMs: [1, 5] })
    const ids = [0, 1, 2].map(() => nodeIdOf(random.bytes(32))) as [NodeId, NodeId, NodeId]
    const a = world.network(ids[0], { tag: 'one' })
    const b = world.network(ids[1], { tag: 'one' })
    const c = world.network(ids[2], { tag: 'two' })
    const found: [NodeId, NodeId][] = []
    for (const network of [a, b, c]) network.onDiscover((node) => found.push([network.node, node]))
    world.partition([[a.node], [b.node, c.node]])
    for (const network of [a, b, c]) await network.start()
    await clock.runFor(30_000)
    assert.deepEqual(found, [])
    world.heal()
    await clock.runFor(30_000)
    assert.deepEqual(new Set(found.map(String)), new Set([`${a.node},${b.node}`, `${b.node},${a.node}`]))
  })
})

describe('virtual clock', () => {
  it('runs timers by time, then by insertion, and finishes what they set off before it moves on', async () => {
    const clock = createVirtualClock(1_000_000)
    const seen: string[] = []
    const note = (text: string) => (): void => {
      seen.push(`${text}@${clock.monotonicMs()}`)
    }
    clock.setTimer(note('late'), 20)
    clock.setTimer(() => {
      note('first')()
      void Promise.resolve()
        .then(() => new Promise<void>((resolve) => setImmediate(resolve)))
        .then(note('chain'))
      clock.setTimer(note('nested'), 0)
    }, 10)
    clock.setTimer(note('second'), 10)
    const cancelled = clock.setTimer(note('cancelled'), 5)
    cancelled.cancel()
    void clock.sleep(15).then(note('slept'))
    const controller = new AbortController()
    const sleeping = assert.rejects(clock.sleep(15, { signal: controller.signal }), /stop/)
    controller.abort(new Error('stop'))
    await clock.runFor(19)
    await sleeping
    assert.deepEqual(seen, ['first@10', 'chain@10', 'second@10', 'nested@10', 'slept@15'])
    assert.equal(clock.nowUs(), 1_019_000)
    assert.equal(clock.pending, 1)
    assert.equal(await clock.runUntil(() => seen.includes('late@20'), 1_000), true)
    assert.equal(clock.monotonicMs(), 20)
    assert.equal(await clock.runUntil(() => false, 30), false)
    assert.equal(clock.monotonicMs(), 50)
  })
})

describe('seeded random', () => {
  it('is the same for the same seed, whatever other forks draw', () => {
    const one = createSeededRandom('x')
    const two = createSeededRandom('x')
    two.fork('other').bytes(100)
    assert.deepEqual(one.bytes(33), two.bytes(33))
    assert.equal(one.fork('a').uniform(), two.fork('a').uniform())
    assert.notEqual(one.fork('a').uniform(), one.fork('b').uniform())
    const values = Array.from({ length: 10_000 }, () => one.uniform())
    assert.ok(values.every((value) => value >= 0 && value < 1))
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    assert.ok(Math.abs(mean - 0.5) < 0.02, `mean ${mean}`)
  })
})
