import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import * as errors from '../../../src/model/index.ts'
import { HedgerowError, LimitError, LockedError } from '../../../src/model/index.ts'
import { packError, unpackError } from '../../../src/gateway/control/wire-errors.ts'
import {
  decodeItem,
  decodeValue,
  encodeFrame,
  encodeItem,
  encodeValue,
  readFrames,
  wireLimits,
} from '../../../src/gateway/control/wire.ts'

const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.boolean(),
    fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
    fc.constant(null),
    fc.uint8Array(),
    fc.array(tie('any')),
    fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), tie('any'), { noNullPrototype: true }),
  ),
})).any

describe('control frames', () => {
  it('bring every value back as it was, integers apart from floats', () => {
    fc.assert(
      fc.property(value, (original) => {
        assert.deepStrictEqual(decodeValue(encodeValue(original)), original)
      }),
      { numRuns: 500 },
    )
  })

  it('bring items of a stream back as they were, as JSON text only where that is exact', () => {
    fc.assert(
      fc.property(value, (original) => {
        assert.deepStrictEqual(decodeItem(encodeItem(original)), original)
      }),
      { numRuns: 500 },
    )
    const exact = { time: 1, fields: [{ value: 21.5, unit: 'Cel', shown: null, removed: false }] }
    assert.equal(typeof encodeItem(exact), 'string')
    for (const other of [-0, 1n, Uint8Array.of(1), Number.NaN, [undefined], new Map()])
      assert.equal(typeof encodeItem({ ...exact, other }), 'object')
  })

  it('keep 21 and 21n, 0 and −0 apart', () => {
    assert.deepStrictEqual(decodeValue(encodeValue([21, 21n, 0, -0, 2 ** 60, 2n ** 60n])), [
      21,
      21n,
      0,
      -0,
      2 ** 60,
      2n ** 60n,
    ])
  })

  it('come out whole however the bytes were cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(value, { maxLength: 6 }),
        fc.array(fc.nat(40), { maxLength: 60 }),
        async (outputs, cuts) => {
          const bytes = Buffer.concat(outputs.map((output, id) => encodeFrame({ id, output })))
          const found: unknown[] = []
          for await (const { output } of readFrames(pieces(bytes, cuts))) found.push(output)
          assert.deepStrictEqual(found, outputs)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('are refused before anything is kept of one that is too long', async () => {
    const header = Buffer.alloc(4)
    header.writeUInt32BE(wireLimits.frameBytes + 1)
    await assert.rejects(async () => {
      for await (const _ of readFrames(pieces(header, []))) assert.fail('a frame came out')
    }, LimitError)
  })

  it('are refused when the connection ends within one', async () => {
    const frame = Buffer.from(encodeFrame({ id: 1, output: 'text' }))
    await assert.rejects(async () => {
      for await (const _ of readFrames(pieces(frame.subarray(0, -1), []))) assert.fail('a frame came out')
    }, /ended within a message/)
  })
})

describe('errors on the control socket', () => {
  it('come back as the class they were, with code, message and cause', () => {
    const classes = Object.values(errors as Record<string, unknown>).filter(
      (one): one is new (message: string, options?: object) => HedgerowError =>
        typeof one === 'function' && one.prototype instanceof HedgerowError,
    )
    assert.ok(classes.length > 10)
    for (const errorClass of classes) {
      const thrown = new errorClass('what happened', { cause: new Error('what was behind it') })
      const back = unpackError(decodeValue(encodeValue(packError(thrown))) as ReturnType<typeof packError>)
      assert.ok(back instanceof errorClass)
      assert.equal(back.code, thrown.code)
      assert.equal(back.message, 'what happened')
      assert.equal((back.cause as Error).message, 'what was behind it')
    }
  })

  it('of a code that this release lacks are plain errors', () => {
    const back = unpackError({ code: 'FROM_THE_FUTURE', message: 'new' })
    assert.ok(!(back instanceof HedgerowError) && !(back instanceof LockedError))
    assert.equal(back.message, 'new')
  })
})

async function* pieces(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0
  for (const cut of cuts) {
    yield bytes.subarray(at, at + cut)
    at += cut
  }
  if (at < bytes.length) yield bytes.subarray(at)
}
