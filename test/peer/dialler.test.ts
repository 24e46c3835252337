import assert from 'node:assert/strict'
import { NetworkError, type NodeId } from '../../src/model/index.ts'
import { createSeededRandom, createVirtualClock, type Network, type VirtualClock } from '../../src/peer/index.ts'
import { Tasks, type PeerContext } from '../../src/peer/context.ts'
import { Dialler } from '../../src/peer/dialler.ts'
import { addressOf, startUs, testIdentity } from './site.ts'

const [a, b] = [testIdentity(1).node, testIdentity(2).node]

/** A dialler over a network that notes when it is asked to dial, and answers as told. */
class Rig {
  readonly clock: VirtualClock = createVirtualClock(startUs)
  readonly dials: { readonly ms: number; readonly addresses: readonly string[] }[] = []
  readonly connected = new Set<NodeId>()
  readonly unwanted = new Set<NodeId>()
  readonly members = new Set<NodeId>([a, b])
  readonly tasks = new Tasks(() => undefined)
  readonly dialler: Dialler
  /** Nobody answers, nor refuses. */
  hangs = false
  /** Who answers. */
  answer: NodeId | undefined

  constructor() {
    const network = {
      connect: (addresses: readonly string[]) => {
        this.dials.push({ ms: this.clock.monotonicMs(), addresses })
        if (this.hangs) return new Promise<never>(() => undefined)
        if (this.answer === undefined) return Promise.reject(new NetworkError('nobody is there'))
        return Promise.resolve(this.answer)
      },
    } as unknown as Network
    const context = {
      network,
      clock: this.clock,
      random: createSeededRandom(5),
      tasks: this.tasks,
    } as unknown as PeerContext
    this.dialler = new Dialler(context, {
      greet: (node) => {
        this.connected.add(node)
        this.dialler.connected(node)
        return Promise.resolve()
      },
      isConnected: (node) => this.connected.has(node),
      isUnwanted: (node) => this.unwanted.has(node),
      isMember: (node) => this.members.has(node),
    })
    this.dialler.start()
  }

  lose(node: NodeId): void {
    this.connected.delete(node)
    this.dialler.disconnected(node)
  }
}

describe('dialler', () => {
  it('waits longer after each failure, up to a minute, and never quite as long as the others', async () => {
    const rig = new Rig()
    rig.dialler.add(a, [addressOf(a)], false)
    await rig.clock.runFor(1_200_000)
    const pauses = rig.dials.slice(1).map(({ ms }, i) => ms - (rig.dials[i]?.ms ?? 0))
    assert.ok((pauses[0] as number) >= 500 && (pauses[0] as number) <= 1_000, `${pauses[0]} ms`)
    for (const pause of pauses) assert.ok(pause <= 60_001, `${pause} ms`)
    assert.ok(pauses.slice(-5).every((pause) => pause >= 30_000))
    assert.ok(new Set(pauses.slice(-5)).size > 1, 'the pauses have no jitter')
    assert.equal(rig.dialler.lastError(a), 'nobody is there')
  })

  it('tries at once when a node announces itself', async () => {
    const rig = new Rig()
    rig.dialler.add(a, [addressOf(a)], false)
    await rig.clock.runFor(600_000)
    const before = rig.dials.length
    const now = rig.clock.monotonicMs()
    rig.dialler.add(a, ['/memory/other'], true)
    await rig.clock.runFor(250)
    assert.equal(rig.dials.length, before + 1)
    assert.deepEqual(rig.dials.at(-1)?.addresses, ['/memory/other', addressOf(a)])
    assert.ok((rig.dials.at(-1)?.ms ?? 0) >= now)
  })

  it('leaves a refused node alone, whatever it announces', async () => {
    const rig = new Rig()
    rig.dialler.add(a, [addressOf(a)], false)
    await rig.clock.runFor(10)
    rig.dialler.refused(a, 'expired')
    const before = rig.dials.length
    rig.dialler.add(a, [addressOf(a)], true)
    await rig.clock.runFor(29_000)
    assert.equal(rig.dials.length, before)
    await rig.clock.runFor(60_000)
    assert.ok(rig.dials.length > before)
  })

  it('does not dial who is connected, and dials again soon after the connection was lost', async () => {
    const rig = new Rig()
    rig.answer = a
    rig.dialler.add(a, [addressOf(a)], false)
    await rig.clock.runFor(300_000)
    assert.equal(rig.dials.length, 1)
    rig.lose(a)
    await rig.clock.runFor(600)
    assert.equal(rig.dials.length, 2)
  })

  it('waits longer and longer for a node that throws it out each time', async () => {
    const rig = new Rig()
    rig.answer = a
    rig.dialler.add(a, [addressOf(a)], false)
    for (let i = 0; i < 600; i++) {
      await rig.clock.runFor(1_000)
      if (rig.connected.has(a)) rig.lose(a)
    }
    assert.ok(rig.dials.length < 30, `${rig.dials.length} dials in ten minutes`)
  })

  it('dials a node whatever addresses somebody else made up for it', async () => {
    const rig = new Rig()
    rig.dialler.add(a, ['no address', '/ip4/300.1.1.1/tcp/1', `/memory/${a}/p2p/${b}`, addressOf(a)], false)
    rig.dialler.add(a, ['/', '', `/ip4/10.0.0.1/tcp/1/p2p/${b}`], true)
    rig.dialler.add(b, ['no address'], true)
    rig.dialler.addStatic(`/ip4/300.1.1.1/tcp/1/p2p/${a}`)
    await rig.clock.runFor(250)
    assert.deepEqual(rig.dialler.addresses(a), [addressOf(a)])
    assert.ok(rig.dials.some(({ addresses }) => addresses.length === 1 && addresses[0] === addressOf(a)))
    assert.deepEqual(rig.dialler.addresses(b), [])
    assert.ok(rig.dials.some(({ addresses }) => addresses[0]?.startsWith('/ip4/300') && addresses.length === 1))
  })

  it('keeps the address that worked before all others, in this run and the next', async () => {
    const invented = Array.from({ length: 40 }, (_, i) => `/ip4/10.0.0.${i}/tcp/47474`)
    const rig = new Rig()
    rig.dialler.add(a, [addressOf(a)], false)
    rig.dialler.worked(a, `/memory/${a}`)
    for (const address of invented) rig.dialler.add(a, [address], true)
    const remembered = rig.dialler.addresses(a)
    assert.deepEqual([remembered[0], remembered.length], [addressOf(a), 16])
    const next = new Rig()
    next.dialler.addRemembered(a, remembered)
    for (const address of invented) next.dialler.add(a, [address], true)
    assert.equal(next.dialler.addresses(a)[0], addressOf(a))
  })

  it('has room for every member, whoever else is announced', async () => {
    const rig = new Rig()
    const strangers = Array.from({ length: 100 }, (_, i) => testIdentity(1_000 + i).node)
    for (const node of strangers) rig.dialler.add(node, [addressOf(node)], true)
    assert.equal(strangers.filter((node) => rig.dialler.addresses(node).length > 0).length, 64)
    rig.dialler.add(a, [addressOf(a)], true)
    assert.deepEqual(rig.dialler.addresses(a), [addressOf(a)])
  })

  it('has room for a node that is not known as a member yet, however many members there are', () => {
    const rig = new Rig()
    for (let i = 0; i < 80; i++) {
      const { node } = testIdentity(1_000 + i)
      rig.members.add(node)
      rig.dialler.add(node, [addressOf(node)], false)
    }
    const stranger = testIdentity(999).node
    rig.dialler.add(stranger, [addressOf(stranger)], true)
    assert.deepEqual(rig.dialler.addresses(stranger), [addressOf(stranger)])
  })

  it('leaves dials for members while strangers do not answer', async () => {
    const rig = new Rig()
    rig.hangs = true
    for (let i = 0; i < 20; i++) {
      const { node } = testIdentity(1_000 + i)
      rig.dialler.add(node, [addressOf(node)], true)
    }
    await rig.clock.runFor(250)
    rig.dialler.add(a, [addressOf(a)], true)
    await rig.clock.runFor(250)
    assert.deepEqual(rig.dials.at(-1)?.addresses, [addressOf(a)])
  })

  it('never dials the unwanted, and learns who is behind a bare address', async () => {
    const rig = new Rig()
    rig.unwanted.add(b)
    rig.dialler.add(b, [addressOf(b)], true)
    rig.answer = a
    rig.dialler.addStatic('/memory/bare')
    await rig.clock.runFor(60_000)
    assert.deepEqual(
      rig.dials.map(({ addresses }) => addresses),
      [['/memory/bare']],
    )
    rig.lose(a)
    await rig.clock.runFor(60_000)
    assert.equal(rig.dials.length, 2)
  })
})
