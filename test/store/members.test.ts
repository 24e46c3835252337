import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  actorPrefixOf,
  DamagedError,
  InvalidInputError,
  limits,
  makeActorId,
  NotAllowedError,
  RefusedError,
  WrongSiteError,
  type ActorId,
  type DocumentId,
} from '../../src/model/index.ts'
import {
  foundSite,
  inspectEntry,
  issueAdoption,
  issueCertificate,
  issueRevocation,
  openMembersSet,
} from '../../src/store/members.ts'
import { allEntries, emptyShelf, newSite, signerNamed } from './members-site.ts'

const document = 'catalog.1' as DocumentId

function actorOf(node: Parameters<typeof makeActorId>[0]): ActorId {
  return makeActorId(node, new Uint8Array(8))
}

describe('members set', () => {
  it('holds the founder, its admins and their members, each with role and name', async () => {
    const { founder, members, certify } = await newSite('founder')
    const admin = await certify('admin', 'admin')
    const writer = await certify('writer', 'writer', admin)
    const reader = await certify('reader', 'reader', admin)
    const roles = members
      .members()
      .map(({ certificate, founder }) => `${certificate.name} ${certificate.role}${founder ? ' founder' : ''}`)
    assert.deepEqual(roles.sort(), ['admin admin', 'founder admin founder', 'reader reader', 'writer writer'])
    const who = [founder, admin, writer, reader].map(({ node }) => node)
    assert.deepEqual(
      who.map((node) => members.mayWrite(node)),
      [true, true, true, false],
    )
    assert.deepEqual(
      who.map((node) => members.mayAdminister(node)),
      [true, true, false, false],
    )
    assert.equal(members.nodeOfActor(actorOf(writer.node)), writer.node)
    assert.equal(members.nodeOfActor(actorOf(signerNamed('stranger').node)), undefined)
    assert.equal(members.member(writer.node)?.certificate.issuer, admin.node)
  })

  it('shows a stranger that an entry verifies alone', async () => {
    const { members, certify } = await newSite('founder')
    const admin = await certify('admin', 'admin')
    const writer = await certify('writer', 'writer', admin)
    const entry = members.certificateEntry(writer.node)
    assert.ok(entry)
    const facts = inspectEntry(entry)
    assert.equal(facts.site, members.site)
    assert.equal(facts.certificate?.node, writer.node)
    const other = await emptyShelf().open(members.site)
    assert.equal(await other.add([entry]), 1)
    assert.equal(other.mayWrite(writer.node), true)
  })

  it('comes back from what was saved, with the same digest', async () => {
    const { members, shelf, certify } = await newSite('founder')
    await certify('writer', 'writer')
    const again = await shelf.open(members.site)
    assert.equal(again.digest(), members.digest())
    assert.deepEqual(again.members(), members.members())
  })

  it('skips what it knows, and tells its listeners of what is new only', async () => {
    const { members, certify } = await newSite('founder')
    let changes = 0
    const stop = members.onChange(() => changes++)
    assert.equal(await members.add(allEntries(members)), 0)
    assert.equal(changes, 0)
    await certify('writer', 'writer')
    assert.equal(changes, 1)
    stop()
    await certify('reader', 'reader')
    assert.equal(changes, 1)
  })

  it('knows nothing of entries that could not be saved', async () => {
    const { site, entry } = foundSite(signerNamed('founder'), 'founder')
    let broken = true
    const members = await openMembersSet({
      site,
      load: async function* () {},
      save: async () => {
        if (broken) throw new Error('disk')
      },
    })
    await assert.rejects(members.add([entry]), /disk/)
    assert.deepEqual(members.keys(), [])
    broken = false
    assert.equal(await members.add([entry]), 1)
  })

  it('names a damaged stored entry, and takes it in again from elsewhere', async () => {
    const { members, shelf, certify } = await newSite('founder')
    const writer = await certify('writer', 'writer')
    const entry = members.certificateEntry(writer.node)
    assert.ok(entry)
    const { key } = inspectEntry(entry)
    shelf.entries.set(key, entry.with(30, entry[30]! ^ 1))
    await assert.rejects(shelf.open(members.site), DamagedError)
    const damaged: string[] = []
    const again = await openMembersSet({
      site: members.site,
      load: async function* () {
        yield* shelf.entries
      },
      save: async () => {},
      onDamaged: (key) => damaged.push(key),
    })
    assert.deepEqual(damaged, [key])
    assert.equal(again.member(writer.node), undefined)
    assert.equal(await again.add([entry]), 1)
    assert.equal(again.digest(), members.digest())
  })

  it('shows the certificate with the higher serial, and remembers what an older one granted', async () => {
    const { founder, members, certify } = await newSite('founder')
    const node = await certify('node', 'writer')
    await members.add([issueCertificate(founder, members, { node: node.node, name: 'renamed', role: 'reader' })])
    const { certificate } = members.member(node.node)!
    assert.deepEqual([certificate.name, certificate.role, certificate.serial], ['renamed', 'reader', 2])
    assert.equal(members.mayWrite(node.node), true)
  })

  it('shows of two certificates with one serial the same one everywhere', async () => {
    const { founder, members } = await newSite('founder')
    const { node } = signerNamed('node')
    const pair = ['one', 'two'].map((name) => issueCertificate(founder, members, { node, name, role: 'reader' }))
    const names: unknown[] = []
    for (const entries of [pair, pair.toReversed()]) {
      const set = await emptyShelf().open(members.site)
      await set.add(entries)
      names.push(set.member(node)?.certificate.name)
    }
    assert.equal(names[0], names[1])
  })

  it('shows of an admin what the founder signed, whatever serial another admin gives it', async () => {
    const { founder, members, certify } = await newSite('founder')
    const admin = await certify('admin', 'admin')
    const { node } = signerNamed('node')
    const demotion = issueCertificate(admin, members, { node, name: 'node', role: 'reader', serial: 99 })
    await members.add([demotion, issueCertificate(founder, members, { node, name: 'node', role: 'admin' })])
    assert.equal(members.member(node)?.certificate.role, 'admin')
    await members.add([issueCertificate(founder, members, { node, name: 'node', role: 'writer' })])
    assert.equal(members.member(node)?.certificate.role, 'writer')
  })

  it('takes expiry as data: an expired certificate stays a certificate', async () => {
    const { founder, members } = await newSite('founder')
    const { node } = signerNamed('node')
    await members.add([issueCertificate(founder, members, { node, name: 'node', role: 'writer', expires: 1 })])
    assert.equal(members.member(node)?.certificate.expires, 1)
    assert.equal(members.mayWrite(node), true)
  })

  it('is full at its limit and says so', async () => {
    const { founder, members } = await newSite('founder')
    const { node } = signerNamed('node')
    const entry = (serial: number): Uint8Array =>
      issueCertificate(founder, members, { node, name: 'n', role: 'reader', serial })
    const stored = await openMembersSet({
      site: members.site,
      load: async function* () {
        for (let serial = 1; serial <= limits.members; serial++) {
          const bytes = entry(serial)
          yield [createHash('sha256').update(bytes).digest('hex'), bytes] as const
        }
      },
      save: async () => {},
    })
    await assert.rejects(stored.add([entry(limits.members + 1)]), (error: Error) => {
      assert.ok(error instanceof RefusedError)
      assert.match(error.message, /full/)
      return true
    })
  })
})

describe('revocation', () => {
  it('names what stays; later ones extend it, in any order', async () => {
    const { founder, members, certify } = await newSite('founder')
    const admin = await certify('admin', 'admin')
    const { node } = await certify('writer', 'writer')
    const actor = actorOf(node)
    assert.equal(members.revocation(node), undefined)
    await members.add(issueRevocation(admin, members, { node, keep: [{ document, actor, seq: 7 }] }))
    await members.add(issueRevocation(founder, members, { node, keep: [{ document, actor, seq: 5 }] }))
    assert.deepEqual([...members.revocation(node)!], [[`${document}|${actor}`, 7]])
    assert.equal(members.member(node)?.revoked, true)
    assert.equal(members.mayWrite(node), true)
    assert.throws(() => issueCertificate(founder, members, { node, name: 'again', role: 'writer' }), NotAllowedError)
  })

  it('splits a long list into entries that all fit', async () => {
    const { founder, members, certify } = await newSite('founder')
    const { node } = await certify('writer', 'writer')
    const keep = Array.from({ length: 5_000 }, (_, i) => ({
      document: `amendments.1/default/greenhouse-${i}/2026-11-20` as DocumentId,
      actor: actorOf(node),
      seq: i + 1,
    }))
    const entries = issueRevocation(founder, members, { node, keep })
    assert.ok(entries.length > 1)
    await members.add(entries)
    assert.equal(members.revocation(node)?.size, 5_000)
  })

  it('of an admin is the founder’s alone, and ends what the admin signed, but for what it names', async () => {
    const { founder, members, certify } = await newSite('founder')
    const admin = await certify('admin', 'admin')
    const other = await certify('other', 'admin')
    const kept = await certify('kept', 'writer', admin)
    const lost = await certify('lost', 'writer', admin)
    const apart = await certify('apart', 'writer', other)
    await members.add(issueRevocation(admin, members, { node: apart.node, keep: [] }))
    assert.equal(members.member(apart.node)?.revoked, true)

    assert.throws(() => issueRevocation(other, members, { node: admin.node, keep: [] }), NotAllowedError)
    const keepSignatures = [inspectKey(members.certificateEntry(kept.node)!)]
    await members.add(issueRevocation(founder, members, { node: admin.node, keep: [], keepSignatures }))

    assert.equal(members.mayWrite(kept.node), true)
    assert.equal(members.member(lost.node), undefined)
    assert.equal(members.mayWrite(lost.node), false)
    assert.equal(members.revocation(lost.node)?.size, 0, 'of a node that nobody vouches for nothing stays by itself')
    assert.equal(members.nodeOfActor(actorOf(lost.node)), lost.node)
    assert.equal(members.member(apart.node)?.revoked, false, 'the revoked admin’s revocations end too')
    assert.throws(() => issueCertificate(admin, members, { ...apart, name: 'x', role: 'reader' }), NotAllowedError)
  })

  it('by an admin has no effect on a node that the founder made an admin meanwhile', async () => {
    const { founder, members, certify } = await newSite('founder')
    const admin = await certify('admin', 'admin')
    const { node } = await certify('node', 'writer')
    const revocation = issueRevocation(admin, members, { node, keep: [] })
    const promotion = issueCertificate(founder, members, { node, name: 'node', role: 'admin' })
    for (const batch of [
      [...revocation, promotion],
      [promotion, ...revocation],
    ]) {
      const set = await emptyShelf().open(members.site)
      for (const entry of [...allEntries(members), ...batch]) await set.add([entry])
      assert.equal(set.member(node)?.revoked, false)
    }
  })

  it('of the founder does not exist', async () => {
    const { founder, members, certify } = await newSite('founder')
    const admin = await certify('admin', 'admin')
    for (const signer of [founder, admin])
      assert.throws(() => issueRevocation(signer, members, { node: founder.node, keep: [] }), NotAllowedError)
  })
})

describe('adoption', () => {
  it('makes the authors of an earlier site authors here that cannot connect', async () => {
    const old = await newSite('old founder')
    const oldAdmin = await old.certify('old admin', 'admin')
    const author = await old.certify('author', 'writer', oldAdmin)
    const { founder, members } = await newSite('new founder')
    await assert.rejects(members.add(allEntries(old.members)), RefusedError)
    const adoptedEntries = allEntries(old.members)
    const entries = issueAdoption(founder, members, { adoptedSite: old.members.site, adoptedEntries })
    await members.add(entries.toReversed())
    assert.equal(members.member(author.node)?.adopted, true)
    assert.equal(members.member(author.node)?.founder, false)
    assert.equal(members.mayWrite(author.node), true)
    assert.equal(members.nodeOfActor(actorOf(author.node)), author.node)
    assert.throws(() => issueCertificate(oldAdmin, members, { ...author, name: 'x', role: 'reader' }), NotAllowedError)
  })

  it('keeps what the earlier site’s founder had ended', async () => {
    const old = await newSite('old founder')
    const oldAdmin = await old.certify('old admin', 'admin')
    const lost = await old.certify('lost', 'writer', oldAdmin)
    await old.members.add(issueRevocation(old.founder, old.members, { node: oldAdmin.node, keep: [] }))
    const { founder, members } = await newSite('new founder')
    const adoptedEntries = allEntries(old.members)
    await members.add(issueAdoption(founder, members, { adoptedSite: old.members.site, adoptedEntries }))
    assert.equal(members.mayWrite(lost.node), false)
    assert.equal(members.member(oldAdmin.node)?.revoked, true)
  })

  it('counts a node of both sites as ours', async () => {
    const old = await newSite('old founder')
    const both = await old.certify('both', 'writer')
    await old.members.add(issueRevocation(old.founder, old.members, { node: both.node, keep: [] }))
    const { founder, members, certify } = await newSite('new founder')
    const adoptedEntries = allEntries(old.members)
    await members.add(issueAdoption(founder, members, { adoptedSite: old.members.site, adoptedEntries }))
    assert.equal(members.member(both.node)?.revoked, true)
    await certify('both', 'reader')
    assert.equal(members.member(both.node)?.adopted, false)
    assert.equal(members.member(both.node)?.revoked, false)
    assert.equal(members.mayWrite(both.node), true)
  })

  it('reaches through sites that were adopted before, and lists entries in an order that a new set accepts', async () => {
    const first = await newSite('first')
    const author = await first.certify('author', 'writer')
    const second = await newSite('second')
    const third = await newSite('third')
    for (const [from, to] of [
      [first, second],
      [second, third],
    ] as const) {
      const adoptedEntries = allEntries(from.members)
      await to.members.add(issueAdoption(to.founder, to.members, { adoptedSite: from.members.site, adoptedEntries }))
    }
    const copy = await emptyShelf().open(third.members.site)
    for (const entry of allEntries(third.members)) await copy.add([entry])
    assert.equal(copy.digest(), third.members.digest())
    assert.equal(copy.member(author.node)?.adopted, true)
  })

  it('lets our founder end what a stolen old founder’s key signs', async () => {
    const old = await newSite('old founder')
    const known = await old.certify('known', 'writer')
    const { founder, members } = await newSite('new founder')
    const adoptedEntries = allEntries(old.members)
    await members.add(issueAdoption(founder, members, { adoptedSite: old.members.site, adoptedEntries }))
    const keepSignatures = allEntries(old.members).map(inspectKey)
    const revocation = { node: old.founder.node, keep: [], keepSignatures }
    await members.add(issueRevocation(founder, members, revocation))
    const forged = await old.certify('thief', 'writer')
    const accomplice = await old.certify('accomplice', 'admin')
    const second = await old.certify('second thief', 'writer', accomplice)
    await members.add(allEntries(old.members))
    assert.equal(members.mayWrite(known.node), true)
    for (const { node } of [forged, accomplice, second]) assert.equal(members.mayWrite(node), false)
  })

  it('is the founder’s alone, and of the site it names', async () => {
    const old = await newSite('old founder')
    const foreign = await newSite('foreign')
    const { founder, members, certify } = await newSite('new founder')
    const admin = await certify('admin', 'admin')
    const request = { adoptedSite: old.members.site, adoptedEntries: allEntries(foreign.members) }
    assert.throws(() => issueAdoption(admin, members, request), NotAllowedError)
    assert.throws(() => issueAdoption(founder, members, request), WrongSiteError)
  })
})

describe('certificates', () => {
  it('are issued by those who may, with words for the others', async () => {
    const { members, certify } = await newSite('founder')
    const admin = await certify('admin', 'admin')
    const writer = await certify('writer', 'writer')
    const { node } = signerNamed('new')
    const request = { node, name: 'new', role: 'reader' } as const
    assert.throws(() => issueCertificate(writer, members, request), /this node is a writer/)
    assert.throws(() => issueCertificate(signerNamed('stranger'), members, request), /not a member/)
    assert.throws(() => issueCertificate(admin, members, { ...request, role: 'admin' }), /only the founder/)
    assert.throws(() => issueCertificate(admin, members, { ...request, node: admin.node }), /only the founder/)
    for (const name of ['', 'x'.repeat(65), 'a\nb'])
      assert.throws(() => issueCertificate(admin, members, { ...request, name }), InvalidInputError)
  })

  it('give the actor prefix that names their node', () => {
    const { node } = signerNamed('node')
    assert.ok(actorOf(node).startsWith(actorPrefixOf(node)))
  })
})

function inspectKey(entry: Uint8Array): string {
  return inspectEntry(entry).key
}
