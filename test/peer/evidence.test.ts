import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import {
  makeRunId,
  type ActorId,
  type ChangeHash,
  type DocumentId,
  type NodeId,
  type RunId,
} from '../../src/model/index.ts'
import { Evidence } from '../../src/peer/evidence.ts'
import type { Holding } from '../../src/peer/tips.ts'
import type { ChangeSet, SignedTip, StoreChange } from '../../src/store/index.ts'

const document = (d: number): DocumentId => `amendments.1/default/s/2026-01-0${d + 1}` as DocumentId
const actorOf = (a: number): ActorId => `${a}`.padStart(48, '0') as ActorId
const recordsPerChange = 3

function tip(actor: number, seq: number): SignedTip {
  return {
    actor: actorOf(actor),
    seq,
    hash: `${actor}${seq}`.padStart(64, '0') as ChangeHash,
    records: seq * recordsPerChange,
    bytes: seq * 100,
    signature: new Uint8Array(64),
  }
}

/** What a node holds of a document: the greatest sequence per actor. */
type Held = Map<number, number>

function holding(held: Held): Holding {
  return { tips: [...held].sort(([a], [b]) => a - b).map(([actor, seq]) => tip(actor, seq)) }
}

function change(d: number, held: Held, actors: readonly number[] | undefined, from: 'local' | NodeId): StoreChange {
  const { tips } = holding(held) as { tips: readonly SignedTip[] }
  const state = { id: document(d), tips, heads: [], records: 0, bytes: 0, settled: false }
  if (actors === undefined) return { state, from }
  const changes: ChangeSet = {
    document: document(d),
    changes: [],
    tips: tips.filter(({ actor }) => actors.some((a) => actorOf(a) === actor)),
  }
  return { state, changes, from }
}

function runOf(n: number): RunId {
  return makeRunId(n, Uint8Array.of(0, 0, 0, n))
}

const documents = 4
const peers = 3
const nodeOf = (p: number): NodeId => `node-${p}` as NodeId

/** A node, its evidence, and what the others really hold. */
class Model {
  readonly evidence = new Evidence()
  readonly ours: Held[] = Array.from({ length: documents }, () => new Map())
  readonly theirs: Held[][] = Array.from({ length: peers }, () => Array.from({ length: documents }, () => new Map()))
  readonly runs: number[] = Array.from({ length: peers }, () => 0)

  total(): number {
    return this.ours.reduce((sum, held) => sum + sumOf(held), 0)
  }

  /** Records that we hold and nobody else does. */
  nowhere(): number {
    let records = 0
    for (const [d, held] of this.ours.entries())
      for (const [actor, seq] of held) {
        const best = Math.max(0, ...this.theirs.map((docs) => docs[d]?.get(actor) ?? 0))
        records += Math.max(0, seq - best) * recordsPerChange
      }
    return records
  }

  append(d: number): void {
    const held = this.ours[d] as Held
    held.set(0, (held.get(0) ?? 0) + 1)
    this.evidence.changed(change(d, held, [0], 'local'))
  }

  /** The peer writes; we do not know yet. */
  write(p: number, d: number): void {
    const held = this.theirs[p]?.[d] as Held
    held.set(p + 1, (held.get(p + 1) ?? 0) + 1)
  }

  /** The peer stores what we hold, and has not said so. */
  deliver(p: number, d: number): void {
    merge(this.theirs[p]?.[d] as Held, this.ours[d] as Held)
  }

  receive(p: number, d: number, sealed: boolean): void {
    const held = this.ours[d] as Held
    const news = merge(held, this.theirs[p]?.[d] as Held)
    if (news.length > 0) this.evidence.changed(change(d, held, sealed ? undefined : news, nodeOf(p)))
  }

  report(p: number, d: number): void {
    this.evidence.report(nodeOf(p), document(d), holding(this.theirs[p]?.[d] as Held), holding(this.ours[d] as Held))
  }

  /** A new run of the peer, which may have lost everything of one document. */
  restart(p: number, lost: number): void {
    this.theirs[p]?.[lost]?.clear()
    this.runs[p] = (this.runs[p] as number) + 1
    this.evidence.begin(nodeOf(p), runOf(this.runs[p]))
  }

  reconcile(p: number): void {
    for (let d = 0; d < documents; d++) this.report(p, d)
    this.evidence.markReconciled(nodeOf(p))
  }
}

function sumOf(held: Held): number {
  return [...held.values()].reduce((sum, seq) => sum + seq * recordsPerChange, 0)
}

function merge(into: Held, from: Held): number[] {
  const news = [...from].filter(([actor, seq]) => seq > (into.get(actor) ?? 0))
  for (const [actor, seq] of news) into.set(actor, seq)
  return news.map(([actor]) => actor)
}

const someDocument = fc.nat(documents - 1)
const somePeer = fc.nat(peers - 1)
const step = fc.oneof(
  fc.record({ act: fc.constant('append' as const), d: someDocument }),
  fc.record({
    act: fc.constantFrom('write' as const, 'deliver' as const, 'report' as const),
    p: somePeer,
    d: someDocument,
  }),
  fc.record({ act: fc.constant('receive' as const), p: somePeer, d: someDocument, sealed: fc.boolean() }),
  fc.record({ act: fc.constant('restart' as const), p: somePeer, d: someDocument }),
  fc.record({ act: fc.constant('reconcile' as const), p: somePeer }),
)

function run(steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[]): Model {
  const model = new Model()
  for (let p = 0; p < peers; p++) model.evidence.begin(nodeOf(p), runOf(0))
  for (const s of steps) {
    if (s.act === 'append') model.append(s.d)
    else if (s.act === 'receive') model.receive(s.p, s.d, s.sealed)
    else if (s.act === 'restart') model.restart(s.p, s.d)
    else if (s.act === 'reconcile') model.reconcile(s.p)
    else model[s.act](s.p, s.d)
    assert.ok(model.evidence.atRisk(model.total()) >= model.nowhere(), 'fewer records are reported than are at risk')
  }
  return model
}

describe('evidence', () => {
  it('never reports fewer records at risk than are nowhere else', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => void run(steps)),
      { numRuns: 500 },
    )
  })

  it('reports exactly what is nowhere else once everybody was reconciled', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const model = run(steps)
        for (let p = 0; p < peers; p++) model.reconcile(p)
        assert.equal(model.evidence.atRisk(model.total()), model.nowhere())
      }),
      { numRuns: 300 },
    )
  })

  it('keeps per peer no more than the differences', () => {
    const model = run([
      { act: 'append', d: 0 },
      { act: 'append', d: 1 },
      { act: 'write', p: 0, d: 2 },
    ])
    for (let p = 0; p < peers; p++) model.reconcile(p)
    model.deliver(1, 0)
    model.deliver(1, 1)
    model.reconcile(1)
    assert.equal([...model.evidence.differences(nodeOf(1))].length, 0)
    assert.equal([...model.evidence.differences(nodeOf(0))].length, 3)
    assert.deepEqual(model.evidence.amounts(nodeOf(0)), {
      behind: { records: 3, bytes: 100 },
      ahead: { records: 6, bytes: 200 },
    })
  })

  it('counts everything before a peer was reconciled, and after it began another run', () => {
    const model = run([
      { act: 'append', d: 0 },
      { act: 'deliver', p: 0, d: 0 },
      { act: 'report', p: 0, d: 0 },
    ])
    assert.equal(model.evidence.atRisk(model.total()), 3)
    model.reconcile(0)
    assert.equal(model.evidence.atRisk(model.total()), 0)
    model.restart(0, 0)
    assert.equal(model.evidence.atRisk(model.total()), 3)
    assert.equal(model.evidence.amounts(nodeOf(0)), undefined)
  })

  it('forgets what a revoked peer acknowledged', () => {
    const model = run([
      { act: 'append', d: 0 },
      { act: 'deliver', p: 0, d: 0 },
      { act: 'reconcile', p: 0 },
    ])
    model.evidence.forget(nodeOf(0))
    assert.equal(model.evidence.atRisk(model.total()), 3)
  })

  it('does not take a fork for what we hold', () => {
    const model = run([{ act: 'append', d: 0 }])
    const forked = { ...tip(0, 1), hash: 'f'.repeat(64) as ChangeHash }
    model.evidence.report(nodeOf(0), document(0), { tips: [forked] }, holding(model.ours[0] as Held))
    model.evidence.markReconciled(nodeOf(0))
    assert.equal(model.evidence.atRisk(model.total()), 3)
  })
})
