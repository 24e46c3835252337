import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import type { ActorId, ChangeHash, DocumentId, NodeId } from '../../src/model/index.ts'
import { keptChanges, type ChangeFacts } from '../../src/store/members.ts'

const document = 'catalog.1' as DocumentId
type Keep = Record<string, Record<string, number>>

/** `good` stands well; every other node is revoked with what `keep` says of its actors. */
function revocationOf(keep: Keep): (node: NodeId) => ReadonlyMap<string, number> | undefined {
  return (node) =>
    node.startsWith('good')
      ? undefined
      : new Map(Object.entries(keep[node] ?? {}).map(([actor, seq]) => [`${document}|${actor}`, seq]))
}

function change(name: string, deps: string[]): ChangeFacts {
  const [node = '', seq] = name.split(':')
  return {
    hash: name as ChangeHash,
    actor: `${node}-actor` as ActorId,
    seq: Number(seq),
    deps: deps as ChangeHash[],
    node: node as NodeId,
  }
}

function kept(changes: ChangeFacts[], keep: Keep = {}): string[] {
  return [...keptChanges(document, changes, revocationOf(keep))].sort()
}

describe('changes that stay after a revocation', () => {
  const chain = [change('bad:1', []), change('bad:2', ['bad:1']), change('bad:3', ['bad:2'])]

  it('are all of nodes in good standing, and of a revoked one those up to the kept sequence', () => {
    const changes = [...chain, change('good:1', [])]
    assert.deepEqual(kept(changes), ['good:1'])
    assert.deepEqual(kept(changes, { bad: { 'bad-actor': 2 } }), ['bad:1', 'bad:2', 'good:1'])
    assert.deepEqual(kept(changes, { bad: { 'another-actor': 2 } }), ['good:1'])
  })

  it('are also those that a change of a node in good standing depends on', () => {
    assert.deepEqual(kept([...chain, change('good:1', ['bad:2'])]), ['bad:1', 'bad:2', 'good:1'])
  })

  it('are not those whose dependency goes', () => {
    const changes = [...chain, change('worse:1', ['bad:2'])]
    const keep = { worse: { 'worse-actor': 1 } }
    assert.deepEqual(kept(changes, keep), [])
    assert.deepEqual(kept(changes, { ...keep, bad: { 'bad-actor': 2 } }), ['bad:1', 'bad:2', 'worse:1'])
  })

  it('are none with a history that is not whole', () => {
    assert.deepEqual(kept([change('good:2', ['good:1']), chain[0]!]), [])
  })

  it('of another document are not named by a keep list', () => {
    const keep = (): ReadonlyMap<string, number> => new Map([['policy.1|bad-actor', 3]])
    assert.equal(keptChanges(document, chain, keep).size, 0)
  })

  const nodes = ['good1', 'good2', 'bad1', 'bad2', 'bad3']
  /** Random histories: each change of an actor depends on its last one and on random earlier changes. */
  const histories = fc
    .array(fc.tuple(fc.constantFrom(...nodes), fc.array(fc.nat(), { maxLength: 2 })), { maxLength: 25 })
    .map((steps) => {
      const changes: ChangeFacts[] = []
      const newest = new Map<string, string>()
      const seqs = new Map<string, number>()
      for (const [node, picks] of steps) {
        const seq = (seqs.get(node) ?? 0) + 1
        seqs.set(node, seq)
        const own = newest.get(node)
        const others = changes.length === 0 ? [] : picks.map((pick) => changes[pick % changes.length]!.hash)
        changes.push(change(`${node}:${seq}`, [...new Set([...(own === undefined ? [] : [own]), ...others])]))
        newest.set(node, `${node}:${seq}`)
      }
      return changes
    })
  const keeps = fc.record(
    Object.fromEntries(
      ['bad1', 'bad2', 'bad3'].map((node) => [node, fc.record({ [`${node}-actor`]: fc.nat({ max: 6 }) })]),
    ),
  )

  it('are the same in whatever order changes come, and closed under dependencies', () => {
    const input = histories.chain((changes) =>
      fc.tuple(fc.constant(changes), fc.shuffledSubarray(changes, { minLength: changes.length }), keeps),
    )
    fc.assert(
      fc.property(input, ([changes, shuffled, keep]) => {
        const stay = keptChanges(document, changes, revocationOf(keep))
        assert.deepEqual(kept(shuffled, keep), [...stay].sort())
        for (const { hash, deps, node } of changes) {
          if (stay.has(hash)) for (const dep of deps) assert.ok(stay.has(dep), `${hash} stays without ${dep}`)
          if (node.startsWith('good')) assert.ok(stay.has(hash), `${hash} is of a node in good standing`)
        }
      }),
    )
  })

  it('only grow with longer keep lists and with more changes', () => {
    const input = histories.chain((changes) => fc.tuple(fc.constant(changes), fc.subarray(changes), keeps, keeps))
    fc.assert(
      fc.property(input, ([changes, part, keep, more]) => {
        const longer = Object.fromEntries(
          Object.entries(keep).map(([node, actors]) => [
            node,
            Object.fromEntries(
              Object.entries(actors).map(([actor, seq]) => [actor, Math.max(seq, more[node]?.[actor] ?? 0)]),
            ),
          ]),
        )
        const stay = keptChanges(document, changes, revocationOf(keep))
        assert.ok(keptChanges(document, changes, revocationOf(longer)).isSupersetOf(stay))
        assert.ok(stay.isSupersetOf(keptChanges(document, part, revocationOf(keep))))
      }),
    )
  })

  it('of a long history are found without deep recursion', () => {
    const long = Array.from({ length: 20_000 }, (_, i) => change(`bad:${i + 1}`, i === 0 ? [] : [`bad:${i}`]))
    assert.equal(kept([...long, change('good:1', ['bad:15000'])]).length, 15_001)
  })
})
