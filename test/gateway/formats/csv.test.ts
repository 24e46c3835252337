import assert from 'node:assert/strict'
import { parseSensorId } from '../../../src/model/index.ts'
import {
  defaultProfile,
  formatLimits,
  parseProfile,
  readCsv,
  type CsvOptions,
  type CsvProfile,
  type ReadCounts,
  type RowFault,
} from '../../../src/gateway/formats/index.ts'

const air = parseSensorId('greenhouse-1/air')

interface Read {
  readonly rows: [row: number, sensor: string, time: number, ...fields: unknown[]][]
  readonly faults: RowFault[]
  readonly counts: ReadCounts
}

async function read(
  input: string | AsyncIterable<Uint8Array>,
  profile: CsvProfile | string = defaultProfile,
  options: Partial<CsvOptions> = { sensor: air },
): Promise<Read> {
  const rows: Read['rows'] = []
  const faults: RowFault[] = []
  let counts: ReadCounts | undefined
  const form = typeof profile === 'string' ? parseProfile(profile, 'profile.yaml') : profile
  const bytes = typeof input === 'string' ? once(Buffer.from(input)) : input
  for await (const item of readCsv(bytes, form, { file: 'data.csv', ...options })) {
    assert.equal(counts, undefined, 'the counts come last')
    if ('reading' in item) {
      const { sensor, time, fields } = item.reading
      rows.push([
        item.row,
        sensor,
        time,
        ...fields.map(({ field, value, unit }) => [field, value, ...(unit ? [unit] : [])]),
      ])
    } else if ('fault' in item) faults.push(item.fault)
    else counts = item.counts
  }
  assert.ok(counts)
  assert.equal(counts.rows, counts.readings + counts.faults + counts.withoutValues)
  assert.equal(counts.readings, rows.length)
  assert.equal(counts.faults, faults.length)
  return { rows, faults, counts }
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}

const noon = Date.UTC(2026, 10, 20, 12) * 1000

describe('gateway/formats/csv without a profile', () => {
  it('takes a time column and every other column as a field', async () => {
    const { rows, counts } = await read(
      'time,temp,hum,ok\n2026-11-20T12:00:00Z,21.5,60,true\n2026-11-20T13:00:01+01:00,-0,1e3,False\n',
    )
    assert.deepEqual(rows, [
      [2, air, noon, ['temp', 21.5], ['hum', 60], ['ok', true]],
      [3, air, noon + 1_000_000, ['temp', -0], ['hum', 1000], ['ok', false]],
    ])
    assert.deepEqual(counts, {
      rows: 2,
      readings: 2,
      faults: 0,
      emptyRows: 0,
      withoutValues: 0,
      missingValues: 0,
      cutTimes: 0,
    })
  })

  it('takes the sensor from a column sensor', async () => {
    const { rows, faults } = await read(
      'sensor,time,t\na/b,2026-11-20T12:00:00Z,1\n,2026-11-20T12:00:00Z,1\na b,2026-11-20T12:00:00Z,1\n',
      defaultProfile,
      {},
    )
    assert.deepEqual(rows, [[2, 'a/b', noon, ['t', 1]]])
    assert.deepEqual(
      faults.map(({ row, column }) => [row, column]),
      [
        [3, 'sensor'],
        [4, 'sensor'],
      ],
    )
  })

  it('asks for a sensor where none is named, and refuses two', async () => {
    await assert.rejects(read('time,t\n', defaultProfile, {}), /--sensor/)
    await assert.rejects(read('sensor,time,t\n'), /leave --sensor out/)
  })

  it('refuses a row with one bad cell whole, names row and column, and goes on', async () => {
    const { rows, faults } = await read(
      [
        'time,a,b',
        '2026-11-20T12:00:00Z,1,x',
        '2026-11-20T12:00:00Z,NaN,1',
        '2026-11-20T12:00:00Z,1,-Inf',
        '2026-11-20T12:00:00Z,1,1e999',
        '2026-11-20T12:00:00Z,1,"1,5"',
        '2026-11-20 12:00:00,1,1',
        '1763640000,1,1',
        ',1,1',
        '2026-11-20T12:00:00Z,1',
        '2026-11-20T12:00:00Z,1,2,3',
        '1969-11-20T12:00:00Z,1,2',
        '2026-11-20T12:00:00Z,0x10,2',
        '2026-11-20T12:00:00Z,7,8,',
      ].join('\r\n'),
    )
    assert.deepEqual(rows, [[14, air, noon, ['a', 7], ['b', 8]]])
    const expected: [number, string | undefined, RegExp][] = [
      [2, 'b', /expected a number, found "x".*type: string/],
      [3, 'a', /NaN is not a value: leave the cell empty/],
      [4, 'b', /-Inf is not a value/],
      [5, 'b', /beyond the largest float64/],
      [6, 'b', /expected a number, found "1,5" \(the decimal mark here is "\."\)/],
      [7, 'time', /no zone/],
      [8, 'time', /not ISO 8601/],
      [9, 'time', /expected a time/],
      [10, undefined, /expected 3 columns, found only 2/],
      [11, undefined, /expected 3 columns, found 4/],
      [12, 'time', /outside 1970-01-01 to 2200-01-01/],
      [13, 'a', /expected a number, found "0x10"/],
    ]
    assert.equal(faults.length, expected.length)
    for (const [i, [row, column, message]] of expected.entries()) {
      assert.equal(faults[i]?.row, row)
      assert.equal(faults[i].column, column)
      assert.match(faults[i].message, message)
    }
  })

  it('keeps integers beyond 2^53 exactly and refuses those beyond 64 bits', async () => {
    const { rows, faults } = await read(
      [
        'time,n',
        ...['9007199254740991', '9007199254740993', '-9223372036854775808', '9223372036854775808', '1e20'].map(
          (n) => `2026-11-20T12:00:00Z,${n}`,
        ),
      ].join('\n'),
    )
    assert.deepEqual(
      rows.map((row) => row[3]),
      [
        ['n', 9007199254740991],
        ['n', 9007199254740993n],
        ['n', -9223372036854775808n],
        ['n', 1e20],
      ],
    )
    assert.match(faults[0]?.message ?? '', /does not fit 64 bits/)
  })

  it('counts empty rows, missing values, rows without values and cut times', async () => {
    const { rows, counts } = await read(
      'time,a,b\n\n2026-11-20T12:00:00.1234567Z,,1\n,,\n , ,\n2026-11-20T12:00:00Z,,\n2026-11-20T12:00:00.1234560Z,1,\n\r\n',
    )
    assert.equal(rows.length, 2)
    assert.equal(rows[0]?.[2], noon + 123_456)
    assert.deepEqual(counts, {
      rows: 3,
      readings: 2,
      faults: 0,
      emptyRows: 4,
      withoutValues: 1,
      missingValues: 4,
      cutTimes: 1,
    })
  })

  it('reads the same whatever the chunks, a byte order mark and a last line without its end included', async () => {
    const text = '\ufefftime,"a ""x"""\r\n2026-11-20T12:00:00Z,"1"\r\n2026-11-20T12:00:01Z,é\r\n2026-11-20T12:00:02Z,3'
    const profile = {
      ...defaultProfile,
      others: 'refuse' as const,
      fields: parseProfile('fields: {\'a "x"\': {field: a, type: string}}', 'p').fields,
    }
    const whole = await read(text, profile)
    assert.equal(whole.rows.length, 3)
    for (const size of [1, 2, 3, 7]) {
      const bytes = Buffer.from(text)
      const chunks = (async function* () {
        // One buffer for all chunks, as a reader may do.
        const chunk = Buffer.alloc(size)
        for (let at = 0; at < bytes.length; at += size) yield chunk.subarray(0, bytes.copy(chunk, 0, at, at + size))
      })()
      assert.deepEqual(await read(chunks, profile), whole)
    }
  })

  it('refuses a 10 MB field with row and limit, keeps the rows around it, and does not hold it in memory', async () => {
    const chunk = Buffer.alloc(65_536, 'x')
    // The one chunk is yielded again and again, so that only copies of it take up memory.
    const before = process.memoryUsage().arrayBuffers
    let grown = 0
    const input = (async function* () {
      yield Buffer.from('time,a\n2026-11-20T12:00:00Z,1\n2026-11-20T12:00:00Z,')
      for (let i = 0; i < 160; i++) {
        yield chunk
        grown = Math.max(grown, process.memoryUsage().arrayBuffers - before)
      }
      yield Buffer.from('\n2026-11-20T12:00:00Z,2\n')
    })()
    const { rows, faults } = await read(input)
    assert.deepEqual(
      rows.map(([row]) => row),
      [2, 4],
    )
    assert.equal(faults[0]?.row, 3)
    assert.match(faults[0].message, new RegExp(`10485781 bytes.*${formatLimits.rowBytes} at most`))
    assert.ok(grown < 3_000_000, `${grown} bytes held`)
  })

  it('refuses text longer than a value may be', async () => {
    const { faults } = await read(
      `time,a\n2026-11-20T12:00:00Z,${'x'.repeat(1025)}\n`,
      'sensor: s\nfields: {a: {type: string}}',
    )
    assert.match(faults[0]?.message ?? '', /at most 1024 bytes/)
  })

  it('names a line that is not text in the encoding', async () => {
    const input = once(Buffer.from('time,a\n2026-11-20T12:00:00Z,1\xa0000\n2026-11-20T12:00:00Z,1\n', 'latin1'))
    const { rows, faults } = await read(input)
    assert.equal(rows.length, 1)
    assert.equal(faults[0]?.row, 2)
    assert.match(faults[0].message, /not utf-8 text.*encoding: latin1/)
  })

  it('refuses a header that cannot be used, with the way out', async () => {
    await assert.rejects(read(''), /empty/)
    await assert.rejects(read('when,a\n'), /no column "time".*its columns are "when", "a"/)
    await assert.rejects(read('time,CO(GT)\n'), /"CO\(GT\)" cannot be a field.*CO_GT/)
    await assert.rejects(read('time,a,a\n'), /columns "a" and "a" are both field a/)
    await assert.rejects(read('time\n'), /none of its columns is a field/)
    await assert.rejects(read('time,,a\n'), /column 2 has no name/)
    await assert.rejects(read(`time,${Array.from({ length: 257 }, (_, i) => `f${i}`).join(',')}\n`), /256 at most/)
    await assert.rejects(read(`time,"${'x'.repeat(300_000)}"\n`), /row 1, where the header should be/)
  })
})

describe('gateway/formats/csv quotes', () => {
  const text = 'sensor: s\nfields: {a: {type: string}, b: b}'

  it('read delimiters, doubled quotes and line breaks inside, and count physical lines', async () => {
    const { rows } = await read(
      'time,a,b\n2026-11-20T12:00:00Z,"x, ""y""\r\nz\n",1\n2026-11-20T12:00:00Z,"",2\n2026-11-20T12:00:00Z, p ,3\n',
      text,
      {},
    )
    assert.deepEqual(rows, [
      [2, 's', noon, ['a', 'x, "y"\r\nz\n'], ['b', 1]],
      [5, 's', noon, ['b', 2]],
      [6, 's', noon, ['a', ' p '], ['b', 3]],
    ])
  })

  it('left open cost one row, not the file', async () => {
    const after = Array.from({ length: 20_000 }, (_, i) => `2026-11-20T12:00:00Z,x,${i}\n`).join('')
    const { rows, faults } = await read(`time,a,b\n2026-11-20T12:00:00Z,"x,1\n${after}`, text, {})
    assert.equal(rows.length, 20_000)
    assert.deepEqual(rows[0]?.[0], 3)
    assert.deepEqual(
      faults.map(({ row }) => row),
      [2],
    )
    assert.match(faults[0]?.message ?? '', /not closed/)
  })

  it('left open at the end cost one row', async () => {
    const { rows, faults } = await read('time,a,b\n2026-11-20T12:00:00Z,"x,1\n2026-11-20T12:00:00Z,y,2', text, {})
    assert.deepEqual(rows, [[3, 's', noon, ['a', 'y'], ['b', 2]]])
    assert.equal(faults[0]?.row, 2)
  })

  it('inside a cell are refused with row and column', async () => {
    const { rows, faults } = await read(
      'time,a,b\n2026-11-20T12:00:00Z,5" pipe,1\n2026-11-20T12:00:00Z,"x"y,1\n2026-11-20T12:00:00Z,z,2\n',
      text,
      {},
    )
    assert.equal(rows.length, 1)
    assert.deepEqual(
      faults.map(({ row, column }) => [row, column]),
      [
        [2, 'a'],
        [3, 'a'],
      ],
    )
  })

  it('are ordinary characters with quote: none', async () => {
    const { rows } = await read('time,a,b\n2026-11-20T12:00:00Z,5" pipe,1\n', `${text}\nquote: none`, {})
    assert.deepEqual(rows[0]?.[3], ['a', '5" pipe'])
  })
})

describe('gateway/formats/csv with a profile', () => {
  it('reads UTF-16, tabs, skipped lines and thousands marks between groups of three', async () => {
    const profile = String.raw`
encoding: utf-16le
delimiter: "\t"
skip: 2
decimal: ","
thousands: [".", "\u00a0"]
sensor: s
time: { columns: [day, hour], format: "d.M.yyyy h:mm a", zone: Europe/Brussels }
fields: { v: { field: V, unit: V, type: float } }
`
    const text =
      '\ufeffReport\r\n\r\nday\thour\tv\r\n1.7.2026\t1:05 PM\t1.234.567,5\r\n1.7.2026\t12:00 am\t1\u00a0000\r\n1.7.2026\t1:00 am\t1.5\r\n'
    const { rows, faults } = await read(once(Buffer.from(text, 'utf16le')), profile, {})
    assert.deepEqual(rows, [
      [4, 's', Date.UTC(2026, 6, 1, 11, 5) * 1000, ['V', 1234567.5, 'V']],
      [5, 's', Date.UTC(2026, 5, 30, 22) * 1000, ['V', 1000, 'V']],
    ])
    assert.deepEqual(
      faults.map(({ row, column }) => [row, column]),
      [[6, 'v']],
    )
  })

  it('takes missing numbers however they are written, in any type', async () => {
    const { rows, counts } = await read(
      't,a,b,c\n1763640000,-200,"-200,0",n/a\n1763640001,1,-2,x\n',
      `
decimal: ","
missing: [-200, n/a]
sensor: s
time: { columns: t, format: epoch-s }
fields: { a: a, b: { type: int }, c: { type: string } }`,
      {},
    )
    assert.deepEqual(rows, [[3, 's', 1_763_640_001_000_000, ['a', 1], ['b', -2n], ['c', 'x']]])
    assert.equal(counts.missingValues, 3)
    assert.equal(counts.withoutValues, 1)
  })

  it('keeps declared types', async () => {
    const { rows, faults } = await read(
      'time,f,i,b,s\n2026-11-20T12:00:00Z,9007199254740993,5,true,1\n2026-11-20T12:00:00Z,1,5.5,true,1\n2026-11-20T12:00:00Z,1,5,1,1\n',
      'sensor: s\nfields: { f: {type: float}, i: {type: int}, b: {type: bool}, s: {type: string} }',
      {},
    )
    assert.deepEqual(rows, [[2, 's', noon, ['f', 9007199254740992], ['i', 5n], ['b', true], ['s', '1']]])
    assert.deepEqual(
      faults.map(({ row, column, message }) => [row, column, message]),
      [
        [3, 'i', 'expected an integer, found "5.5"'],
        [4, 'b', 'expected true or false, found "1"'],
      ],
    )
  })

  it('reads every epoch unit exactly and counts what it cuts', async () => {
    for (const [format, text, time, cut] of [
      ['epoch-s', '1763640000.1234567', 1_763_640_000_123_456, 1],
      ['epoch-s', '1763640000,5', 1_763_640_000_500_000, 0],
      ['epoch-ms', '1763640000123', 1_763_640_000_123_000, 0],
      ['epoch-us', '1763640000123456', 1_763_640_000_123_456, 0],
      ['epoch-ns', '1763640000123456789', 1_763_640_000_123_456, 1],
      ['epoch-ns', '1763640000123456000', 1_763_640_000_123_456, 0],
    ] as const) {
      const { rows, counts } = await read(
        `time;a\n${text};1\n`,
        `delimiter: ;\nsensor: s\ntime: {format: ${format}}`,
        {},
      )
      assert.equal(rows[0]?.[2], time, format)
      assert.equal(counts.cutTimes, cut, format)
    }
  })

  it('refuses wall times that the zone skips, and lets --tz and --sensor stand above the profile', async () => {
    const file = 'time,n,a\n29/03/2026 02:30:00,7,1\n29/03/2026 03:30:00,7,1\n'
    const profile = 'sensor: motes/{n}\ntime: { format: "dd/MM/yyyy HH:mm:ss", zone: Europe/Rome }\nfields: [a]'
    const { rows, faults } = await read(file, profile, {})
    assert.deepEqual(rows, [[3, 'motes/7', Date.UTC(2026, 2, 29, 1, 30) * 1000, ['a', 1]]])
    assert.match(faults[0]?.message ?? '', /does not exist in Europe\/Rome/)
    const other = await read(file, profile, { zone: 'UTC', sensor: air })
    assert.deepEqual(other.rows[0], [2, air, Date.UTC(2026, 2, 29, 2, 30) * 1000, ['a', 1]])
    await assert.rejects(read(file, profile.replace(', zone: Europe/Rome', ''), {}), /states no zone.*--tz/)
  })

  it("passes over Excel's first line that names the delimiter, if it is the profile's", async () => {
    const { rows } = await read('sep=;\r\ntime;a\r\n2026-11-20T12:00:00Z;1\r\n', 'delimiter: ;\nsensor: s', {})
    assert.deepEqual(rows, [[3, 's', noon, ['a', 1]]])
    await assert.rejects(read('sep=;\ntime;a\n'), /no column "time"/)
  })

  it('refuses columns that it does not name, unless others says what they are', async () => {
    const file = 'time,a,b\n2026-11-20T12:00:00Z,1,2\n'
    await assert.rejects(read(file, 'sensor: s\nfields: [a]', {}), /column "b" is not in the profile/)
    await assert.rejects(read(file, 'sensor: s\nfields: [a, c]\nothers: ignore', {}), /no column "c"/)
    const ignored = await read(file, 'sensor: s\nfields: [a]\nothers: ignore', {})
    assert.deepEqual(ignored.rows[0]?.slice(3), [['a', 1]])
    const taken = await read(file, 'sensor: s\nfields: {a: A}\nothers: field', {})
    assert.deepEqual(taken.rows[0]?.slice(3), [
      ['A', 1],
      ['b', 2],
    ])
  })
})
