import assert from 'node:assert/strict'
import fc from 'fast-check'
import { chainOf, findBackup, newestOfNodes, parentFor, type ChainLink } from '../../src/backup/chain.ts'
import { resolve } from '../../src/backup/contents.ts'
import { noRecord, type Form, type ListEntry } from '../../src/backup/document-list.ts'
import { DamagedError, InvalidInputError, type DocumentId } from '../../src/model/index.ts'

type Kind = ChainLink['kind']

/** Makes a node's backups the way `createBackup` does, leaving out those that the vault loses right after. */
function timeline(node: string, kinds: readonly { kind: Kind; lost: boolean }[]): Map<string, ChainLink> {
  const all = new Map<string, ChainLink>()
  for (const [i, { kind }] of kinds.entries()) {
    const counter = i + 1
    const name = `${node}/${counter}`
    const parent = kind === 'full' ? undefined : parentFor(kind, node, all)
    all.set(name, {
      name,
      node,
      counter,
      id: counter.toString(16).padStart(16, '0'),
      hash: `hash of ${name}`,
      created: 1_000 + ((counter * 7_919) % 13),
      kind: parent === undefined ? 'full' : kind,
      ...(parent === undefined ? {} : { parent: { name: parent.name, hash: parent.hash } }),
    })
    if (kinds[i]?.lost === true) all.delete(name)
  }
  return all
}

const steps = fc.array(
  fc.record({ kind: fc.constantFrom<Kind[]>('full', 'incremental', 'differential'), lost: fc.boolean() }),
  {
    maxLength: 30,
  },
)

describe('chain', () => {
  it('leads from a full backup to the one asked for, each continuing the one before', () => {
    fc.assert(
      fc.property(steps, steps, (ours, theirs) => {
        const all = new Map([...timeline('a', ours), ...timeline('b', theirs)])
        for (const link of all.values()) {
          const { links, broken } = chainOf(link, all)
          assert.equal(broken, undefined)
          assert.equal(links.at(-1), link)
          assert.equal(links[0]?.kind, 'full')
          for (const [i, one] of links.entries()) {
            assert.equal(one.node, link.node)
            if (i === 0) continue
            assert.equal(one.parent?.name, links[i - 1]?.name)
            assert.ok(one.counter > (links[i - 1]?.counter ?? 0))
            if (one.kind === 'differential') assert.equal(i, 1)
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  it('is broken exactly when a link of it is lost, and names the file', () => {
    fc.assert(
      fc.property(steps, fc.nat(), (kinds, pick) => {
        const all = timeline('a', kinds)
        const names = [...all.keys()]
        const lost = names[pick % Math.max(1, names.length)]
        if (lost === undefined) return
        const before = new Map([...all].map(([name, link]) => [name, chainOf(link, all).links.map((one) => one.name)]))
        all.delete(lost)
        for (const [name, link] of all) {
          const { broken } = chainOf(link, all)
          assert.equal(broken?.name, before.get(name)?.includes(lost) === true ? lost : undefined)
        }
        const newest = parentFor('incremental', 'a', all)
        assert.ok(newest === undefined || chainOf(newest, all).broken === undefined)
      }),
      { numRuns: 300 },
    )
  })

  it("does not go on from a manifest that was put in another's place, nor in circles", () => {
    const all = timeline('a', [
      { kind: 'full', lost: false },
      { kind: 'incremental', lost: false },
    ])
    const [first, second] = [...all.values()] as [ChainLink, ChainLink]
    const swapped = new Map([...all, [first.name, { ...first, hash: 'another' }]])
    assert.match(chainOf(second, swapped).broken?.what ?? '', /not the manifest/)
    const circle = { ...first, kind: 'incremental' as const, parent: { name: second.name, hash: second.hash } }
    const circling = new Map([...all, [first.name, circle]])
    assert.ok(chainOf(second, circling).broken !== undefined)
  })

  it('finds a backup by as much of its id as is needed', () => {
    const all = timeline(
      'a',
      Array.from({ length: 20 }, () => ({ kind: 'full' as const, lost: false })),
    )
    assert.equal(findBackup('0000000000000014', all).counter, 20)
    assert.throws(() => findBackup('000000', all), InvalidInputError)
    assert.throws(() => findBackup('ffff', all), InvalidInputError)
    assert.throws(() => findBackup('', all), InvalidInputError)
    assert.equal(newestOfNodes(all)[0]?.counter, 20)
  })
})

describe('resolved document', () => {
  const entry = (form: Form, n = 0): ListEntry => ({
    id: 'catalog.1' as DocumentId,
    form,
    tips: [],
    heads: [],
    record: { ...noRecord, offset: n },
  })

  it('is the newest whole state and the changes behind it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom<Form[]>('gone', 'sealed', 'whole', 'changes'), { minLength: 1, maxLength: 8 }),
        (forms) => {
          const entries = forms.map(entry)
          const last = forms.findLastIndex((form) => form !== 'changes')
          if (forms.at(-1) === 'gone') assert.equal(resolve(entries), undefined)
          else if (last === -1 || forms[last] === 'gone') assert.throws(() => resolve(entries), DamagedError)
          else assert.deepEqual(resolve(entries), { facts: entries.at(-1), steps: entries.slice(last) })
        },
      ),
      { numRuns: 500 },
    )
  })
})
