import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import { noise } from '@chainsafe/libp2p-noise'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { NetworkError, parseNodeId, systemClock } from '../../../src/model/index.ts'
import { createLibp2pNetwork, isAddressInUse, networkLimits, type Network } from '../../../src/peer/network/index.ts'
import { bytes, gossipReaches, networkContract, until, withinLimit } from '../../contracts/network.ts'

const psk = randomBytes(32)

function create(options: { listen?: readonly string[]; psk?: Uint8Array; tag?: string } = {}): Network {
  return createLibp2pNetwork({
    privateSeed: randomBytes(32),
    psk: options.psk ?? psk,
    listen: options.listen ?? ['/ip4/127.0.0.1/tcp/0'],
    mdns: options.tag === undefined ? undefined : { tag: options.tag },
    log: () => undefined,
    clock: systemClock,
  })
}

networkContract('libp2p', async () => ({ create: () => create(), cleanUp: async () => undefined }))

/** A node made of stock libp2p parts: what an outsider would use. */
async function outsider(key: Uint8Array): Promise<Libp2p<{ pubsub: ReturnType<ReturnType<typeof gossipsub>> }>> {
  const text = `/key/swarm/psk/1.0.0/\n/base16/\n${Buffer.from(key).toString('hex')}`
  return createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionProtector: preSharedKey({ psk: Buffer.from(text) }),
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), pubsub: gossipsub() },
  })
}

/** Bytes that come on a stream until it ends in any way. */
async function bytesOf(stream: Stream): Promise<number> {
  let count = 0
  stream.addEventListener('message', ({ data }) => {
    count += data.byteLength
  })
  await until(() => stream.status !== 'open', 'the end of the stream')
  return count
}

describe('libp2p network', () => {
  let networks: Network[]
  let outsiders: Libp2p[]
  beforeEach(() => {
    networks = []
    outsiders = []
  })
  afterEach(async () => {
    await Promise.all([...networks.map((network) => network.stop()), ...outsiders.map((node) => node.stop())])
  })

  async function started(options: Parameters<typeof create>[0] = {}): Promise<Network> {
    const network = create(options)
    networks.push(network)
    await network.start()
    return network
  }

  async function stranger(key: Uint8Array): Promise<Awaited<ReturnType<typeof outsider>>> {
    const node = await outsider(key)
    outsiders.push(node)
    return node
  }

  describe('before a stranger with the right pre-shared key', () => {
    it('no protocol gives away a byte, whoever dialled', async () => {
      const network = await started()
      let called = 0
      network.handle('/data/1', async function* () {
        called++
        yield bytes('secret')
      })
      network.subscribe('t', () => called++)
      for (const inbound of [true, false]) {
        const raw = await stranger(psk)
        let connection: Connection
        let identified = false
        raw.addEventListener('peer:identify', () => {
          identified = true
        })
        raw.services.pubsub.subscribe('t')
        raw.services.pubsub.addEventListener('message', () => called++)
        if (inbound) connection = await raw.dial(multiaddr(network.addresses()[0]))
        else {
          await network.connect(raw.getMultiaddrs().map(String), withinLimit())
          await until(() => raw.getConnections().length === 1, 'the connection at the outsider')
          connection = raw.getConnections()[0]!
        }
        for (const protocol of ['/ipfs/id/1.0.0', '/meshsub/1.2.0', '/meshsub/1.1.0', '/data/1']) {
          const stream = await connection.newStream([protocol])
          if (protocol.startsWith('/meshsub') && stream.writeStatus === 'writable')
            stream.send(Uint8Array.of(8, 10, 6, 8, 1, 18, 1, 116, 0))
          assert.equal(await bytesOf(stream), 0, protocol)
        }
        for (const protocol of ['/ipfs/id/push/1.0.0', '/ipfs/ping/1.0.0', '/floodsub/1.0.0'])
          await assert.rejects(connection.newStream([protocol]), { name: 'UnsupportedProtocolError' })
        await network.publish('t', bytes('secret'))
        await delay(300)
        assert.equal(identified, false)
        assert.deepEqual(raw.services.pubsub.getSubscribers('t'), [])
        assert.deepEqual(
          connection.streams.filter(
            ({ direction, protocol }) => direction === 'inbound' && protocol !== '/ipfs/ping/1.0.0',
          ),
          [],
          'the network opened a stream',
        )
        assert.equal(called, 0)
        assert.equal(network.connections().length, inbound ? 1 : 2)
      }
    })

    it('a message above the limit costs it the stream before its bytes are held', async () => {
      const network = await started()
      let failure: unknown
      network.handle(
        '/hello/1',
        async function* (_from, incoming) {
          try {
            for await (const message of incoming) yield message
          } catch (error) {
            failure = error
            throw error
          }
        },
        { stranger: true },
      )
      const raw = await stranger(psk)
      const connection = await raw.dial(multiaddr(network.addresses()[0]))
      const length = networkLimits.messageBytes + 2
      const varint = Uint8Array.of((length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14)
      for (const header of [varint, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x01)]) {
        failure = undefined
        const stream = await connection.newStream(['/hello/1'])
        stream.send(header)
        assert.equal(await bytesOf(stream), 0)
        await until(() => failure !== undefined, 'the error at the handler')
        assert.match(String(failure), /refused/)
      }
      // A stream that is closed without the end mark was cut: the handler must not take it for whole.
      failure = undefined
      const stream = await connection.newStream(['/hello/1'])
      stream.send(Uint8Array.of(2, 65))
      await stream.close()
      await until(() => failure instanceof NetworkError, 'the error at the handler')
      assert.equal(network.connections().length, 1)
    })

    it('gossip from it is not heard although a member has the same topic', async () => {
      const network = await started()
      const member = await started()
      await network.connect(member.addresses(), withinLimit())
      await until(() => member.connections().includes(network.node), 'the connection')
      network.admit(member.node)
      member.admit(network.node)
      const heard: string[] = []
      network.subscribe('t', (_data, from) => heard.push(from))
      const raw = await stranger(psk)
      raw.services.pubsub.subscribe('t')
      await raw.dial(multiaddr(network.addresses()[0]))
      await gossipReaches(member, [network])
      for (let i = 0; i < 5; i++) {
        await raw.services.pubsub.publish('t', bytes(`${i}`)).catch(() => undefined)
        await member.publish('t', bytes(`m${i}`))
        await delay(50)
      }
      await until(() => heard.length > 0, 'gossip of the member')
      assert.deepEqual(new Set(heard), new Set([member.node]))
    })
  })

  it('lets nobody in with another pre-shared key, and stays alive', async () => {
    const network = await started()
    const raw = await stranger(randomBytes(32))
    const other = await started({ psk: randomBytes(32) })
    await Promise.all([
      assert.rejects(raw.dial(multiaddr(network.addresses()[0]), withinLimit())),
      assert.rejects(other.connect(network.addresses(), withinLimit()), NetworkError),
    ])
    assert.deepEqual(network.connections(), [])
  })

  it('speaks to a stock libp2p node once it is admitted, and starts gossip again when its stream is gone', async () => {
    const network = await started()
    const raw = await stranger(psk)
    const heard: string[] = []
    raw.services.pubsub.subscribe('t')
    raw.services.pubsub.addEventListener('message', ({ detail }) => heard.push(Buffer.from(detail.data).toString()))
    await raw.dial(multiaddr(network.addresses()[0]))
    await until(() => network.connections().length === 1, 'the connection')
    network.admit(parseNodeId(raw.peerId.toString()))
    await until(() => {
      void network.publish('t', bytes('x'))
      return heard.includes('x')
    }, 'gossip at the stock node')
    const streams = raw.getConnections().flatMap((connection) => connection.streams)
    const gossip = streams.filter(
      ({ direction, protocol }) => direction === 'inbound' && protocol.startsWith('/meshsub'),
    )
    assert.equal(gossip.length, 1)
    gossip[0]!.abort(new Error('on purpose'))
    await delay(100)
    await until(() => {
      void network.publish('t', bytes('again'))
      return heard.includes('again')
    }, 'gossip after the stream was cut')
  })

  it('carries gossip between 16 nodes on one address', async () => {
    const nodes: Network[] = []
    for (let i = 0; i < 16; i++) nodes.push(await started())
    for (const [i, node] of nodes.entries())
      await Promise.all(nodes.slice(0, i).map((other) => node.connect(other.addresses(), withinLimit())))
    await until(() => nodes.every((node) => node.connections().length === 15), 'all connections')
    for (const node of nodes) for (const other of node.connections()) node.admit(other)
    await gossipReaches(nodes[0]!, nodes.slice(1))
    await gossipReaches(nodes[15]!, nodes.slice(0, 15))
  })

  it('names the address that it cannot listen on, and stops cleanly after that', async () => {
    const first = await started()
    const taken = first.addresses()[0]!.replace(/\/p2p\/.*/, '')
    const second = create({ listen: [taken] })
    await assert.rejects(second.start(), (error: unknown) => {
      assert.ok(error instanceof NetworkError && error.message.includes(taken) && isAddressInUse(error), String(error))
      return true
    })
    await second.stop()
    await assert.rejects(
      create({ listen: ['/ip4/203.0.113.7/tcp/0'] }).start(),
      (error: unknown) => !isAddressInUse(error),
    )
  })

  it('starts without IPv6 where only that is missing, and names concrete addresses', async () => {
    // 2001:db8:: is for documentation: no machine has it.
    const network = await started({ listen: ['/ip4/0.0.0.0/tcp/0', '/ip6/2001:db8::7/tcp/0'] })
    assert.ok(network.addresses().length > 0)
    assert.ok(network.addresses().every((address) => /^\/ip4\/(?!0\.0\.0\.0).*\/tcp\/[1-9]\d*\/p2p\//.test(address)))
  })

  it('finds nodes with its tag by mDNS, and does not dial them', async () => {
    const tag = `_${randomBytes(6).toString('hex')}._udp.local`
    const first = await started({ tag, listen: ['/ip4/0.0.0.0/tcp/0'] })
    const found: [string, readonly string[]][] = []
    const second = create({ tag, listen: ['/ip4/0.0.0.0/tcp/0'] })
    networks.push(second)
    second.onDiscover((node, addresses) => found.push([node, addresses]))
    await started({ tag: `_${randomBytes(6).toString('hex')}._udp.local` })
    await second.start()
    await until(() => found.length > 0, 'an announcement')
    assert.deepEqual(new Set(found.map(([node]) => node)), new Set([first.node]))
    await delay(100)
    assert.deepEqual(second.connections(), [])
    assert.equal(await second.connect(found[0]![1], withinLimit()), first.node)
  })

  it('survives hundreds of connections of strangers and messages larger than a cipher takes', async () => {
    const network = await started()
    network.handle('/echo/1', (_from, incoming) => incoming)
    const other = await started()
    for (let i = 0; i < 150; i++) {
      await other.connect(network.addresses(), withinLimit())
      await other.disconnect(network.node)
    }
    await other.connect(network.addresses(), withinLimit())
    await until(() => network.connections().includes(other.node), 'the connection')
    network.admit(other.node)
    const large = new Uint8Array(networkLimits.messageBytes).fill(7)
    let count = 0
    for await (const message of other.open(
      network.node,
      '/echo/1',
      Array.from({ length: 20 }, () => large),
      withinLimit(),
    )) {
      assert.equal(Buffer.compare(message, large), 0)
      count++
    }
    assert.equal(count, 20)
  })

  it('leaves nothing behind that keeps the process alive', async () => {
    const program = `
      import { createLibp2pNetwork } from ${JSON.stringify(new URL('../../../src/peer/network/index.ts', import.meta.url).href)}
      import { systemClock } from ${JSON.stringify(new URL('../../../src/model/index.ts', import.meta.url).href)}
      const make = (seed) => createLibp2pNetwork({ privateSeed: new Uint8Array(32).fill(seed), psk: new Uint8Array(32).fill(1),
        listen: ['/ip4/127.0.0.1/tcp/0'], mdns: { tag: '_exit._udp.local' }, log: () => undefined, clock: systemClock })
      const [a, b] = [make(1), make(2)]
      await a.start(); await b.start()
      await a.connect(b.addresses(), { signal: AbortSignal.timeout(5000) })
      a.admit(b.node)
      await Promise.all([a.stop(), b.stop()])
      console.log('stopped')
    `
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
      cwd: fileURLToPath(new URL('../../..', import.meta.url)),
      timeout: 20_000,
    })
    assert.equal(stdout.trim(), 'stopped')
  })
})
