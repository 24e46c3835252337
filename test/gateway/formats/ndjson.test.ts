import assert from 'node:assert/strict'
import { formatLimits, parseReading, readNdjson, type NdjsonItem } from '../../../src/gateway/formats/index.ts'

const noon = Date.UTC(2026, 10, 20, 12) * 1000

async function read(text: string | AsyncIterable<Uint8Array>): Promise<NdjsonItem[]> {
  const input = typeof text === 'string' ? [Buffer.from(text)] : text
  return collect(
    readNdjson(
      (async function* () {
        yield* input
      })(),
      { file: 'stdin' },
    ),
  )
}

describe('gateway/formats/ndjson', () => {
  it('reads values, qualities and units, text times, µs times and none', async () => {
    const items = await read(
      [
        '{"sensor":"a/b","time":"2026-11-20T13:00:00+01:00","fields":{"t":21.5,"ok":true,"s":"x","q":{"value":1,"quality":"bad","unit":"V"}}}',
        `{"sensor":"a/b","time":${noon},"fields":{"t":-0}}`,
        '',
        '{"sensor":"a/b","fields":{"t":1}}',
      ].join('\n'),
    )
    assert.deepEqual(items, [
      {
        row: 1,
        reading: {
          sensor: 'a/b',
          time: noon,
          fields: [
            { field: 't', value: 21.5 },
            { field: 'ok', value: true },
            { field: 's', value: 'x' },
            { field: 'q', value: 1, quality: 'bad', unit: 'V' },
          ],
        },
      },
      { row: 2, reading: { sensor: 'a/b', time: noon, fields: [{ field: 't', value: -0 }] } },
      { row: 4, reading: { sensor: 'a/b', time: undefined, fields: [{ field: 't', value: 1 }] } },
      {
        counts: { rows: 3, readings: 3, faults: 0, emptyRows: 1, withoutValues: 0, missingValues: 0, cutTimes: 0 },
      },
    ])
  })

  it('keeps every digit of integers beyond 2^53', () => {
    const values = (...numbers: string[]): unknown[] =>
      parseReading(`{"sensor":"s","fields":{${numbers.map((n, i) => `"f${i}":${n}`).join(',')}}}`).reading.fields.map(
        ({ value }) => value,
      )
    assert.deepEqual(
      values('9007199254740991', '9007199254740993', '-9223372036854775808', '9007199254740993.0', '1e20'),
      [9007199254740991, 9007199254740993n, -9223372036854775808n, 9007199254740992, 1e20],
    )
    // What JSON.stringify writes for a float of that size.
    assert.deepEqual(values(JSON.stringify(1e20), JSON.stringify(2 ** 66)), [1e20, 2 ** 66])
    assert.throws(() => values('9223372036854775809'), /does not fit 64 bits/)
    assert.throws(() => values('1e999'), /Infinity is not a value/)
  })

  it('names the line and what was expected, and goes on', async () => {
    const items = await read(
      [
        'x',
        '[]',
        '{"sensor":"s","fields":{"a":1},"tme":1}',
        '{"fields":{"a":1}}',
        '{"sensor":"a b","fields":{"a":1}}',
        '{"sensor":"s","fields":{}}',
        '{"sensor":"s","fields":{"a b":1}}',
        '{"sensor":"s","fields":{"a":null}}',
        '{"sensor":"s","fields":{"a":NaN}}',
        '{"sensor":"s","fields":{"a":{"value":1,"quality":"fine"}}}',
        '{"sensor":"s","fields":{"a":{"value":1,"units":"V"}}}',
        '{"sensor":"s","time":"2026-11-20T12:00:00","fields":{"a":1}}',
        '{"sensor":"s","time":1763640000,"fields":{"a":1}}',
        '{"sensor":"s","time":1763640000000,"fields":{"a":1}}',
        '{"sensor":"s","time":1763640000000000.5,"fields":{"a":1}}',
        '{"sensor":"s","time":null,"fields":{"a":1}}',
        '{"sensor":"s","fields":{"a":"\\ud800"}}',
        `{"sensor":"s","fields":${'['.repeat(100_000)}`,
        `{"sensor":"s","fields":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
        '{"sensor":"s","fields":{"a":1}}',
      ].join('\n'),
    )
    const forms = [
      /not JSON: "x"/,
      /JSON object/,
      /unknown key "tme"/,
      /expected sensor/,
      /sensor name "a b"/,
      /no fields/,
      /field name "a b"/,
      /field a: expected a number/,
      /not JSON/,
      /quality: one of good, uncertain, bad/,
      /unknown key "units"/,
      /no zone/,
      /looks like seconds or milliseconds/,
      /looks like seconds or milliseconds/,
      /not a whole number of microseconds/,
      /expected time/,
      /well-formed/,
      /not JSON/,
      /not JSON|expected fields/,
    ]
    for (const [i, form] of forms.entries()) {
      const item = items[i]
      assert.ok(item !== undefined && 'fault' in item, `line ${i + 1}`)
      assert.equal(item.fault.row, i + 1)
      assert.match(item.fault.message, form)
    }
    assert.ok('reading' in (items[forms.length] as NdjsonItem))
    assert.equal(items.length, forms.length + 2)
  })

  it('refuses a 10 MB line with its limit and goes on', async () => {
    const items = await read(
      `{"sensor":"s","fields":{"a":"${'x'.repeat(10_000_000)}"}}\n{"sensor":"s","fields":{"a":1}}\n`,
    )
    assert.ok('fault' in (items[0] as NdjsonItem) && 'reading' in (items[1] as NdjsonItem))
    assert.match(JSON.stringify(items[0]), new RegExp(`${formatLimits.rowBytes} at most`))
  })

  it('yields what has arrived before it asks for more', async () => {
    let asked = 0
    const input = (async function* () {
      for (;;) {
        asked++
        yield Buffer.from('{"sensor":"s","fields":{"a":1}}\n')
      }
    })()
    for await (const item of readNdjson(input, { file: 'stdin' })) {
      assert.ok('reading' in item)
      assert.equal(asked, item.row)
      if (item.row === 3) break
    }
  })
})

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
