import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { exitCodeOf, exitCodes } from '../../src/cli/exit-codes.ts'
import * as errors from '../../src/model/errors.ts'
import { HedgerowError, limits } from '../../src/model/index.ts'

type ErrorClass = new (message: string) => HedgerowError

const root = join(import.meta.dirname, '../..')
// The formatter pads the columns of tables.
const page = readFileSync(join(root, 'docs/errors.md'), 'utf8').replaceAll(/ {2,}/g, ' ')

const classes = (Object.values(errors) as unknown[]).filter(
  (value): value is ErrorClass => typeof value === 'function' && value.prototype instanceof HedgerowError,
)

/** `code class exit` of each row of the first table that says something in every column. */
const rows = [...page.matchAll(/^\| `([A-Z_]+)` \| `(\w+)` \| (\d+) \| [^|]+ \| [^|]+ \| [^|]+ \|$/gm)].map(
  ([, code, name, exit]) => `${code} ${name} ${exit}`,
)

describe('the page of errors', () => {
  it('has one row for every class, with its code and exit code, and no other', () => {
    const expected = classes.map((errorClass) => {
      const error = new errorClass('')
      return `${error.code} ${error.name} ${exitCodeOf(error)}`
    })
    assert.ok(expected.length > 10)
    assert.deepEqual(rows.toSorted(), expected.toSorted())
  })

  it('gives every class a code of its own', () => {
    const codes = classes.map((errorClass) => new errorClass('').code)
    assert.equal(new Set(codes).size, codes.length)
  })

  it('names every exit code', () => {
    for (const code of Object.values(exitCodes)) assert.match(page, new RegExp(`^\\| ${code} \\| [^|]+ \\|$`, 'm'))
  })

  it('names every exported subclass of another part, with its base', () => {
    const base = new Set(classes.map(({ name }) => name))
    const found = globSync('src/**/*.ts', { cwd: root }).flatMap((file) => [
      ...readFileSync(join(root, file), 'utf8').matchAll(/^export class (\w+) extends (\w+Error) /gm),
    ])
    const subclasses = found.filter(([, name, parent]) => base.has(parent ?? '') && !base.has(name ?? ''))
    assert.ok(subclasses.length > 0)
    for (const [, name, parent] of subclasses)
      assert.match(page, new RegExp(`^\\| \`${name}\` \\| \`${parent}\` \\| `, 'm'))
  })
})

describe('the limits of the model', () => {
  it('are whole numbers above zero, but for the first time of a record', () => {
    for (const [name, limit] of Object.entries(limits))
      assert.ok(Number.isSafeInteger(limit) && (limit > 0 || name === 'timeMinUs'), `${name}: ${limit}`)
  })
})
