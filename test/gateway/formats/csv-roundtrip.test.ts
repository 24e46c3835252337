import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { formatTime, type Reading } from '../../../src/model/index.ts'
import { numberText, parseProfile, readCsv } from '../../../src/gateway/formats/index.ts'

const text = fc
  .string({
    unit: fc.constantFrom('a', 'é', ' ', '"', ',', ';', '\n', '\r\n', '\t', '|', '1'),
    minLength: 1,
    maxLength: 12,
  })
  .filter((value) => value.trim() !== '')

const row = fc.record({
  time: fc.integer({ min: 0, max: 7_258_118_399_999_999 }),
  node: fc.integer({ min: 1, max: 99 }),
  float: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
  int: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  bool: fc.option(fc.boolean()),
  text: fc.option(text),
})

const marks = fc.record({
  delimiter: fc.constantFrom(',', ';', '\t', '|'),
  decimal: fc.constantFrom('.', ','),
  lineEnd: fc.constantFrom('\n', '\r\n'),
  missing: fc.constantFrom('', 'n/a', '-'),
  quoteAll: fc.boolean(),
  chunk: fc.integer({ min: 1, max: 64 }),
})

describe('gateway/formats/csv round trip', () => {
  it('gives back every reading of a table written with the marks of its profile', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(row, { maxLength: 12 }), marks, async (rows, form) => {
        const cell = (value: string): string =>
          form.quoteAll || /["\r\n]/.test(value) || value.includes(form.delimiter) || value !== value.trim()
            ? `"${value.replaceAll('"', '""')}"`
            : value
        const number = (value: number | bigint): string => numberText(value).replace('.', form.decimal)
        const write = (value: string | undefined): string => cell(value ?? form.missing)
        const table = [
          ['when', 'node', 'F', 'I', 'B', 'T'],
          ...rows.map(({ time, node, float, int, bool, text }) => [
            formatTime(time),
            String(node),
            float === null ? undefined : number(float),
            int === null ? undefined : number(int),
            bool === null ? undefined : String(bool),
            text ?? undefined,
          ]),
        ]
        const bytes = Buffer.from(table.map((cells) => cells.map(write).join(form.delimiter) + form.lineEnd).join(''))
        const profile = parseProfile(
          JSON.stringify({
            delimiter: form.delimiter,
            decimal: form.decimal,
            missing: [form.missing],
            sensor: 'motes/{node}',
            time: { columns: 'when' },
            fields: { F: 'float', I: { field: 'int', type: 'int' }, B: 'bool', T: { field: 'text', type: 'string' } },
          }),
          'profile.yaml',
        )
        const read: Reading[] = []
        for await (const item of readCsv(inChunks(bytes, form.chunk), profile, { file: 'table.csv' }))
          if ('reading' in item) read.push(item.reading)
          else assert.ok(!('fault' in item), JSON.stringify(item))
        const expected = rows
          .map(({ time, node, ...values }) => ({
            sensor: `motes/${node}`,
            time,
            fields: Object.entries(values)
              .filter(([, value]) => value !== null && !(typeof value === 'string' && value.trim() === form.missing))
              .map(([field, value]) => ({ field, value })),
          }))
          .filter(({ fields }) => fields.length > 0)
        assert.deepStrictEqual(read, expected)
      }),
      { numRuns: 400 },
    )
  })
})

async function* inChunks(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
