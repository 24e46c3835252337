import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  checkReading,
  checkValue,
  compareValues,
  InvalidInputError,
  LimitError,
  limits,
  parseFieldName,
  parseSensorId,
  sameValue,
  type FieldReading,
  type Value,
} from '../../src/model/index.ts'

const value: fc.Arbitrary<Value> = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer({ min: -3, max: 3 }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -3n, max: 3n }),
  fc.boolean(),
  fc.string({ unit: 'binary' }),
)

describe('values', () => {
  it('are the same when numerically equal, whatever their type', () => {
    assert.ok(sameValue(21, 21n))
    assert.ok(sameValue(-0, 0))
    assert.ok(!sameValue(9_007_199_254_740_993n, 9_007_199_254_740_992))
    assert.ok(!sameValue('21', 21))
    assert.ok(!sameValue(true, 1))
    assert.ok(!sameValue('', 0))
  })

  it('have one total order that agrees with sameness', () => {
    fc.assert(
      fc.property(value, value, value, (a, b, c) => {
        assert.equal(Math.sign(compareValues(a, b)), -Math.sign(compareValues(b, a)) + 0)
        if (compareValues(a, b) <= 0 && compareValues(b, c) <= 0) assert.ok(compareValues(a, c) <= 0)
        if (compareValues(a, b) === 0) assert.ok(sameValue(a, b))
      }),
      { numRuns: 1000 },
    )
  })

  it('that cannot be kept exactly are refused', () => {
    for (const bad of [NaN, Infinity, -Infinity, 2n ** 63n, '\ud800'] as Value[])
      assert.throws(() => checkValue(bad, 'f'), InvalidInputError)
    assert.throws(() => checkValue('x'.repeat(10_000_000), 'f'), LimitError)
    checkValue('x'.repeat(limits.stringBytes), 'f')
    assert.throws(() => checkValue('é'.repeat(limits.stringBytes), 'f'), LimitError)
  })
})

describe('a reading', () => {
  const sensor = parseSensorId('a')
  const field = (name: string, other: Partial<FieldReading> = {}): FieldReading => ({
    field: parseFieldName(name),
    value: 1,
    ...other,
  })

  it('has a time in range, at least one field and no field twice', () => {
    checkReading({ sensor, time: 0, fields: [field('x'), field('y')] })
    assert.throws(() => checkReading({ sensor, time: 0, fields: [] }), InvalidInputError)
    assert.throws(() => checkReading({ sensor, time: 0.5, fields: [field('x')] }), InvalidInputError)
    assert.throws(() => checkReading({ sensor, time: 0, fields: [field('x'), field('x')] }), InvalidInputError)
  })

  it('has known qualities and printable units', () => {
    checkReading({ sensor, time: 0, fields: [field('x', { quality: 'bad', unit: 'Cel' })] })
    assert.throws(
      () => checkReading({ sensor, time: 0, fields: [field('x', { quality: 'fine' as 'good' })] }),
      InvalidInputError,
    )
    assert.throws(() => checkReading({ sensor, time: 0, fields: [field('x', { unit: 'a\nb' })] }), InvalidInputError)
  })

  it('is bounded', () => {
    const many = Array.from({ length: limits.fieldsPerRecord + 1 }, (_, i) => field(`f${i}`))
    assert.throws(() => checkReading({ sensor, time: 0, fields: many }), LimitError)
    const wide = Array.from({ length: 40 }, (_, i) => field(`f${i}`, { value: 'x'.repeat(1000) }))
    assert.throws(() => checkReading({ sensor, time: 0, fields: wide }), LimitError)
  })
})
