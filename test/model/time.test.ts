import assert from 'node:assert/strict'
import fc from 'fast-check'
import { checkTime, checkZone, formatTime, InvalidInputError, parseTime, usPerSecond } from '../../src/model/index.ts'

const us = (iso: string): number => Date.parse(iso) * 1000

describe('time', () => {
  it('is written so that it is read back exactly', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 7_258_118_399_999_999 }), (time) => {
        assert.deepEqual(parseTime(formatTime(time)), { time, cut: false })
      }),
      { numRuns: 1000 },
    )
  })

  it('is written with no more decimals than it needs', () => {
    assert.equal(formatTime(us('2026-11-20T08:30:00Z')), '2026-11-20T08:30:00Z')
    assert.equal(formatTime(us('2026-11-20T08:30:00.250Z')), '2026-11-20T08:30:00.250Z')
    assert.equal(formatTime(us('2026-11-20T08:30:00.250Z') + 1), '2026-11-20T08:30:00.250001Z')
  })

  it('is cut to microseconds, and says so', () => {
    assert.deepEqual(parseTime('1970-01-01T00:00:00.1234567Z'), { time: 123_456, cut: true })
    assert.deepEqual(parseTime('1970-01-01T00:00:00.1234560Z'), { time: 123_456, cut: false })
  })

  it('without a zone is an error unless a zone is named', () => {
    assert.throws(() => parseTime('2026-11-20T08:30:00'), InvalidInputError)
    assert.equal(parseTime('2026-11-20T08:30:00', { zone: 'UTC' }).time, us('2026-11-20T08:30:00Z'))
    assert.equal(parseTime('2026-07-01 10:00', { zone: 'Europe/Brussels' }).time, us('2026-07-01T08:00:00Z'))
    assert.equal(parseTime('2026-12-01', { zone: 'Asia/Kolkata' }).time, us('2026-11-30T18:30:00Z'))
  })

  it('of an offset is that of the instant it names', () => {
    assert.equal(parseTime('2026-11-20T08:30:00+05:30').time, us('2026-11-20T03:00:00Z'))
    assert.equal(parseTime('2026-11-20T08:30:00-0100').time, us('2026-11-20T09:30:00Z'))
  })

  it('that a zone skips is an error; one that it has twice is the earlier', () => {
    assert.throws(() => parseTime('2026-03-29T02:30:00', { zone: 'Europe/Brussels' }), /does not exist/)
    assert.equal(parseTime('2026-10-25T02:30:00', { zone: 'Europe/Brussels' }).time, us('2026-10-25T00:30:00Z'))
  })

  it('off the calendar, off the clock or out of range is an error that says so', () => {
    for (const text of [
      '2026-02-30T00:00:00Z',
      '2026-01-01T24:00:00Z',
      '2026-01-01T00:61:00Z',
      '1969-12-31T23:59:59Z',
      '2200-01-01T00:00:00Z',
      'yesterday',
      '',
    ])
      assert.throws(() => parseTime(text), InvalidInputError, text)
    assert.throws(() => checkTime(1.5), InvalidInputError)
    assert.throws(() => checkTime(-1), InvalidInputError)
    assert.equal(checkTime(usPerSecond), usPerSecond)
  })

  it('zones are IANA names', () => {
    assert.equal(checkZone('Europe/Rome'), 'Europe/Rome')
    assert.throws(() => checkZone('Mars/Olympus'), InvalidInputError)
  })
})
