import assert from 'node:assert/strict'
import {
  InvalidInputError,
  LimitError,
  limits,
  parseFieldName,
  parseSensorId,
  parseSensorPattern,
  type ActorId,
  type GroupName,
} from '../../../src/model/index.ts'
import type { SharedContent, SharedEntry } from '../../../src/store/documents.ts'
import { catalogOf, catalogPuts } from '../../../src/store/records/catalog.ts'
import { compilePolicy, policyOf, policyPuts, readPolicy } from '../../../src/store/records/policy.ts'

const content = (keys: Record<string, SharedEntry['value'] | SharedEntry['value'][]>): SharedContent =>
  new Map(
    Object.entries(keys).map(([key, value]) => [
      key,
      (Array.isArray(value) ? value : [value]).map((value) => ({ actor: '' as ActorId, value })),
    ]),
  )
const sensor = parseSensorId
const pattern = parseSensorPattern
const group = (name: string): GroupName => name as GroupName

describe('policy', () => {
  const policy = readPolicy(
    content({
      'group|farm/**': 'farm',
      'group|farm/pump-*': 'pumps',
      'group|farm/pump-1': ['x', 'one'],
      'lane|pumps': 'critical',
      'lane|farm': 'warp',
      'rule|**|*': 'manual',
      'rule|farm/**|t': 'default',
      'rule|farm/pump-1|t': 'latest',
      'mark|farm': [50, 70, 60],
      'later|thing': 1,
      'group|a b': 'farm',
      'group|farm/x': 17,
    }),
  )
  const resolver = compilePolicy(policy)

  it('puts a sensor into the group of the most specific pattern', () => {
    assert.equal(resolver.groupOf(sensor('farm/air')), 'farm')
    assert.equal(resolver.groupOf(sensor('farm/pump-2')), 'pumps')
    assert.equal(resolver.groupOf(sensor('farm/pump-1')), 'one')
    assert.equal(resolver.groupOf(sensor('yard')), 'default')
  })

  it('reads unknown lanes as normal and unknown rules as default', () => {
    assert.equal(resolver.laneOf(group('pumps')), 'critical')
    assert.equal(resolver.laneOf(group('farm')), 'normal')
    assert.equal(resolver.laneOf(group('constructor')), 'normal')
    assert.equal(resolver.ruleOf(sensor('farm/pump-1'), parseFieldName('t')), 'default')
  })

  it('takes the rule of the most specific pattern, a named field before all fields', () => {
    assert.equal(resolver.ruleOf(sensor('farm/air'), parseFieldName('t')), 'default')
    assert.equal(resolver.ruleOf(sensor('farm/air'), parseFieldName('h')), 'manual')
    assert.equal(resolver.ruleOf(sensor('yard'), parseFieldName('t')), 'manual')
    assert.equal(compilePolicy(readPolicy(new Map())).ruleOf(sensor('yard'), parseFieldName('t')), 'default')
  })

  it('reads concurrent marks as the greatest', () => {
    assert.equal(resolver.markOf(sensor('farm/air')), 70)
    assert.equal(resolver.markOf(sensor('yard')), 0)
  })

  it('is compiled once for one content', () => {
    const same = content({ 'group|a': 'b' })
    assert.equal(policyOf(same), policyOf(same))
  })

  it('comes back from what a change puts', () => {
    const puts = policyPuts(policy, {
      pattern: pattern('yard/**'),
      group: group('yard'),
      lane: 'bulk',
      rules: { t: 'manual', '*': 'default' },
    })
    const read = readPolicy(content(Object.fromEntries(puts)))
    assert.deepEqual(read, {
      entries: [{ pattern: 'yard/**', group: 'yard', rules: { '*': 'default', t: 'manual' } }],
      lanes: { yard: 'bulk' },
      marks: {},
    })
  })

  it('sets the lane of the group that the pattern already has', () => {
    assert.deepEqual([...policyPuts(policy, { pattern: pattern('farm/**'), lane: 'bulk' })], [['lane|farm', 'bulk']])
    assert.deepEqual(
      [...policyPuts(policy, { pattern: pattern('farm/pump-7'), lane: 'bulk' })],
      [['lane|pumps', 'bulk']],
    )
    assert.throws(() => policyPuts(policy, { pattern: pattern('farm/a*'), lane: 'bulk' }), InvalidInputError)
  })

  it('refuses what it does not know, and one group too many', () => {
    assert.throws(() => policyPuts(policy, { pattern: pattern('a') }), InvalidInputError)
    assert.throws(
      () => policyPuts(policy, { pattern: pattern('a'), rules: { t: 'newest' as never } }),
      InvalidInputError,
    )
    assert.throws(() => policyPuts(policy, { pattern: pattern('a'), rules: { 'a|b': 'manual' } }), InvalidInputError)
    const full = readPolicy(
      content(Object.fromEntries(Array.from({ length: limits.groups - 1 }, (_, i) => [`group|s${i}`, `g${i}`]))),
    )
    assert.throws(() => policyPuts(full, { pattern: pattern('a'), group: group('new') }), LimitError)
    assert.equal(policyPuts(full, { pattern: pattern('a'), group: group('g3') }).size, 1)
  })
})

describe('catalog', () => {
  it('gives what the most specific pattern sets', () => {
    const puts = new Map([
      ...catalogPuts({ pattern: pattern('**'), units: { t: 'Cel' }, types: { n: 'int' }, place: 'farm' }),
      ...catalogPuts({ pattern: pattern('a/*'), units: { t: 'K' }, label: 'A' }),
    ])
    const catalog = catalogOf(content(Object.fromEntries(puts)))
    const field = parseFieldName('t')
    assert.equal(catalog.unitOf(sensor('a/b'), field), 'K')
    assert.equal(catalog.unitOf(sensor('c'), field), 'Cel')
    assert.equal(catalog.typeOf(sensor('c'), parseFieldName('n')), 'int')
    assert.equal(catalog.placeOf(sensor('a/b')), 'farm')
    assert.equal(catalog.labelOf(sensor('a/b')), 'A')
    assert.equal(catalog.labelOf(sensor('c')), undefined)
  })

  it('refuses an unknown type, an empty change and a long label', () => {
    assert.throws(() => catalogPuts({ pattern: pattern('a'), types: { t: 'map' as never } }), InvalidInputError)
    assert.throws(() => catalogPuts({ pattern: pattern('a') }), InvalidInputError)
    assert.throws(() => catalogPuts({ pattern: pattern('a'), label: 'x'.repeat(limits.labelChars + 1) }), LimitError)
  })
})
