import assert from 'node:assert/strict'
import { encode } from 'cborg'
import {
  journalId,
  makeRunId,
  parseGroupName,
  type ActorId,
  type ChangeHash,
  type DocumentId,
} from '../../src/model/index.ts'
import { createSeededRandom, signerOf, type Network, type StreamHandler } from '../../src/peer/index.ts'
import { protocols } from '../../src/peer/constants.ts'
import {
  decodeHello,
  decodePull,
  encodeHello,
  encodePull,
  encodeState,
  type StateReport,
} from '../../src/peer/messages.ts'
import { issueCertificate, issueRevocation } from '../../src/store/index.ts'
import { addressOf, appendSome, createTestSite, startUs, testIdentity, type SiteNode, type TestSite } from './site.ts'

const liar = testIdentity(66)
const { signal } = new AbortController()

function lie(n: number): StateReport {
  const tip = {
    actor: 'ab'.repeat(24) as ActorId,
    seq: 9,
    hash: 'cd'.repeat(32) as ChangeHash,
    records: 90,
    bytes: 900,
  }
  return { id: `amendments.1/default/lie-${n}/2026-01-01` as DocumentId, tips: [tip], settled: false }
}

function helloOf(site: TestSite, { store }: SiteNode, run: number): Uint8Array {
  const certificate = issueCertificate(signerOf(testIdentity(0)), store.members, {
    node: liar.node,
    name: 'liar',
    role: 'writer',
  })
  return encodeHello({
    kind: 'hello',
    site: store.site,
    node: liar.node,
    run: makeRunId(run, new Uint8Array(4)),
    certificate,
    addresses: [],
    order: site.clock.nowUs(),
    members: store.members.digest(),
  })
}

/** A member of the site that claims documents and answers pulls as told. */
async function startLiar(
  site: TestSite,
  host: SiteNode,
  reports: readonly StateReport[],
  answerPull: StreamHandler,
): Promise<Network> {
  const network = site.world.network(liar.node)
  network.handle(protocols.pull, answerPull)
  network.handle(protocols.members, async function* () {})
  network.handle(protocols.reconcile, async function* () {})
  network.handle(protocols.state, async function* (_from, incoming) {
    for await (const _ of incoming) yield* []
  })
  await network.start()
  const work = (async () => {
    await network.connect([addressOf(host.node)], { signal })
    network.admit(host.node)
    const said = [helloOf(site, host, 1), encodeHello({ kind: 'ready' })]
    for await (const _ of network.open(host.node, protocols.hello, said, { signal }));
    const states = (async function* () {
      yield encodeState({ kind: 'states', states: reports })
      yield encodeState({ kind: 'listed' })
      await site.clock.sleep(600_000)
    })()
    for await (const _ of network.open(host.node, protocols.state, states, { signal }));
  })()
  // The host throws it out in the end: that is what the tests are about.
  work.catch(() => undefined)
  await site.clock.runFor(500)
  return network
}

function refused({ log }: SiteNode): unknown[] {
  return log
    .filter(({ message }) => message === 'a document from a peer was refused')
    .map(({ fields }) => fields.document)
}

async function stop(site: TestSite, network: Network): Promise<void> {
  let stopped = false
  const stopping = network.stop().finally(() => (stopped = true))
  await site.clock.runUntil(() => stopped, 10_000)
  await stopping
}

async function host(): Promise<{ site: TestSite; node: SiteNode }> {
  const site = await createTestSite(1)
  const [node] = site.nodes
  assert.ok(node !== undefined)
  await node.peer.start()
  await appendSome(node, 10)
  return { site, node }
}

const garbage: StreamHandler = async function* (_from, incoming) {
  for await (const bytes of incoming) {
    assert.equal(decodePull(bytes).kind, 'pull')
    yield encodePull({ kind: 'changes', tips: [], lengths: [100] })
    yield new Uint8Array(100).fill(7)
    return
  }
}

describe('a member that lies', () => {
  it('is thrown out and left alone after a few documents that do not verify; nothing of it stays', async () => {
    const { site, node } = await host()
    await using _ = site
    const digest = await node.store.digest()
    const network = await startLiar(
      site,
      node,
      Array.from({ length: 20 }, (_, i) => lie(i)),
      garbage,
    )
    await site.clock.runFor(5_000)
    assert.deepEqual(network.connections(), [])
    assert.ok(new Set(refused(node)).size >= 5)
    assert.equal(await node.store.digest(), digest)
    assert.ok(node.events.some(({ type }) => type === 'peer-refused'))
    await stop(site, network)
  })

  it('is not let in again while it is left alone, unless it was started anew', async () => {
    const { site, node } = await host()
    await using _ = site
    const network = await startLiar(
      site,
      node,
      Array.from({ length: 20 }, (_, i) => lie(i)),
      garbage,
    )
    await site.clock.runFor(2_000)
    assert.deepEqual(network.connections(), [])
    const answers: string[] = []
    for (const run of [1, 2]) {
      const work = (async () => {
        await network.connect([addressOf(node.node)], { signal })
        network.admit(node.node)
        const said = [helloOf(site, node, run), encodeHello({ kind: 'ready' })]
        for await (const bytes of network.open(node.node, protocols.hello, said, { signal })) {
          const answer = decodeHello(bytes)
          answers.push(answer.kind === 'refused' ? answer.reason : answer.kind)
        }
      })()
      // Its stream may be cut behind the answer.
      work.catch(() => undefined)
      await site.clock.runFor(1_000)
    }
    assert.deepEqual(answers, ['busy', 'hello'])
    await stop(site, network)
  })

  for (const seals of [false, true])
    it(`is told from one that passes on what a revoked author wrote (${seals ? 'sealed' : 'changes'})`, async () => {
      await using site = await createTestSite(2)
      const [node, author] = site.nodes
      assert.ok(node !== undefined && author !== undefined)
      for (let n = 0; n < 8; n++) {
        await appendSome(author, 2, startUs + n * 3_600_000_000)
        await author.store.sealOpen()
      }
      const { members } = node.store
      await members.add(author.identity.entries)
      await members.add(issueRevocation(signerOf(testIdentity(0)), members, { node: author.node, keep: [] }))
      await using snapshot = await author.store.snapshot()
      const reports: StateReport[] = []
      for await (const { id, tips, seal } of snapshot.documents())
        reports.push(seals && seal !== undefined ? { id, tips, settled: false, seal } : { id, tips, settled: false })
      assert.equal(reports.length, 8)
      await node.peer.start()
      const network = await startLiar(site, node, reports, async function* (_from, incoming) {
        for await (const bytes of incoming) {
          const message = decodePull(bytes)
          if (message.kind !== 'pull') return
          const seal = message.seal ? await snapshot.seal(message.document) : undefined
          if (seal === undefined) {
            const { changes, tips } = await snapshot.changesSince(message.document, message.have)
            yield encodePull({ kind: 'changes', tips, lengths: changes.map(({ length }) => length) })
            yield Buffer.concat(changes)
            return
          }
          yield encodePull({ ...seal, kind: 'seal', length: seal.statement.length })
          yield seal.statement
        }
      })
      await site.clock.runFor(10_000)
      assert.equal(new Set(refused(node)).size, 8)
      assert.deepEqual(network.connections(), [node.node])
      await stop(site, network)
    })

  it('is thrown out for seals of other journals than it was asked for', async () => {
    await using site = await createTestSite(2)
    const [node, author] = site.nodes
    assert.ok(node !== undefined && author !== undefined)
    await appendSome(author, 2)
    await author.store.sealOpen()
    await node.store.members.add(author.identity.entries)
    await node.peer.start()
    await using snapshot = await author.store.snapshot()
    const [real] = await Array.fromAsync(snapshot.documents())
    assert.ok(real?.seal !== undefined)
    const { tips, seal } = real
    const claimed = Array.from({ length: 8 }, (_, n): StateReport => {
      const run = makeRunId(7, new Uint8Array(4))
      return { id: journalId(parseGroupName('default'), author.node, run, n + 1), tips, settled: false, seal }
    })
    const sent = await snapshot.seal(real.id)
    assert.ok(sent !== undefined)
    const network = await startLiar(site, node, claimed, async function* (_from, incoming) {
      for await (const bytes of incoming) {
        const message = decodePull(bytes)
        if (message.kind === 'pull') {
          yield encodePull({ ...sent, kind: 'seal', length: sent.statement.length })
          yield sent.statement
        } else if (message.kind === 'parts') yield await snapshot.sealedPart(real.id, 0)
      }
    })
    await site.clock.runFor(5_000)

    assert.deepEqual(network.connections(), [])
    assert.equal((await node.store.totals()).documents, 0)
    await stop(site, network)
  })

  it('is not thrown out for one document that is refused again and again', async () => {
    const { site, node } = await host()
    await using _ = site
    const network = await startLiar(site, node, [lie(1)], garbage)
    await site.clock.runFor(3_000)
    assert.deepEqual(network.connections(), [node.node])
    assert.equal(refused(node).length, 1)
    await stop(site, network)
  })

  it('cannot keep others from delivering what it claims to have', async () => {
    await using site = await createTestSite(2)
    const [node, other] = site.nodes
    assert.ok(node !== undefined && other !== undefined)
    await node.peer.start()
    // A journal that the liar announces first and never sends.
    await appendSome(other, 30)
    await using snapshot = await other.store.snapshot()
    const claimed: StateReport[] = []
    for await (const { id, tips } of snapshot.documents()) claimed.push({ id, tips, settled: false })
    let asked = 0
    const network = await startLiar(site, node, claimed, async function* (_from, incoming) {
      asked++
      for await (const _ of incoming) yield* await site.clock.sleep(600_000).then(() => [])
    })
    await site.clock.runFor(1_000)
    assert.equal(asked, 1)
    await other.peer.start()
    await site.clock.runFor(60_000)
    assert.equal(await node.store.digest(), await other.store.digest())
    await stop(site, network)
  })

  it('loses no more than its streams and its connection for garbage on any protocol', async () => {
    const { site, node } = await host()
    await using _ = site
    const digest = await node.store.digest()
    const network = await startLiar(site, node, [], garbage)
    const random = createSeededRandom(5)
    const noise = [
      new Uint8Array(0),
      random.bytes(1),
      random.bytes(100),
      random.bytes(1_000_000),
      encode(['pull']),
      encode(['states', [[1, 2, 3]]]),
      encode({ hello: 1 }),
      encode(['digest', 'x', [[1]]]),
    ]
    for (const protocol of Object.values(protocols))
      for (const bytes of noise) {
        if (!network.connections().includes(node.node)) {
          const connecting = network.connect([addressOf(node.node)], { signal })
          await site.clock.runFor(1_000)
          await connecting
          network.admit(node.node)
        }
        const speaking = (async () => {
          for await (const _ of network.open(node.node, protocol, [bytes], { signal }));
        })()
        await Promise.all([assert.rejects(speaking), site.clock.runFor(1_000)])
      }
    assert.equal(await node.store.digest(), digest)
    assert.equal((await node.store.totals()).records, 10)
    assert.ok(!node.log.some(({ level }) => level === 'error'))
    await stop(site, network)
  })

  for (const [what, protocol, question] of [
    ['a pull', protocols.pull, (id: DocumentId) => encodePull({ kind: 'pull', document: id, have: [], seal: true })],
    ['a comparison', protocols.reconcile, () => new Uint8Array(0)],
  ] as const)
    it(`is disconnected when it does not go on with ${what}: it holds a moment of the store`, async () => {
      const { site, node } = await host()
      await using _ = site
      await node.store.sealOpen()
      await using snapshot = await node.store.snapshot()
      const ids: DocumentId[] = []
      for await (const { id } of snapshot.documents()) ids.push(id)
      const network = await startLiar(site, node, [], garbage)
      const outgoing = (async function* () {
        const first = question(ids[0] as DocumentId)
        if (first.length > 0) yield first
        await site.clock.sleep(600_000)
      })()
      const speaking = (async () => {
        for await (const _ of network.open(node.node, protocol, outgoing, { signal }));
      })()
      const ended = assert.rejects(speaking)
      await site.clock.runFor(55_000)
      assert.deepEqual(network.connections(), [node.node])
      await site.clock.runFor(10_000)
      assert.deepEqual(network.connections(), [])
      await ended
      await stop(site, network)
    })

  it('is not asked for a journal that this very run writes, whatever it claims to have of it', async () => {
    const { site, node } = await host()
    await using _ = site
    await using snapshot = await node.store.snapshot()
    const claims: StateReport[] = []
    for await (const { id, tips } of snapshot.documents())
      claims.push({ id, tips: tips.map((tip) => ({ ...tip, seq: tip.seq + 9 })), settled: false })
    const asked = new Set<string>()
    const network = await startLiar(site, node, [...claims, lie(1)], async function* (_from, incoming) {
      for await (const bytes of incoming) {
        const message = decodePull(bytes)
        if (message.kind === 'pull') asked.add(message.document)
        yield encodePull({ kind: 'absent' })
      }
    })
    await site.clock.runFor(100_000)
    assert.equal(claims.length, 1)
    assert.deepEqual([...asked], [lie(1).id])
    await stop(site, network)
  })

  it('has no more than sixteen pulls answered at once', async () => {
    const { site, node } = await host()
    await using _ = site
    await node.store.sealOpen()
    await using snapshot = await node.store.snapshot()
    const ids: DocumentId[] = []
    for await (const { id } of snapshot.documents()) ids.push(id)
    const network = await startLiar(site, node, [], garbage)
    let refusals = 0
    const pulls = Array.from({ length: 20 }, async () => {
      const outgoing = (async function* () {
        yield encodePull({ kind: 'pull', document: ids[0] as DocumentId, have: [], seal: true })
        await site.clock.sleep(600_000)
      })()
      for await (const _ of network.open(node.node, protocols.pull, outgoing, { signal }));
    }).map((pull) => pull.catch(() => refusals++))
    await site.clock.runFor(5_000)
    assert.equal(refusals, 4)
    await stop(site, network)
    await Promise.all(pulls)
  })
})
