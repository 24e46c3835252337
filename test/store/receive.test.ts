import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { encodeChange } from '@automerge/automerge'
import fc from 'fast-check'
import {
  amendmentsId,
  catalogId,
  defaultGroup,
  limits,
  parseSensorId,
  policyId,
  RefusedError,
  type DocumentId,
} from '../../src/model/index.ts'
import { issueCertificate, issueRevocation, type ChangeSet, type StoreChange } from '../../src/store/index.ts'
import { encodeBatch } from '../../src/store/batch-codec/index.ts'
import { readChangeHeader } from '../../src/store/change.ts'
import { flipped } from '../support/faulty-engine.ts'
import { Forger, journalOf } from '../support/forger.ts'
import { openTestSite, reading, testSigner, type TestNode } from '../support/store.ts'

const t0 = 1_700_000_000_000_000
const founder = testSigner(0)
const writer = testSigner(1)
const reader = testSigner(2)
const stranger = testSigner(99)
const amendments = amendmentsId(defaultGroup, parseSensorId('s'), '2023-11-14')
const one = [reading('s', t0, { a: 1 })]

interface Site {
  readonly node: TestNode
  readonly logs: string[]
  /** Refused, with nothing changed and nothing told. */
  refuses(set: ChangeSet, reason: RegExp): Promise<void>
}

async function openSite(): Promise<Site> {
  const logs: string[] = []
  const [node] = (await openTestSite(1, { store: { log: (_level, message) => logs.push(message) } })) as [TestNode]
  const { members } = node.store
  await members.add([
    issueCertificate(founder, members, { node: writer.node, name: 'writer', role: 'writer' }),
    issueCertificate(founder, members, { node: reader.node, name: 'reader', role: 'reader' }),
  ])
  const told: StoreChange[] = []
  node.store.onChange((change) => told.push(change))
  return {
    node,
    logs,
    async refuses(set, reason) {
      const digest = await node.store.digest()
      const totals = await node.store.totals()
      const count = told.length
      await assert.rejects(node.store.receive(set, writer.node), (error: Error) => {
        assert.ok(error instanceof RefusedError, `${error.name}: ${error.message}`)
        assert.match(error.message, reason)
        return true
      })
      assert.equal(await node.store.digest(), digest)
      assert.deepEqual(await node.store.totals(), totals)
      assert.equal(told.length, count)
    },
  }
}

async function accepts({ node }: Site, set: ChangeSet, stored = set.changes.length): Promise<void> {
  const result = await node.store.receive(set, writer.node)
  assert.deepEqual([result.stored, result.missing], [stored, false])
}

function withSignature(set: ChangeSet, signature: Uint8Array): ChangeSet {
  return { ...set, tips: set.tips.map((tip) => ({ ...tip, signature })) }
}

describe('receive', () => {
  let site: Site
  beforeEach(async () => {
    site = await openSite()
  })
  afterEach(() => site.node.store.close())

  it('refuses what is unsigned, wrongly signed or signed for another document or change, then takes the honest one', async () => {
    const forger = new Forger(writer, journalOf(writer)).flush(one)
    const set = forger.set()
    const other = new Forger(writer, journalOf(writer, 2)).flush(one).set()
    await site.refuses({ ...set, tips: [] }, /no signature/)
    await site.refuses(withSignature(set, new Uint8Array(64)), /does not verify/)
    await site.refuses(withSignature(set, new Uint8Array(0)), /does not verify/)
    await site.refuses(withSignature(set, other.tips[0]?.signature as Uint8Array), /does not verify/)
    await site.refuses(forger.set(0, founder), /does not verify/)
    for (let bit = 0; bit < 512; bit += 37)
      await site.refuses(withSignature(set, flipped(set.tips[0]?.signature as Uint8Array, bit)), /does not verify/)
    await site.refuses({ ...set, document: journalOf(writer, 3) }, /does not verify/)
    await accepts(site, set)
  })

  it('refuses strangers, readers, writers of the policy, and a writer in the journal of another', async () => {
    await site.refuses(new Forger(stranger, journalOf(stranger)).flush(one).set(), /no member/)
    await site.refuses(new Forger(stranger, amendments).put('k', 'v').set(), /no member/)
    await site.refuses(new Forger(reader, journalOf(reader)).flush(one).set(), /no right to write/)
    await site.refuses(new Forger(reader, amendments).put('k', 'v').set(), /no right to write/)
    await site.refuses(new Forger(writer, policyId).put('k', 'v').set(), /no right to write/)
    await site.refuses(new Forger(writer, journalOf(founder)).flush(one).set(), /into the journal of/)
    // Another's actor, with one's own signature.
    await site.refuses(new Forger(writer, amendments, { of: founder }).put('k', 'v').set(), /does not verify/)
    await accepts(site, new Forger(founder, policyId).put('k', 'v').set())
    await accepts(site, new Forger(writer, catalogId).put('k', 'v').set())
    await accepts(site, new Forger(writer, amendments).put('k', 'v').set())
  })

  it('takes a replay as nothing new', async () => {
    const forger = new Forger(writer, journalOf(writer)).flush(one).flush(one)
    await accepts(site, forger.set())
    await accepts(site, forger.set(), 0)
    await accepts(site, forger.set(1), 0)
    // Not even signed: there is nothing to verify.
    await accepts(site, { ...forger.set(), tips: [] }, 0)
    await accepts(site, forger.flush(one).set(), 1)
  })

  it('stores nothing past a gap and says that something is missing', async () => {
    const forger = new Forger(writer, journalOf(writer)).flush(one).flush(one).flush(one)
    const digest = await site.node.store.digest()
    assert.equal((await site.node.store.receive(forger.set(1), writer.node)).missing, true)
    assert.equal(await site.node.store.digest(), digest)
    const gap = forger.set()
    assert.equal(
      (
        await site.node.store.receive(
          { ...gap, changes: [...forger.changes.slice(0, 1), ...forger.changes.slice(2)] },
          writer.node,
        )
      ).missing,
      true,
    )
    assert.equal(await site.node.store.digest(), digest)
    await accepts(site, gap)

    const a = new Forger(writer, amendments).put('k', 'v')
    const b = new Forger(founder, amendments).merge(a.changes).put('k', 'w')
    assert.equal((await site.node.store.receive(b.set(), writer.node)).missing, true)
    await accepts(site, { document: amendments, changes: [...a.changes, ...b.changes], tips: [a.tip(), b.tip()] })
  })

  it('refuses changes out of order, and two of one sequence in one set', async () => {
    const forger = new Forger(writer, journalOf(writer)).flush(one).flush(one)
    const [first, second] = forger.changes as [Uint8Array, Uint8Array]
    assert.equal(
      (await site.node.store.receive({ ...forger.set(), changes: [second, first] }, writer.node)).missing,
      true,
    )
    await site.refuses({ ...forger.set(), changes: [first, first, second] }, /does not follow/)
    await accepts(site, forger.set())
  })

  it('refuses a fork, keeps the branch it held first, and says so in the log', async () => {
    const held = new Forger(writer, journalOf(writer)).flush(one).flush(one)
    const fork = new Forger(writer, journalOf(writer)).flush([reading('s', t0, { a: 2 })])
    await accepts(site, held.set())
    await accepts(site, fork.set(), 0)
    fork.flush(one)
    await site.refuses(fork.set(), /clone or rollback/)
    fork.flush(one)
    assert.equal((await site.node.store.receive(fork.set(2), writer.node)).missing, true)
    await site.refuses(fork.set(), /clone or rollback/)
    assert.ok(site.logs.some((message) => message.includes('two changes under one actor')))
    await accepts(site, held.flush(one).set(2))
    const records = await Array.fromAsync(site.node.store.query())
    assert.equal(records[0]?.fields[0]?.shown?.value, 1)
  })

  it('refuses a change that does not name the one before it of its actor', async () => {
    const mine = new Forger(writer, amendments).put('a', 1)
    const other = new Forger(founder, amendments, { actor: 5 }).put('b', 2)
    await accepts(site, mine.set())
    await accepts(site, other.set())
    const second = encodeChange({
      actor: mine.actor,
      seq: 2,
      startOp: 9,
      time: t0,
      message: null,
      deps: [other.tip().hash],
      ops: [{ action: 'set', obj: '_root', key: 'c', value: 3, datatype: 'int', pred: [] }],
    } as never)
    mine.changes.push(second)
    await site.refuses(mine.set(1), /clone or rollback/)
  })

  it('refuses a second actor and a branch in a journal', async () => {
    const first = new Forger(writer, journalOf(writer)).flush(one)
    const second = new Forger(writer, journalOf(writer), { actor: 2 }).flush(one)
    await site.refuses(
      { document: first.id, changes: [...first.changes, ...second.changes], tips: [first.tip(), second.tip()] },
      /one actor/,
    )
    await accepts(site, first.set())
    await site.refuses(second.set(), /one actor/)
    second.merge(first.changes).flush(one)
    await site.refuses(second.set(), /one actor/)
    await accepts(site, first.flush(one).set(1))
  })

  const batch = encodeBatch(one)
  const misshapen: Record<string, (forger: Forger) => void> = {
    'an empty change': (f) => f.change((h) => h.put('_root', 'x', 1)).change((h) => h.delete('_root', 'x')),
    'a wrong key': (f) => f.change((h) => h.put('_root', '2', batch, 'bytes')),
    'a key with a leading zero': (f) => f.change((h) => h.put('_root', '01', batch, 'bytes')),
    'two puts': (f) =>
      f.change((h) => {
        h.put('_root', '1', batch, 'bytes')
        h.put('_root', 'x', batch, 'bytes')
      }),
    'a text': (f) => f.change((h) => h.put('_root', '1', 'text')),
    'a number': (f) => f.change((h) => h.put('_root', '1', 1)),
    'a counter': (f) => f.change((h) => h.put('_root', '1', 1, 'counter')),
    'a nested map': (f) => f.change((h) => h.putObject('_root', '1', {})),
    'a nested list': (f) => f.change((h) => h.putObject('_root', '1', [batch])),
    'bytes that are no batch': (f) => f.change((h) => h.put('_root', '1', new Uint8Array(50).fill(7), 'bytes')),
    'no bytes at all': (f) => f.change((h) => h.put('_root', '1', new Uint8Array(0), 'bytes')),
    'a truncated batch': (f) => f.change((h) => h.put('_root', '1', batch.subarray(0, -1), 'bytes')),
    'a delete': (f) => f.change((h) => h.put('_root', '1', batch, 'bytes')).change((h) => h.delete('_root', '1')),
    'an overwritten key': (f) =>
      f
        .change((h) => h.put('_root', '1', batch, 'bytes'))
        .change((h) => h.put('_root', '1', encodeBatch([reading('s', t0, { a: 2 })]), 'bytes')),
  }
  for (const [name, forge] of Object.entries(misshapen))
    it(`refuses ${name} in a journal`, async () => {
      const forger = new Forger(writer, journalOf(writer))
      forge(forger)
      await site.refuses(forger.set(), /./)
      await accepts(site, new Forger(writer, journalOf(writer, 2)).flush(one).set())
    })

  const misshapenShared: Record<string, (forger: Forger) => void> = {
    'a change of nothing': (f) => f.put('k', 'v').change((h) => h.emptyChange(undefined, t0)),
    'a delete': (f) => f.put('k', 'v').change((h) => h.delete('_root', 'k')),
    'a nested map': (f) => f.change((h) => h.putObject('_root', 'k', {})),
    'a nested text': (f) => f.change((h) => h.putObject('_root', 'k', 'text')),
    'a counter': (f) => f.change((h) => h.put('_root', 'k', 1, 'counter')),
    'an increment': (f) =>
      f.change((h) => h.put('_root', 'k', 1, 'counter')).change((h) => h.increment('_root', 'k', 1)),
    'a null': (f) => f.change((h) => h.put('_root', 'k', null, 'null')),
    'a timestamp': (f) => f.change((h) => h.put('_root', 'k', new Date(5), 'timestamp')),
    'an entry that is too long': (f) => f.put('k', 'x'.repeat(limits.entryBytes)),
    'a key that is too long': (f) => f.put('x'.repeat(limits.entryBytes), 1),
    'too many puts': (f) =>
      f.change((h) => {
        for (let i = 0; i <= limits.changePuts; i++) h.put('_root', `${i}`, i)
      }),
  }
  for (const [name, forge] of Object.entries(misshapenShared))
    it(`refuses ${name} in a shared document`, async () => {
      const forger = new Forger(writer, amendments)
      forge(forger)
      await site.refuses(forger.set(), /./)
      await accepts(site, new Forger(writer, amendments, { actor: 2 }).put('k', 'v').set())
    })

  it('refuses oversized changes before it looks into them', async () => {
    const set = new Forger(writer, journalOf(writer)).flush(one).set()
    await site.refuses({ ...set, changes: [new Uint8Array(limits.changeBytes + 1)] }, /bytes/)
    const half = new Uint8Array(limits.changeBytes)
    await site.refuses({ ...set, changes: Array.from({ length: 14 }, () => half) }, /come to/)
  })

  it('refuses truncated, flipped and random bytes', async () => {
    const set = new Forger(writer, journalOf(writer)).flush(one).set()
    const chunk = set.changes[0] as Uint8Array
    for (let length = 0; length < chunk.length; length += 3)
      await site.refuses({ ...set, changes: [chunk.subarray(0, length)] }, /./)
    for (let bit = 0; bit < chunk.length * 8; bit += 11)
      await site.refuses({ ...set, changes: [flipped(chunk, bit)] }, /./)
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        await assert.rejects(site.node.store.receive({ ...set, changes: [bytes] }, writer.node), RefusedError)
      }),
      { numRuns: 100 },
    )
    await accepts(site, set)
  })

  it('refuses bytes whose header and signature are right and whose operations are not', async () => {
    const forger = new Forger(writer, journalOf(writer)).flush(one)
    const chunk = forger.changes[0] as Uint8Array
    let refused = 0
    // The author itself damages what it signs: checksum and signature fit, the columns do not.
    for (let at = readChangeHeader(chunk).end; at < chunk.length; at++) {
      forger.changes[0] = resealed(flipped(chunk, at * 8 + (at % 8)))
      await site.node.store.receive(forger.set(), writer.node).then(
        ({ state, missing }) => assert.ok(missing || state.records > 0),
        (error: unknown) => {
          assert.ok(error instanceof RefusedError, String(error))
          refused++
        },
      )
      if ((await site.node.store.totals()).documents > 0) {
        await site.node.store.close()
        site = await openSite()
      }
    }
    assert.ok(refused > 0)
    await accepts(site, new Forger(writer, journalOf(writer, 2)).flush(one).set())
  })

  it('refuses ids that are none, and keeps documents of a later release unopened', async () => {
    for (const id of ['', 'x', '../etc', 'journal.1/default/x/y-1', 'amendments.1/default/s/today', 'A.1'])
      await site.refuses({ ...new Forger(writer, id as DocumentId).put('k', 'v').set() }, /./)
    const later = new Forger(writer, 'thing.7/a/b' as DocumentId).change((h) => h.putObject('_root', 'k', {}))
    await accepts(site, later.set())
    const again = new Forger(writer, 'journal.2/a' as DocumentId).put('k', 'v')
    await accepts(site, again.set())
  })

  it('keeps of a revoked author what the revocation names, and nothing after it', async () => {
    const { members } = site.node.store
    const kept = new Forger(writer, journalOf(writer)).flush(one)
    await members.add(
      issueRevocation(founder, members, {
        node: writer.node,
        keep: [{ document: kept.id, actor: kept.actor, seq: 1 }],
      }),
    )
    await accepts(site, kept.set())
    await site.refuses(kept.flush(one).set(), /was revoked/)
    await site.refuses(new Forger(writer, amendments).put('k', 'v').set(), /was revoked/)
    await accepts(site, new Forger(founder, amendments).put('k', 'v').set())
  })

  it('refuses a journal of this very run: another process uses this identity', async () => {
    await site.node.store.append(one, { flush: true })
    await using snapshot = await site.node.store.snapshot()
    const own = (await Array.fromAsync(snapshot.documents())).find(({ id }) => id.startsWith('journal.')) as {
      id: DocumentId
    }
    await site.refuses(new Forger(founder, own.id).flush(one).set(), /this very run/)
  })

  it('takes an actor whose prefix is a member’s in a document of any size in any order of its tips', async () => {
    const a = new Forger(writer, amendments).put('a', 1).put('b', 2)
    const b = new Forger(founder, amendments, { actor: 7 }).put('a', 3)
    await accepts(site, { document: amendments, changes: [...b.changes, ...a.changes], tips: [a.tip(), b.tip()] })
    const { state } = await site.node.store.receive(a.set(), writer.node)
    assert.deepEqual(
      state.tips.map(({ actor }) => actor),
      state.tips.map(({ actor }) => actor).toSorted(),
    )
    assert.equal(state.heads.length, 2)
    assert.equal(state.records, 3)
  })
})

/** A chunk with the checksum of its content. */
function resealed(chunk: Uint8Array): Uint8Array {
  const bytes = Buffer.from(chunk)
  createHash('sha256').update(bytes.subarray(8)).digest().copy(bytes, 4, 0, 4)
  return bytes
}
