import assert from 'node:assert/strict'
import { InvalidInputError, NotAllowedError, RefusedError } from '../../src/model/index.ts'
import { createPeer, decodeInvite, redeemInvite, signerOf, type Invite, type Redeemed } from '../../src/peer/index.ts'
import { createStore, foundSite, issueCertificate, issueRevocation } from '../../src/store/index.ts'
import { createSeededRandom } from '../../src/peer/index.ts'
import { memoryEngine } from '../support/store.ts'
import { addressOf, appendSome, createTestSite, testIdentity, type SiteNode, type TestSite } from './site.ts'

const { signal } = new AbortController()

async function founding(): Promise<{ site: TestSite; founder: SiteNode }> {
  const site = await createTestSite(1)
  const [founder] = site.nodes
  assert.ok(founder !== undefined)
  await founder.peer.start()
  await appendSome(founder, 25)
  return { site, founder }
}

async function inviteOf({ peer, node }: SiteNode, expiresMs = 3_600_000): Promise<Invite> {
  const { code } = await peer.invite({ role: 'writer', expiresMs })
  // The simulated network's addresses are no multiaddrs that an invite can carry.
  return { ...decodeInvite(code), addresses: [addressOf(node)] }
}

async function redeem(site: TestSite, invite: Invite, n: number, name = `joined-${n}`): Promise<Redeemed> {
  const network = site.world.network(testIdentity(n).node)
  await network.start()
  let done = false
  const redeemed = redeemInvite({ network, invite, name, signal }).finally(() => (done = true))
  const outcome = redeemed.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  assert.ok(await site.clock.runUntil(() => done, 60_000))
  let stopped = false
  const stop = network.stop().finally(() => (stopped = true))
  await site.clock.runUntil(() => stopped, 10_000)
  await stop
  const result = await outcome
  if ('error' in result) throw result.error
  return result.value
}

describe('join', () => {
  it('makes the joiner a member that the site lets in and shares all with', async () => {
    const { site, founder } = await founding()
    await using _ = site
    const { entries, inviter, records } = await redeem(site, await inviteOf(founder), 7)
    assert.equal(inviter, founder.node)
    assert.equal(records, 25)
    const key = testIdentity(7)
    const { clock } = site
    const random = createSeededRandom(3)
    const store = await createStore(
      { engine: memoryEngine(), clock, random, signer: signerOf(key) },
      { site: founder.store.site, members: entries },
    )
    assert.equal(store.members.member(key.node)?.certificate.name, 'joined-7')
    const identity = { ...key, site: store.site, psk: new Uint8Array(32), name: 'joined-7', entries: [] }
    const network = site.world.network(key.node)
    const log = (): void => undefined
    const peer = createPeer({ store, identity, network, clock, random, log, staticPeers: [addressOf(founder.node)] })
    await peer.start()
    await clock.runFor(3_000)
    assert.equal(await store.digest(), await founder.store.digest())
    let stopped = false
    const stop = peer.stop().finally(() => (stopped = true))
    await clock.runUntil(() => stopped, 10_000)
    await stop
    await store.close()
  })

  it('works with an invite of which one address cannot be used', async () => {
    const { site, founder } = await founding()
    await using _ = site
    const invite = await inviteOf(founder)
    const addresses = ['/ip4/300.1.1.1/tcp/1', addressOf(testIdentity(8).node), ...invite.addresses]
    assert.equal((await redeem(site, { ...invite, addresses }, 7)).inviter, founder.node)
  })

  it('takes an invite once, and from the same node again', async () => {
    const { site, founder } = await founding()
    await using _ = site
    const invite = await inviteOf(founder)
    await redeem(site, invite, 7)
    const before = founder.store.members.digest()
    await redeem(site, invite, 7)
    assert.equal(founder.store.members.digest(), before)
    await assert.rejects(
      redeem(site, invite, 8),
      (error) => error instanceof NotAllowedError && /used/.test(error.message),
    )
    assert.equal(founder.store.members.member(testIdentity(8).node), undefined)
  })

  it('keeps an invite whose joiner gives a name or has a past that does not do', async () => {
    const { site, founder } = await founding()
    await using _ = site
    const { members } = founder.store
    const invite = await inviteOf(founder)
    await assert.rejects(redeem(site, invite, 7, 'x'.repeat(65)), InvalidInputError)
    await assert.rejects(
      redeem(site, invite, 7, 'two\nlines'),
      (error) => error instanceof NotAllowedError && /control/.test(error.message),
    )
    const { node } = testIdentity(8)
    const signer = signerOf(testIdentity(0))
    await members.add([issueCertificate(signer, members, { node, name: 'gone', role: 'writer' })])
    await members.add(issueRevocation(signer, members, { node, keep: [] }))
    await assert.rejects(
      redeem(site, invite, 8),
      (error) => error instanceof NotAllowedError && /revoked/.test(error.message),
    )
    assert.equal((await redeem(site, invite, 9)).inviter, founder.node)
  })

  it('gives a member whose certificate has expired a new one', async () => {
    const { site, founder } = await founding()
    await using _ = site
    const { members } = founder.store
    const { node } = testIdentity(8)
    const expires = site.clock.nowUs() + 1_000_000
    await members.add([
      issueCertificate(signerOf(testIdentity(0)), members, { node, name: 'old', role: 'writer', expires }),
    ])
    await site.clock.runFor(2_000)
    await redeem(site, await inviteOf(founder), 8)
    assert.equal(members.member(node)?.certificate.expires, undefined)
  })

  it('refuses an expired invite', async () => {
    const { site, founder } = await founding()
    await using _ = site
    const invite = await inviteOf(founder, 60_000)
    await site.clock.runFor(61_000)
    await assert.rejects(
      redeem(site, invite, 7),
      (error) => error instanceof NotAllowedError && /expired/.test(error.message),
    )
  })

  it('shows the token only to a node that proves the site of the invite', async () => {
    const { site, founder } = await founding()
    await using _ = site
    const other = foundSite(signerOf(testIdentity(50)), 'other')
    const invite = await inviteOf(founder)
    await assert.rejects(redeem(site, { ...invite, site: other.site }, 7), RefusedError)
    await assert.rejects(redeem(site, { ...invite, inviter: testIdentity(8).node }, 7), RefusedError)
    // Not used by all this.
    await redeem(site, invite, 9)
  })

  it('is not offered by a node that is no admin', async () => {
    await using site = await createTestSite(2)
    const writer = site.nodes[1] as SiteNode
    await assert.rejects(writer.peer.invite({ role: 'reader', expiresMs: 1_000 }), NotAllowedError)
  })

  it('as an admin is offered by the founder only', async () => {
    await using site = await createTestSite(2)
    const [founder, admin] = site.nodes as [SiteNode, SiteNode]
    const { members } = founder.store
    const request = { node: admin.node, name: 'admin', role: 'admin' as const }
    const entry = issueCertificate(signerOf(founder.identity), members, request)
    await admin.store.members.add([entry])
    await admin.peer.invite({ role: 'writer', expiresMs: 1_000 })
    await assert.rejects(admin.peer.invite({ role: 'admin', expiresMs: 1_000 }), NotAllowedError)
    await founder.peer.invite({ role: 'admin', expiresMs: 1_000 })
  })
})
