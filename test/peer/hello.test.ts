import assert from 'node:assert/strict'
import { makeRunId, type NodeId } from '../../src/model/index.ts'
import { signerOf, type Network } from '../../src/peer/index.ts'
import { protocols } from '../../src/peer/constants.ts'
import { decodeHello, encodeHello, encodePull, type Hello, type HelloMessage } from '../../src/peer/messages.ts'
import { foundSite, issueCertificate, issueRevocation } from '../../src/store/index.ts'
import { addressOf, appendSome, createTestSite, testIdentity, type SiteNode, type TestSite } from './site.ts'

const strangerKey = testIdentity(99)
const { signal } = new AbortController()

interface Outcome {
  readonly answers: HelloMessage[]
  readonly connected: boolean
  readonly pulled: Uint8Array[]
}

/** Connects with the right pre-shared key, says this hello, and then asks for a document all the same. */
async function visit(site: TestSite, host: SiteNode, hello: Partial<Hello>, key = strangerKey): Promise<Outcome> {
  const network: Network = site.world.network(key.node)
  const answers: HelloMessage[] = []
  const pulled: Uint8Array[] = []
  let done = false
  const visit = (async () => {
    await network.start()
    await network.connect([addressOf(host.node)], { signal })
    const whole: Hello = {
      site: host.store.site,
      node: key.node,
      run: makeRunId(1, new Uint8Array(4)),
      certificate: new Uint8Array(10),
      addresses: [],
      order: site.clock.nowUs(),
      members: '00'.repeat(32),
      ...hello,
    }
    await collect(network, host.node, protocols.hello, encodeHello({ kind: 'hello', ...whole }), (bytes) =>
      answers.push(decodeHello(bytes)),
    )
    await using snapshot = await host.store.snapshot()
    for await (const { id } of snapshot.documents()) {
      const request = encodePull({ kind: 'pull', document: id, have: [], seal: false })
      await collect(network, host.node, protocols.pull, request, (bytes) => pulled.push(bytes))
    }
  })().finally(() => (done = true))
  assert.ok(await site.clock.runUntil(() => done, 60_000))
  await visit
  await site.clock.runFor(2_000)
  const connected = host.peer.addresses().length > 0 && network.connections().includes(host.node)
  let stopped = false
  const stop = network.stop().finally(() => (stopped = true))
  await site.clock.runUntil(() => stopped, 10_000)
  await stop
  return { answers, connected, pulled }
}

/** What comes back on one stream; that it breaks is expected. */
async function collect(
  network: Network,
  node: NodeId,
  protocol: string,
  message: Uint8Array,
  take: (bytes: Uint8Array) => void,
): Promise<void> {
  try {
    for await (const bytes of network.open(node, protocol, [message], { signal })) take(bytes)
  } catch (error) {
    assert.ok(error instanceof Error)
  }
}

function refusedLines({ log }: SiteNode): Record<string, unknown>[] {
  return log
    .filter(({ message, level }) => message === 'a peer was refused' && level === 'warn')
    .map(({ fields }) => fields)
}

async function hosting(): Promise<{ site: TestSite; host: SiteNode }> {
  const site = await createTestSite(1)
  const [host] = site.nodes
  assert.ok(host !== undefined)
  await host.peer.start()
  await appendSome(host, 10)
  return { site, host }
}

describe('hello', () => {
  const founder = signerOf(testIdentity(0))
  const foreign = foundSite(signerOf(testIdentity(50)), 'foreign')

  const cases: [string, string, (host: SiteNode) => Partial<Hello>][] = [
    ['no certificate', 'not-a-member', () => ({})],
    ['another site', 'wrong-site', () => ({ site: foreign.site, certificate: foreign.entry })],
    ['the certificate of another site', 'not-a-member', () => ({ certificate: foreign.entry })],
    [
      "another member's certificate",
      'not-a-member',
      ({ store, node }) => ({ certificate: store.members.certificateEntry(node) as Uint8Array }),
    ],
    ["another member's name", 'not-a-member', ({ node }) => ({ node })],
    [
      'an expired certificate',
      'expired',
      ({ store }) => ({
        certificate: issueCertificate(founder, store.members, {
          node: strangerKey.node,
          name: 'late',
          role: 'writer',
          expires: 1_000_000,
        }),
      }),
    ],
    [
      'a forged certificate',
      'not-a-member',
      ({ store }) => {
        const entry = issueCertificate(founder, store.members, { node: strangerKey.node, name: 'x', role: 'writer' })
        return { certificate: Uint8Array.from(entry, (byte, i) => (i === entry.length - 3 ? byte ^ 1 : byte)) }
      },
    ],
  ]
  for (const [what, reason, hello] of cases)
    it(`gives someone with ${what} nothing but a reason, and leaves one log line`, async () => {
      const { site, host } = await hosting()
      await using _ = site
      const before = [host.store.members.member(strangerKey.node), await host.store.digest()]
      const { answers, connected, pulled } = await visit(site, host, hello(host))
      assert.deepEqual(answers, [{ kind: 'refused', reason }])
      assert.deepEqual(pulled, [])
      assert.equal(connected, false)
      const lines = refusedLines(host)
      assert.equal(lines.length, 1)
      assert.equal(lines[0]?.node, strangerKey.node)
      assert.equal(lines[0].reason, reason)
      if (reason !== 'expired')
        assert.deepEqual([host.store.members.member(strangerKey.node), await host.store.digest()], before)
    })

  it('refuses a revoked member', async () => {
    const { site, host } = await hosting()
    await using _ = site
    const { members } = host.store
    const certificate = issueCertificate(founder, members, { node: strangerKey.node, name: 'x', role: 'writer' })
    await members.add([certificate])
    await members.add(issueRevocation(founder, members, { node: strangerKey.node, keep: [] }))
    const { answers, pulled } = await visit(site, host, { certificate })
    assert.deepEqual(answers, [{ kind: 'refused', reason: 'revoked' }])
    assert.deepEqual(pulled, [])
  })

  it('lets in a member whose fresh certificate it has not seen', async () => {
    const { site, host } = await hosting()
    await using _ = site
    const certificate = issueCertificate(founder, host.store.members, {
      node: strangerKey.node,
      name: 'new',
      role: 'writer',
    })
    const { answers } = await visit(site, host, { certificate })
    const [answer] = answers
    assert.equal(answer?.kind, 'hello')
    assert.equal(host.store.members.member(strangerKey.node)?.certificate.name, 'new')
    assert.equal(refusedLines(host).length, 0)
  })

  it('closes the connection of someone who says nothing', async () => {
    const { site, host } = await hosting()
    await using _ = site
    const network = site.world.network(strangerKey.node)
    await network.start()
    const connecting = network.connect([addressOf(host.node)], { signal })
    await site.clock.runFor(1_000)
    await connecting
    await site.clock.runFor(20_000)
    assert.deepEqual(network.connections(), [])
    assert.equal(refusedLines(host)[0]?.reason, 'no-hello')
    await network.stop()
  })

  it('survives garbage on every protocol', async () => {
    const { site, host } = await hosting()
    await using _ = site
    const network = site.world.network(strangerKey.node)
    await network.start()
    const garbage = [new Uint8Array(0), Uint8Array.of(0x9f), new Uint8Array(100_000).fill(0x81), Buffer.from('hello')]
    let done = false
    const trying = (async () => {
      for (const message of garbage)
        for (const protocol of Object.values(protocols)) {
          await network.connect([addressOf(host.node)], { signal })
          await collect(network, host.node, protocol, message, () => assert.notEqual(protocol, protocols.state))
        }
    })().finally(() => (done = true))
    assert.ok(await site.clock.runUntil(() => done, 60_000))
    await trying
    await network.stop()
    assert.equal((await host.store.totals()).records, 10)
  })
})
