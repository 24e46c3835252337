/** What every implementation of `Network` promises. Real time, with a limit on every wait. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { ClosedError, LimitError, NetworkError, nodeIdOf, type NodeId } from '../../src/model/index.ts'
import { networkLimits, type Network, type StreamHandler } from '../../src/peer/network/index.ts'

export interface NetworkHarness {
  /** A network of a new node, not started. */
  create(): Network
  /** The same node again, after it was stopped. */
  again?(network: Network): Network
  cleanUp(): Promise<void>
}

/** Generous: two cores may be busy with other suites. */
const limitMs = 30_000

/** Polls until the condition holds; fails naming what it waited for. */
export async function until(condition: () => boolean, what: string, withinMs: number = limitMs): Promise<void> {
  const end = performance.now() + withinMs
  while (!condition()) {
    if (performance.now() > end) assert.fail(`waited ${withinMs} ms in vain for: ${what}`)
    await delay(5)
  }
}

export function withinLimit(): { readonly signal: AbortSignal } {
  return { signal: AbortSignal.timeout(limitMs) }
}

const echo: StreamHandler = (_from, incoming) => incoming

export async function collect(messages: AsyncIterable<Uint8Array>): Promise<string[]> {
  const texts: string[] = []
  for await (const message of messages) texts.push(Buffer.from(message).toString())
  return texts
}

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

export function networkContract(name: string, setUp: () => Promise<NetworkHarness>): void {
  describe(`network contract: ${name}`, () => {
    let harness: NetworkHarness
    let networks: Network[]

    beforeEach(async () => {
      harness = await setUp()
      networks = []
    })
    afterEach(async () => {
      await Promise.all(networks.map((network) => network.stop()))
      await harness.cleanUp()
    })

    function create(): Network {
      const network = harness.create()
      networks.push(network)
      return network
    }

    async function pair(options: { readonly admit: boolean }): Promise<{ a: Network; b: Network }> {
      const a = create()
      const b = create()
      await a.start()
      await b.start()
      await a.connect(b.addresses(), withinLimit())
      await until(() => b.connections().includes(a.node), 'the other side of the connection')
      if (options.admit) {
        a.admit(b.node)
        b.admit(a.node)
      }
      return { a, b }
    }

    describe('connections', () => {
      it('know the authenticated id and who dialled, on both sides', async () => {
        const a = create()
        const b = create()
        const seen: [NodeId, boolean][] = []
        a.onConnect((node, { inbound }) => seen.push([node, inbound]))
        b.onConnect((node, { inbound }) => seen.push([node, inbound]))
        await a.start()
        await b.start()
        assert.ok(b.addresses().every((address) => address.endsWith(`/p2p/${b.node}`)))
        assert.equal(await a.connect(b.addresses(), withinLimit()), b.node)
        assert.deepEqual(a.connections(), [b.node])
        await until(() => seen.length === 2, 'both connect events')
        assert.deepEqual(
          new Map(seen),
          new Map([
            [b.node, false],
            [a.node, true],
          ]),
        )
      })

      it('are kept when the node is dialled again', async () => {
        const { a, b } = await pair({ admit: false })
        let events = 0
        a.onConnect(() => events++)
        assert.equal(await a.connect(b.addresses(), withinLimit()), b.node)
        assert.equal(events, 0)
      })

      it('are refused when another node answers than the address names', async () => {
        const a = create()
        const b = create()
        await a.start()
        await b.start()
        const wrong = b.addresses()[0]!.replace(/\/p2p\/[^/]+$/, `/p2p/${nodeIdOf(new Uint8Array(32).fill(7))}`)
        await assert.rejects(a.connect([wrong], withinLimit()), NetworkError)
        assert.deepEqual(a.connections(), [])
      })

      it('to nobody and to oneself fail with the reason', async () => {
        const a = create()
        const b = create()
        await a.start()
        await b.start()
        const gone = b.addresses()
        await b.stop()
        await assert.rejects(a.connect(gone, withinLimit()), NetworkError)
        await assert.rejects(a.connect(a.addresses(), withinLimit()), NetworkError)
      })

      it('end on both sides, and can be made again with gossip and streams', async () => {
        const { a, b } = await pair({ admit: true })
        const ended: NodeId[] = []
        a.onDisconnect((node) => ended.push(node))
        b.onDisconnect((node) => ended.push(node))
        b.handle('/echo/1', echo)
        await a.disconnect(b.node)
        await until(() => ended.length === 2, 'both disconnect events')
        assert.deepEqual([a.connections(), b.connections()], [[], []])

        await b.connect(a.addresses(), withinLimit())
        await until(() => a.connections().includes(b.node), 'the new connection')
        await assert.rejects(collect(a.open(b.node, '/echo/1', [bytes('x')], withinLimit())), NetworkError)
        a.admit(b.node)
        b.admit(a.node)
        assert.deepEqual(await collect(a.open(b.node, '/echo/1', [bytes('x')], withinLimit())), ['x'])
        await gossipReaches(a, [b])
      })

      it('vanish for the others when a node stops, and stop is idempotent', async () => {
        const { a, b } = await pair({ admit: true })
        let ended = 0
        a.onDisconnect(() => ended++)
        await Promise.all([b.stop(), b.stop()])
        await b.stop()
        await until(() => ended === 1, 'the disconnect event')
        assert.deepEqual(a.connections(), [])
        await assert.rejects(b.connect(a.addresses(), withinLimit()), ClosedError)
      })

      it('survive that both dial at once', async () => {
        const a = create()
        const b = create()
        for (const self of [a, b]) {
          self.handle('/echo/1', echo)
          self.onConnect((node) => self.admit(node))
        }
        await a.start()
        await b.start()
        await Promise.allSettled([a.connect(b.addresses(), withinLimit()), b.connect(a.addresses(), withinLimit())])
        // One of two connections may be cut a moment later; what stays has to be the same one on both sides.
        let talked = false
        await until(() => {
          void Promise.all([
            collect(a.open(b.node, '/echo/1', [bytes('1')], withinLimit())),
            collect(b.open(a.node, '/echo/1', [bytes('2')], withinLimit())),
          ]).then(
            () => (talked = true),
            () => undefined,
          )
          return talked
        }, 'streams in both directions')
        assert.deepEqual([a.connections(), b.connections()], [[b.node], [a.node]])
        await gossipReaches(a, [b])
        await gossipReaches(b, [a])
      })
    })

    describe('the gate', () => {
      it('answers a stranger nothing but the protocols for strangers', async () => {
        const { a, b } = await pair({ admit: false })
        let called = 0
        b.handle('/data/1', (_from, incoming) => {
          called++
          return incoming
        })
        b.handle('/hello/1', echo, { stranger: true })
        assert.deepEqual(await collect(a.open(b.node, '/hello/1', [bytes('hi')], withinLimit())), ['hi'])
        await assert.rejects(collect(a.open(b.node, '/data/1', [bytes('x')], withinLimit())), NetworkError)
        // Admission is each side's own: that A admits B opens nothing at B.
        a.admit(b.node)
        await assert.rejects(collect(a.open(b.node, '/data/1', [bytes('x')], withinLimit())), NetworkError)
        assert.equal(called, 0)
        b.admit(a.node)
        assert.deepEqual(await collect(a.open(b.node, '/data/1', [bytes('x')], withinLimit())), ['x'])
      })

      it('keeps gossip from a node until both sides have admitted it', async () => {
        const { a, b } = await pair({ admit: false })
        const heard: string[] = []
        b.subscribe('t', (data) => heard.push(Buffer.from(data).toString()))
        await a.publish('t', bytes('neither'))
        await delay(200)
        a.admit(b.node)
        for (let i = 0; i < 5; i++) {
          await a.publish('t', bytes('only one'))
          await delay(100)
        }
        assert.deepEqual(heard, [])
        // Seconds later than the other side, whose first attempts were all refused.
        b.admit(a.node)
        await gossipReaches(a, [b])
        await gossipReaches(b, [a])
        assert.ok(
          heard.every((text) => text !== 'neither' && text !== 'only one'),
          heard.join(),
        )
      })
    })

    describe('streams', () => {
      it('carry messages of every size both ways, in order, at once', async () => {
        const { a, b } = await pair({ admit: true })
        const sizes = [0, 1, 126, 127, 128, 16_382, 16_383, 16_384, networkLimits.messageBytes, 0]
        const from: NodeId[] = []
        const served: StreamHandler = (node, incoming) => {
          from.push(node)
          return incoming
        }
        a.handle('/echo/1', served)
        b.handle('/echo/1', served)
        const exchange = async (self: Network, other: Network): Promise<void> => {
          const got: Uint8Array[] = []
          const sent = sizes.map((size, i) => new Uint8Array(size).fill(i + 1))
          for await (const message of self.open(other.node, '/echo/1', sent, withinLimit())) got.push(message)
          assert.deepEqual(
            got.map((m) => m.length),
            sizes,
          )
          assert.ok(got.every((message, i) => Buffer.compare(message, sent[i]!) === 0))
        }
        await Promise.all([exchange(a, b), exchange(b, a), exchange(a, b)])
        assert.deepEqual(from.sort(), [a.node, a.node, b.node].sort())
      })

      it('answer after the question has ended, and before it has', async () => {
        const { a, b } = await pair({ admit: true })
        b.handle('/count/1', async function* (_from, incoming) {
          let count = 0
          for await (const _ of incoming) count++
          yield bytes(`${count}`)
        })
        b.handle('/first/1', async function* (_from, incoming) {
          for await (const message of incoming) {
            yield message
            break
          }
          yield bytes('done')
        })
        const three = [bytes('a'), bytes('b'), bytes('c')]
        assert.deepEqual(await collect(a.open(b.node, '/count/1', three, withinLimit())), ['3'])
        assert.deepEqual(await collect(a.open(b.node, '/count/1', [], withinLimit())), ['0'])
        assert.deepEqual(await collect(a.open(b.node, '/first/1', three, withinLimit())), ['a', 'done'])
      })

      it('hold the sender back while the reader is slow, and lose nothing', async () => {
        const { a, b } = await pair({ admit: true })
        const parts = 60
        let sent = 0
        async function* source(): AsyncIterable<Uint8Array> {
          for (let i = 0; i < parts; i++) {
            sent++
            yield new Uint8Array(networkLimits.messageBytes).fill(i)
          }
        }
        const { promise: released, resolve: release } = Promise.withResolvers<void>()
        b.handle('/slow/1', async function* (_from, incoming) {
          await released
          let sum = 0
          for await (const message of incoming) sum += message.length * (message[0]! + 1)
          yield bytes(`${sum}`)
        })
        const answered = collect(a.open(b.node, '/slow/1', source(), withinLimit()))
        await delay(300)
        assert.ok(sent < 20, `${sent} MiB were sent to a reader that reads nothing`)
        release()
        assert.deepEqual(await answered, [`${(networkLimits.messageBytes * parts * (parts + 1)) / 2}`])

        // And the other way: who opened reads slowly.
        sent = 0
        b.handle('/flood/1', () => source())
        let got = 0
        for await (const _ of a.open(b.node, '/flood/1', [], withinLimit())) {
          if (got++ > 0) continue
          await delay(300)
          assert.ok(sent < 20, `${sent} MiB were sent to an opener that reads nothing`)
        }
        assert.equal(got, parts)
      })

      it('refuse a message above the limit at its sender', async () => {
        const { a, b } = await pair({ admit: true })
        b.handle('/echo/1', echo)
        const large = new Uint8Array(networkLimits.messageBytes + 1)
        await assert.rejects(collect(a.open(b.node, '/echo/1', [large], withinLimit())), LimitError)
        b.handle('/large/1', async function* () {
          yield large
        })
        await assert.rejects(collect(a.open(b.node, '/large/1', [], withinLimit())), NetworkError)
      })

      it('are reset by a handler that throws, and only they', async () => {
        const { a, b } = await pair({ admit: true })
        b.handle('/echo/1', echo)
        b.handle('/throws/1', async function* (_from, incoming) {
          for await (const _ of incoming) throw new Error('on purpose')
          yield bytes('never')
        })
        b.handle('/throws-at-once/1', () => {
          throw new Error('on purpose')
        })
        for (const protocol of ['/throws/1', '/throws-at-once/1', '/unknown/1'])
          await assert.rejects(collect(a.open(b.node, protocol, [bytes('x')], withinLimit())), NetworkError, protocol)
        assert.deepEqual(a.connections(), [b.node])
        assert.deepEqual(await collect(a.open(b.node, '/echo/1', [bytes('x')], withinLimit())), ['x'])
      })

      it('hand over what the source of the opener throws, and reset the handler', async () => {
        const { a, b } = await pair({ admit: true })
        let failure: unknown
        b.handle('/sink/1', async function* (_from, incoming) {
          try {
            for await (const _ of incoming) yield bytes('got')
          } catch (error) {
            failure = error
            throw error
          }
        })
        const { promise: answered, resolve: onAnswer } = Promise.withResolvers<void>()
        async function* source(): AsyncIterable<Uint8Array> {
          yield bytes('1')
          await answered
          throw new RangeError('of the source')
        }
        await assert.rejects(async () => {
          for await (const _ of a.open(b.node, '/sink/1', source(), withinLimit())) onAnswer()
        }, RangeError)
        await until(() => failure !== undefined, 'the reset at the handler')
        assert.ok(failure instanceof NetworkError)
      })

      it('are reset when the signal says so, or the loop is left', async () => {
        const { a, b } = await pair({ admit: true })
        let aborted = 0
        b.handle('/endless/1', async function* (_from, _incoming, { signal }) {
          signal.addEventListener('abort', () => aborted++)
          for (let i = 0; !signal.aborted; i++) {
            yield bytes(`${i}`)
            await delay(1)
          }
        })
        const controller = new AbortController()
        const reason = new Error('enough')
        await assert.rejects(async () => {
          for await (const _ of a.open(b.node, '/endless/1', [], { signal: controller.signal }))
            controller.abort(reason)
        }, reason)
        await until(() => aborted === 1, 'the reset after the abort')
        // Also while nothing comes.
        b.handle('/silent/1', async function* (_from, _incoming, { signal }) {
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
          aborted++
          yield bytes('late')
        })
        await assert.rejects(collect(a.open(b.node, '/silent/1', [], { signal: AbortSignal.timeout(100) })), {
          name: 'TimeoutError',
        })
        await until(() => aborted === 2, 'the reset of the silent stream')
        for await (const _ of a.open(b.node, '/endless/1', [], withinLimit())) break
        await until(() => aborted === 3, 'the reset after the loop was left')
      })

      it('break with an error, never as if they had ended, when the connection goes', async () => {
        const { a, b } = await pair({ admit: true })
        let handler: unknown = 'ended'
        b.handle('/watch/1', async function* (_from, incoming) {
          yield bytes('here')
          try {
            for await (const _ of incoming);
          } catch (error) {
            handler = error
          }
        })
        const { promise: never } = Promise.withResolvers<void>()
        async function* waiting(): AsyncIterable<Uint8Array> {
          await never
          yield bytes('x')
        }
        await assert.rejects(async () => {
          for await (const _ of a.open(b.node, '/watch/1', waiting(), withinLimit())) await b.disconnect(a.node)
        }, NetworkError)
        await until(() => handler instanceof NetworkError, 'the error at the handler')
        await assert.rejects(collect(a.open(b.node, '/watch/1', [], withinLimit())), NetworkError)
      })
    })

    describe('gossip', () => {
      it('reaches all admitted subscribers, with its author, and ends with the subscription', async () => {
        const nodes = [create(), create(), create()] as const
        for (const node of nodes) await node.start()
        const [a, b, c] = nodes
        for (const [x, y] of [
          [a, b],
          [b, c],
          [a, c],
        ] as const) {
          await x.connect(y.addresses(), withinLimit())
          await until(() => y.connections().includes(x.node), 'the connection')
          x.admit(y.node)
          y.admit(x.node)
        }
        await gossipReaches(a, [b, c])
        await gossipReaches(c, [a, b])
        const heard: string[] = []
        const unsubscribe = b.subscribe('quiet', (data) => heard.push(Buffer.from(data).toString()))
        unsubscribe()
        c.subscribe('quiet', (data) => heard.push(Buffer.from(data).toString()))
        await until(() => {
          void a.publish('quiet', bytes('x'))
          return heard.length > 0
        }, 'gossip at the one that still subscribes')
        assert.ok(heard.every((text) => text === 'x'))
      })

      it('refuses what is above the limit, and survives a listener that throws', async () => {
        const { a, b } = await pair({ admit: true })
        await assert.rejects(a.publish('t', new Uint8Array(networkLimits.gossipBytes + 1)), LimitError)
        b.subscribe('t', () => {
          throw new Error('on purpose')
        })
        let size = 0
        b.subscribe('t', (data) => {
          size = data.length
        })
        let i = 0
        await until(() => {
          void a.publish('t', new Uint8Array(networkLimits.gossipBytes).fill(i++))
          return size === networkLimits.gossipBytes
        }, 'a gossip message of the greatest size')
      })
    })
  })
}

let topics = 0

/** Publishes until everybody has heard of it, and checks that one further message then arrives without being repeated. */
export async function gossipReaches(from: Network, to: readonly Network[]): Promise<void> {
  const topic = `topic-${topics++}`
  const heard = new Map<NodeId, Set<string>>(to.map(({ node }) => [node, new Set()]))
  const ends = to.map((network) =>
    network.subscribe(topic, (data, author) => {
      assert.equal(author, from.node)
      heard.get(network.node)!.add(Buffer.from(data).toString())
    }),
  )
  let i = 0
  await until(() => {
    void from.publish(topic, bytes(`warm ${i++}`))
    return [...heard.values()].every((texts) => texts.size > 0)
  }, 'gossip at all')
  await from.publish(topic, bytes('measured'))
  await until(() => [...heard.values()].every((texts) => texts.has('measured')), 'the next gossip message', 10_000)
  for (const end of ends) end()
}
