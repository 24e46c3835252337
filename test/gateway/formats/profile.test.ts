import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { defaultProfile, formatLimits, parseProfile } from '../../../src/gateway/formats/index.ts'

const fixtures = new URL('../../fixtures/profiles/', import.meta.url)

describe('gateway/formats/profile', () => {
  it('is the default form where it says nothing', () => {
    assert.deepEqual(parseProfile('', 'p.yaml'), defaultProfile)
    assert.deepEqual(parseProfile('# only a comment\n', 'p.yaml'), defaultProfile)
  })

  it('names every fault at its line and column, and the key that was meant', () => {
    const faults = faultsOf(
      [
        'delimter: ;',
        'time:',
        '  colums: a',
        '  zone: Europe/Brusels',
        'fields:',
        '  T: { unt: Cel }',
        '  U: { type: flout }',
        '  "V(x)": V x',
        'zzzzzz: 1',
      ].join('\n'),
    )
    const expected = [
      [/^p\.yaml:1:1: unknown key "delimter"; did you mean delimiter\?/],
      [/^p\.yaml:3:3: time: unknown key "colums"; did you mean columns\?/],
      [/^p\.yaml:4:9: time\.zone: "Europe\/Brusels" is not a time zone/],
      [/^p\.yaml:6:8: fields\.T: unknown key "unt"; did you mean unit\?/],
      [/^p\.yaml:7:14: fields\.U\.type: /],
      [/^p\.yaml:8:11: fields\.V\(x\): field name "V x"/],
      [/^p\.yaml:9:1: unknown key "zzzzzz"; known are encoding, delimiter,/],
    ]
    assert.equal(faults.length, expected.length, faults.join('\n'))
    for (const [i, [form]] of expected.entries()) assert.match(faults[i] ?? '', form as RegExp)
  })

  it('refuses what cannot be meant', () => {
    for (const [text, message] of [
      ['a: [', /p\.yaml:1:\d+: /],
      ['a: 1\na: 2', /p\.yaml:2:1: Map keys must be unique/],
      ['a: *x', /p\.yaml/],
      ['- 1', /p\.yaml:1:1: /],
      ['encoding: latin-99', /encoding "latin-99" is not known/],
      ['delimiter: ";;"', /p\.yaml:1:12: delimiter: expected a single character/],
      ['decimal: "1"', /p\.yaml:1:10: decimal: /],
      ['quote: ","', /same character/],
      ['header: false', /needs columns/],
      ['columns: [a]', /header: false/],
      ['delimiter: whitespace\nquote: "\'"', /p\.yaml:2:8: quote: .*no quotes/],
      ['thousands: "."', /thousands mark/],
      ['time: { format: dd/MM/yy }', /yy is not known/],
      ['time: { format: dd/MM/yyyy hh:mm }', /hh \(1 to 12\) goes with a/],
      ['time: { format: MM/yyyy }', /has no dd/],
      ['sensor: a b', /sensor name/],
      ['sensor: a/{}', /sensor name/],
      ['fields: { a: { unit: "" } }', /fields\.a\.unit/],
      ['fields: { a: 7 }', /expected a field name or \{ field, type, unit \}/],
    ] as const)
      assert.throws(
        () => parseProfile(text, 'p.yaml'),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'INVALID_INPUT', text)
          assert.match(error.message, message, text)
          return true
        },
      )
  })

  it('refuses a file that is too long to be one', () => {
    assert.throws(() => parseProfile('#'.repeat(formatLimits.profileChars + 1), 'data.csv'), { code: 'LIMIT' })
  })

  it('stands in docs/profiles.md as in the fixtures', () => {
    const page = readFileSync(new URL('../../../docs/profiles.md', import.meta.url), 'utf8')
    const names = readdirSync(fixtures)
    assert.ok(names.length >= 3)
    for (const name of names) {
      const text = readFileSync(new URL(name, fixtures), 'utf8')
      parseProfile(text, name)
      assert.ok(page.includes(`\`\`\`yaml\n${text}\`\`\``), `${name} differs from docs/profiles.md`)
    }
  })
})

function faultsOf(text: string): string[] {
  try {
    parseProfile(text, 'p.yaml')
  } catch (error) {
    return (error as Error).message.split('\n')
  }
  return []
}
