import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  actorPrefixOf,
  amendmentsId,
  comparePatterns,
  defaultGroup,
  InvalidInputError,
  journalId,
  makeActorId,
  makeRunId,
  nodeIdOf,
  parseDocumentId,
  parseFieldName,
  parseSensorId,
  parseSensorPattern,
  publicKeyOf,
  sensorMatcher,
  siteIdOf,
} from '../../src/model/index.ts'

const key = Uint8Array.from({ length: 32 }, (_, i) => i)

describe('ids', () => {
  it('of nodes contain the public key', () => {
    const node = nodeIdOf(key)
    assert.match(node, /^12D3Koo/)
    assert.deepEqual(Uint8Array.from(publicKeyOf(node)), key)
    for (const bad of ['', 'x', '12D3Koo', `${node}1`, 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N'])
      assert.throws(() => publicKeyOf(bad as typeof node), InvalidInputError, bad)
  })

  it('of actors name their only signer', () => {
    const node = nodeIdOf(key)
    assert.equal(makeActorId(node, new Uint8Array(8)).slice(0, 32), actorPrefixOf(node))
    assert.equal(makeActorId(node, new Uint8Array(8)).length, 48)
  })

  it('of runs sort by time', () => {
    assert.ok(makeRunId(1_000, key) < makeRunId(1_700_000_000_000, key))
    assert.ok(makeRunId(1_700_000_000_000, key) < makeRunId(1_700_000_000_001, key))
  })

  it('of documents are read back', () => {
    const node = nodeIdOf(key)
    const run = makeRunId(1_700_000_000_000, key)
    assert.deepEqual(parseDocumentId(journalId(defaultGroup, node, run, 12)), {
      kind: 'journal',
      group: 'default',
      node,
      run,
      number: 12,
    })
    assert.deepEqual(parseDocumentId(amendmentsId(defaultGroup, parseSensorId('a/b'), '2026-11-20')), {
      kind: 'amendments',
      group: 'default',
      sensor: 'a/b',
      day: '2026-11-20',
    })
    assert.deepEqual(parseDocumentId('rollup.7/whatever/it is'), { kind: 'unknown' })
    for (const bad of [
      '',
      'journal.1/x',
      'amendments.1/default/a',
      'a\0b',
      'x.1/\u0001',
      `x.1/${'y'.repeat(400)}`,
      'journal.1/default/nobody/0mwp86zsea70db5ee-1',
    ])
      assert.throws(() => parseDocumentId(bad), InvalidInputError, bad)
  })

  it('of sites come from the founder key', () => {
    assert.match(siteIdOf(key), /^[a-z2-7]{32}$/)
  })
})

describe('sensor names', () => {
  it('are NFC paths of letters, digits and - : . _', () => {
    assert.equal(parseSensorId('greenhouse-1/Luft:a.b_c'), 'greenhouse-1/Luft:a.b_c')
    assert.equal(parseSensorId('e\u0301'), '\u00e9')
    for (const bad of [
      '',
      '/',
      'a/',
      '/a',
      'a//b',
      'a b',
      'a*',
      'a\n',
      '😀',
      '𠀀',
      'x'.repeat(201),
      'x'.repeat(1_000_000),
    ])
      assert.throws(() => parseSensorId(bad), InvalidInputError, bad.slice(0, 20))
  })

  it('match * within a segment and ** across', () => {
    const matches = (pattern: string, name: string): boolean =>
      sensorMatcher(parseSensorPattern(pattern))(parseSensorId(name))
    assert.ok(matches('a/*', 'a/b'))
    assert.ok(!matches('a/*', 'a/b/c'))
    assert.ok(matches('a/**', 'a/b/c'))
    assert.ok(matches('**', 'a/b/c'))
    assert.ok(matches('a.b', 'a.b'))
    assert.ok(!matches('a.b', 'axb'))
    assert.ok(!matches('a.*', 'axb'))
    assert.ok(matches('g*/temp', 'g-1/temp'))
  })

  it('match themselves, and nothing else without a star', () => {
    const name = fc.stringMatching(/^[a-c.:_-]{1,6}(\/[a-c.:_-]{1,6}){0,2}$/)
    fc.assert(
      fc.property(name, name, (a, b) => {
        assert.equal(sensorMatcher(parseSensorPattern(a))(parseSensorId(b)), a === b)
        assert.equal(
          sensorMatcher(parseSensorPattern(`${a}*`))(parseSensorId(b)),
          b.startsWith(a) && !b.slice(a.length).includes('/'),
        )
      }),
      { numRuns: 500 },
    )
  })

  it('rank the more specific pattern first', () => {
    const sorted = ['**', 'a/**', 'a/b', 'a/b*'].map(parseSensorPattern).sort(comparePatterns)
    assert.deepEqual(sorted, ['a/b', 'a/b*', 'a/**', '**'])
  })

  it('of fields are short and plain', () => {
    assert.equal(parseFieldName('CO_GT.1-x'), 'CO_GT.1-x')
    for (const bad of ['', 'a b', 'é', 'x'.repeat(65), '__proto__ '])
      assert.throws(() => parseFieldName(bad), InvalidInputError)
  })
})
