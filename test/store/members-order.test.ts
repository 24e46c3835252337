import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { makeActorId, RefusedError, type DocumentId } from '../../src/model/index.ts'
import {
  foundSite,
  inspectEntry,
  issueAdoption,
  issueCertificate,
  issueRevocation,
  type MembersSet,
} from '../../src/store/members.ts'
import { allEntries, emptyShelf, newSite, signerNamed } from './members-site.ts'

/** A lively site: admins, writers, two adopted sites, revocations of several kinds. Then some entries that are no good. */
async function livelySite(): Promise<{ good: Uint8Array[]; bad: Uint8Array[]; site: MembersSet['site'] }> {
  const older = await newSite('older')
  await older.certify('older writer', 'writer')
  const old = await newSite('old')
  const oldAdmin = await old.certify('old admin', 'admin')
  await old.certify('shared', 'writer', oldAdmin)
  const olderEntries = allEntries(older.members)
  const olderSite = older.members.site
  await old.members.add(
    issueAdoption(old.founder, old.members, { adoptedSite: olderSite, adoptedEntries: olderEntries }),
  )

  const { founder, members, certify } = await newSite('founder')
  const oldEntries = allEntries(old.members)
  await members.add(issueAdoption(founder, members, { adoptedSite: old.members.site, adoptedEntries: oldEntries }))
  const admin = await certify('admin', 'admin')
  const lapsed = await certify('lapsed', 'admin')
  const writer = await certify('writer', 'writer', admin)
  const kept = await certify('kept', 'writer', lapsed)
  await certify('lost', 'writer', lapsed)
  await certify('shared', 'reader', admin)
  const keep = [1, 9, 4].map((seq) => ({
    document: 'catalog.1' as DocumentId,
    actor: makeActorId(writer.node, new Uint8Array(8)),
    seq,
  }))
  for (const item of keep) await members.add(issueRevocation(admin, members, { node: writer.node, keep: [item] }))
  await members.add(issueRevocation(lapsed, members, { node: signerNamed('older writer').node, keep: [] }))
  const keepSignatures = [inspectEntry(members.certificateEntry(kept.node)!).key]
  await members.add(issueRevocation(founder, members, { node: lapsed.node, keep: [], keepSignatures }))

  const good = allEntries(members)
  const spare = issueCertificate(admin, members, { node: signerNamed('spare').node, name: 'spare', role: 'reader' })
  const bad = [foundSite(signerNamed('foreign'), 'foreign').entry, spare.with(50, spare[50]! ^ 4), spare.slice(0, -1)]
  return { good, bad, site: members.site }
}

/** Hands in each group as a peer would: refused as a whole, then one by one, and what stays refused again at the end. */
async function handIn(members: MembersSet, groups: Uint8Array[][]): Promise<void> {
  const offer = async (entries: Uint8Array[]): Promise<boolean> => {
    try {
      await members.add(entries)
      return true
    } catch (error) {
      assert.ok(error instanceof RefusedError, String(error))
      return false
    }
  }
  let waiting: Uint8Array[] = []
  for (const group of groups) {
    if (await offer(group)) continue
    for (const entry of group) if (!(await offer([entry]))) waiting.push(entry)
  }
  for (let before = Infinity; waiting.length < before;) {
    before = waiting.length
    const still: Uint8Array[] = []
    for (const entry of waiting) if (!(await offer([entry]))) still.push(entry)
    waiting = still
  }
}

function summary(members: MembersSet): unknown {
  const nodes = ['founder', 'admin', 'lapsed', 'writer', 'kept', 'lost', 'shared', 'older writer', 'old admin', 'spare']
  return {
    digest: members.digest(),
    keys: members.keys(),
    members: members.members(),
    nodes: nodes.map((name) => {
      const { node } = signerNamed(name)
      const keep = members.revocation(node)
      return [name, members.mayWrite(node), members.mayAdminister(node), keep && [...keep]]
    }),
  }
}

describe('members set in any order', () => {
  it('ends the same, however its entries arrive, with what else is sent', async () => {
    const { good, bad, site } = await livelySite()
    const whole = await emptyShelf().open(site)
    await whole.add(good)
    const expected = summary(whole)
    assert.equal(whole.members().filter(({ revoked }) => revoked).length, 2)
    const order = fc.shuffledSubarray([...good, ...bad], { minLength: good.length + bad.length })
    await fc.assert(
      fc.asyncProperty(order, fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 10 }), async (entries, sizes) => {
        const groups: Uint8Array[][] = []
        for (let at = 0; at < entries.length;) {
          const size = sizes[groups.length] ?? 1
          groups.push(entries.slice(at, at + size))
          at += size
        }
        const members = await emptyShelf().open(site)
        await handIn(members, groups)
        assert.deepEqual(summary(members), expected)
      }),
      { numRuns: 100 },
    )
  })

  it('says of any part of its entries what the same part says in another order', async () => {
    const { good, site } = await livelySite()
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(good), async (entries) => {
        const [forwards, backwards] = [await emptyShelf().open(site), await emptyShelf().open(site)]
        await handIn(
          forwards,
          entries.map((entry) => [entry]),
        )
        await handIn(backwards, [entries.toReversed()])
        assert.deepEqual(summary(backwards), summary(forwards))
      }),
      { numRuns: 100 },
    )
  })
})
