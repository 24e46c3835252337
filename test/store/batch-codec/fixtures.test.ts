import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import type { FieldName, Quality, Reading, SensorId, Value } from '../../../src/model/index.ts'
import { decodeBatch, encodeBatch, summarizeBatch } from '../../../src/store/batch-codec/index.ts'

const folder = new URL('../../fixtures/batch-v1/', import.meta.url)

type KeptValue = { float: string } | { int: string } | boolean | string
type KeptReading = [sensor: string, time: number, fields: [string, KeptValue, Quality | null, string | null][]]

function valueOf(kept: KeptValue): Value {
  if (typeof kept !== 'object') return kept
  return 'float' in kept ? Number(kept.float) : BigInt(kept.int)
}

function readingOf([sensor, time, fields]: KeptReading): Reading {
  return {
    sensor: sensor as SensorId,
    time,
    fields: fields.map(([field, value, quality, unit]) => ({
      field: field as FieldName,
      value: valueOf(value),
      ...(quality === null ? {} : { quality }),
      ...(unit === null ? {} : { unit }),
    })),
  }
}

describe('batches of format version 1', () => {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.hex'))
    .map((name) => name.slice(0, -4))

  it('are there', () => {
    assert.deepEqual(names.sort(), ['every-mode', 'greenhouse', 'mixed-types', 'own-streams'])
  })

  for (const name of names)
    it(`read as they were written: ${name}`, () => {
      const bytes = Buffer.from(readFileSync(new URL(`${name}.hex`, folder), 'utf8').replaceAll('\n', ''), 'hex')
      const kept = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as KeptReading[]
      const expected = kept.map(readingOf)
      assert.deepStrictEqual(decodeBatch(bytes), expected)
      assert.equal(summarizeBatch(bytes).readings, expected.length)
      // Encoders may choose otherwise later; what they write must read the same.
      assert.deepStrictEqual(decodeBatch(encodeBatch(expected)), expected)
    })
})
