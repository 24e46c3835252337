import assert from 'node:assert/strict'
import { decode, encode } from 'cborg'
import * as fc from 'fast-check'
import { limits, publicKeyOf, RefusedError, type ActorId, type DocumentId } from '../../src/model/index.ts'
import { foundSite, issueCertificate, issueRevocation, type MembersSet } from '../../src/store/members.ts'
import type { Signer } from '../../src/store/types.ts'
import { newSite, signerNamed } from './members-site.ts'

interface Wire {
  v: number
  kind: string
  body: Record<string, unknown>
  chain: [Record<string, unknown>, Uint8Array][]
  signature: Uint8Array
}

/** Writes an entry as anyone with a key could, whatever the builders would say. */
function forge(signer: Signer, kind: string, body: Record<string, unknown>, chain: Wire['chain'] = []): Uint8Array {
  const whole = { ...body, issuer: publicKeyOf(signer.node) }
  const signature = signer.sign(encode(['hedgerow member 1', kind, whole]))
  return encode({ v: 1, kind, body: whole, chain, signature })
}

function wireOf(entry: Uint8Array | undefined): Wire {
  assert.ok(entry)
  return decode(entry) as Wire
}

function linkOf(entry: Uint8Array | undefined): Wire['chain'][number] {
  const { body, signature } = wireOf(entry)
  return [body, signature]
}

async function refuses(members: MembersSet, entry: Uint8Array, reason: RegExp): Promise<void> {
  const before = members.digest()
  await assert.rejects(members.add([entry]), (error: Error) => {
    assert.ok(error instanceof RefusedError, `${error.name}: ${error.message}`)
    assert.match(error.message, reason)
    return true
  })
  assert.equal(members.digest(), before)
}

describe('members set against forgery', () => {
  const { node } = signerNamed('newcomer')
  const key = publicKeyOf(node)

  it('can tell: an entry forged in nothing is accepted', async () => {
    const { founder, members } = await newSite('founder')
    const body = { site: members.site, node: key, name: 'n', role: 'writer', serial: 1 }
    assert.equal(await members.add([forge(founder, 'certificate', body)]), 1)
  })

  it('refuses signatures of another key, of another statement and of another kind', async () => {
    const { founder, members, certify } = await newSite('founder')
    await certify('writer', 'writer')
    const entry = wireOf(issueCertificate(founder, members, { node, name: 'n', role: 'reader' }))
    const signature = signerNamed('thief').sign(encode(['hedgerow member 1', entry.kind, entry.body]))
    await refuses(members, encode({ ...entry, signature }), /signature is wrong/)
    await refuses(members, encode({ ...entry, body: { ...entry.body, role: 'admin' } }), /signature is wrong/)
    const bare = founder.sign(encode(entry.body))
    await refuses(members, encode({ ...entry, signature: bare }), /signature is wrong/)
  })

  it('refuses the entries of another site', async () => {
    const { members } = await newSite('founder')
    await refuses(members, foundSite(signerNamed('other'), 'other').entry, /belongs to site/)
  })

  it('refuses what its issuer has no right to', async () => {
    const { founder, members, certify } = await newSite('founder')
    const { site } = members
    const admin = await certify('admin', 'admin')
    const writer = await certify('writer', 'writer', admin)
    const byAdmin = [linkOf(members.certificateEntry(admin.node))]
    const byWriter = [linkOf(members.certificateEntry(writer.node))]
    const certificate = { site, node: key, name: 'n', role: 'reader', serial: 1 }
    const founderKey = publicKeyOf(founder.node)
    const revocation = { site, node: publicKeyOf(writer.node), keep: [] }
    const stranger = signerNamed('stranger')
    const cases: [Uint8Array, RegExp][] = [
      [forge(admin, 'certificate', { ...certificate, role: 'admin' }, byAdmin), /only the founder signs admins/],
      [forge(admin, 'certificate', { ...certificate, node: founderKey }, byAdmin), /by its own signature alone/],
      [forge(founder, 'certificate', { ...certificate, node: founderKey }), /by its own signature alone/],
      [forge(writer, 'certificate', certificate, byWriter), /does not reach the founder/],
      [forge(stranger, 'certificate', certificate), /does not reach the founder/],
      [forge(stranger, 'certificate', certificate, byAdmin), /not its issuer's/],
      [forge(founder, 'certificate', certificate, byAdmin), /needs no chain/],
      [forge(admin, 'adoption', { site, adopted: 'a'.repeat(32) }, byAdmin), /only the founder adopts/],
      [forge(founder, 'adoption', { site, adopted: site }), /does not adopt itself/],
      [forge(admin, 'revocation', { ...revocation, node: founderKey }, byAdmin), /cannot be revoked/],
      [forge(founder, 'revocation', { ...revocation, node: founderKey }), /cannot be revoked/],
      [
        forge(admin, 'revocation', { ...revocation, keepSignatures: [new Uint8Array(32)] }, byAdmin),
        /only the founder names/,
      ],
      [forge(writer, 'revocation', revocation, byWriter), /does not reach the founder/],
    ]
    for (const [entry, reason] of cases) await refuses(members, entry, reason)
  })

  it('refuses a writer that signs with its own certificate, and a chain forged or of another site', async () => {
    const { founder, members, certify } = await newSite('founder')
    const { site } = members
    const writer = await certify('writer', 'writer')
    const certificate = { site, node: key, name: 'n', role: 'reader', serial: 1 }
    const link = linkOf(members.certificateEntry(writer.node))
    await refuses(members, forge(writer, 'certificate', certificate, [link]), /is a writer, not an admin/)
    const promoted: Wire['chain'][number] = [{ ...link[0], role: 'admin' }, link[1]]
    await refuses(members, forge(writer, 'certificate', certificate, [promoted]), /certificate is forged/)
    const other = await newSite('other')
    const foreign = await other.certify('writer', 'admin')
    const foreignLink = linkOf(other.members.certificateEntry(foreign.node))
    await refuses(members, forge(foreign, 'certificate', certificate, [foreignLink]), /chain is not its issuer's/)
    await refuses(members, forge(founder, 'certificate', certificate, [link, link]), /not a list of at most 1/)
  })

  it('refuses other encodings, unknown fields, kinds and versions, and bytes beyond the limit', async () => {
    const { founder, members } = await newSite('founder')
    const { site } = members
    const entry = issueCertificate(founder, members, { node, name: 'n', role: 'reader' })
    const wire = wireOf(entry)
    const body = { site, node: key, name: 'n', role: 'writer', serial: 1 }
    await refuses(members, encode({ ...wire, extra: 1 }), /canonical/)
    await refuses(members, encode({ ...wire, v: 2 }), /version 2/)
    await refuses(members, Buffer.concat([entry, Buffer.of(0)]), /not readable/)
    await refuses(members, forge(founder, 'certificate', { ...body, extra: 1 }), /canonical/)
    await refuses(members, forge(founder, 'spell', body), /kind "spell"/)
    await refuses(members, forge(founder, 'certificate', { ...body, serial: 1.5 }), /serial/)
    await refuses(members, forge(founder, 'certificate', { ...body, role: 'king' }), /role/)
    await refuses(members, forge(founder, 'certificate', { ...body, name: 'a\u0000b' }), /name/)
    await refuses(members, forge(founder, 'certificate', { ...body, node: key.subarray(1) }), /node key/)
    await refuses(
      members,
      forge(founder, 'revocation', { site, node: key, keep: [['?', new Uint8Array(24), 1]] }),
      /document/,
    )
    await refuses(members, new Uint8Array(limits.memberBytes + 1), /limit/)
    await refuses(members, new Uint8Array(limits.memberBytes).fill(0x81), /not readable/)
  })

  it('stores nothing of a batch with one bad entry', async () => {
    const { founder, members } = await newSite('founder')
    const good = issueCertificate(founder, members, { node, name: 'n', role: 'reader' })
    const before = members.digest()
    await assert.rejects(members.add([good, good.with(40, good[40]! ^ 1)]), RefusedError)
    assert.equal(members.digest(), before)
  })

  it('refuses every truncation and every flipped bit, never with another error', async () => {
    const { founder, members, certify } = await newSite('founder')
    const admin = await certify('admin', 'admin')
    const document = 'catalog.1' as DocumentId
    const actor = '0'.repeat(48) as ActorId
    const writer = await certify('writer', 'writer')
    const samples = [
      issueCertificate(admin, members, { node, name: 'n', role: 'reader', expires: 5 }),
      ...issueRevocation(founder, members, { node: writer.node, keep: [{ document, actor, seq: 3 }] }),
    ]
    const damaged = fc
      .tuple(fc.constantFrom(...samples), fc.nat(), fc.nat({ max: 8 }))
      .map(([entry, at, bit]) =>
        bit === 8
          ? entry.slice(0, at % entry.length)
          : entry.with(at % entry.length, entry[at % entry.length]! ^ (1 << bit)),
      )
    const noise = fc.uint8Array({ maxLength: 200 })
    await fc.assert(
      fc.asyncProperty(fc.oneof({ arbitrary: damaged, weight: 3 }, noise), async (bytes) => {
        await assert.rejects(members.add([bytes]), RefusedError)
      }),
      { numRuns: 1_000 },
    )
  })
})
