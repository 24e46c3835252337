import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { childMs, cli, cliJson, cliOk, entry } from '../support/cli.ts'
import { founded, type Founded } from '../support/founded.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

interface Shown {
  sensor: string
  time: string
  fields: Record<
    string,
    {
      value: unknown
      type: string
      quality: string
      unit?: string
      conflict?: string
      amendments?: { why?: string; user?: string }[]
    }
  >
  seen: string
}

const at8 = '2026-11-20T08:00:00Z'

async function append(site: Founded, sensor: string, time: string, ...fields: string[]): Promise<void> {
  await cliOk(['append', ...site.at, '--sensor', sensor, '--time', time, ...fields])
}

describe('hedgerow append', function () {
  this.timeout(childMs)

  it('takes numbers, integers beyond 2^53, bools and text as what they are', async () => {
    await using site = await founded()
    await append(site, 'a', at8, 'f=21.0', 'i=9007199254740993', 'b=true', 't=open', 'q="21"', 'e=')
    const text = await cliOk(['query', ...site.at, '--json'])
    assert.match(text, /"value":9007199254740993[,}]/)
    const [record] = await cliJson<Shown>(['query', ...site.at])
    const types = Object.fromEntries(
      Object.entries(record?.fields ?? {}).map(([name, { value, type }]) => [name, [type, name === 'i' ? 'i' : value]]),
    )
    assert.deepEqual(types, {
      b: ['bool', true],
      e: ['string', ''],
      f: ['float', 21],
      i: ['int', 'i'],
      q: ['string', '21'],
      t: ['string', 'open'],
    })
  })

  it('acknowledges every record of standard input, stamped with strictly increasing times', async () => {
    await using site = await founded()
    const input = Array.from({ length: 500 }, (_, n) => `{"sensor":"live","fields":{"n":${n}}}\n`).join('')
    const lines = await cli(['append', ...site.at, '--stdin', '--json'], { input })
    const acknowledged = lines.stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { acknowledged: number; total: number })
    assert.equal(
      acknowledged.reduce((sum, each) => sum + each.acknowledged, 0),
      500,
    )
    assert.equal(acknowledged.at(-1)?.total, 500)
    const records = await cliJson<Shown>(['query', ...site.at])
    assert.deepEqual(
      records.map(({ fields }) => fields['n']?.value),
      Array.from({ length: 500 }, (_, n) => n),
    )
  })

  it('skips values that this node has appended before, and counts them', async () => {
    await using site = await founded()
    await append(site, 'a', at8, 'v=1')
    const [again] = await cliJson(['append', ...site.at, '--sensor', 'a', '--time', at8, 'v=1'])
    assert.deepEqual(again, { acknowledged: 0, duplicates: 1 })
  })
})

describe('hedgerow query', function () {
  this.timeout(childMs)

  it('shows the last 24 h of data, at most the newest 1,000, and says what it left out', async () => {
    await using site = await founded()
    const start = Date.parse('2020-01-01T00:00:00Z')
    const line = (ms: number): string => `{"sensor":"a","time":"${new Date(ms).toISOString()}","fields":{"v":1}}\n`
    const input = line(start - 90_000_000) + Array.from({ length: 1_200 }, (_, n) => line(start + n * 1_000)).join('')
    await cliOk(['append', ...site.at, '--stdin'], { input })
    const { stdout, stderr } = await cli(['query', ...site.at, '--json'])
    const records = stdout
      .split('\n')
      .filter(Boolean)
      .map((text) => JSON.parse(text) as Shown)
    assert.equal(records.length, 1_000)
    assert.equal(records[0]?.time, '2020-01-01T00:03:20Z')
    assert.equal(records.at(-1)?.time, '2020-01-01T00:19:59Z')
    assert.match(stderr, /only the newest 1000 records/)
    const all = await cli(['query', ...site.at, '--json', '--from', '1970-01-01T00:00:00Z'])
    assert.equal(all.stdout.split('\n').length - 1, 1_201)
    assert.equal(all.stderr, '')
    const first = await cli(['query', ...site.at, '--json', '--from', '1970-01-01T00:00:00Z', '--limit', '2'])
    assert.equal(first.stdout.split('\n').length - 1, 2)
    assert.match(first.stderr, /only the first 2/)
  })

  it('prints everything to a reader that takes its time', async () => {
    await using site = await founded()
    const line = (n: number): string =>
      `{"sensor":"a","time":"2026-11-20T08:00:00.${String(n).padStart(6, '0')}Z","fields":{"n":${n}}}\n`
    const input = Array.from({ length: 990 }, (_, n) => line(n)).join('')
    await cliOk(['append', ...site.at, '--stdin'], { input })
    const child = spawn(process.execPath, [entry, 'query', '--json', ...site.at], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let text = ''
    for await (const chunk of child.stdout) {
      text += String(chunk)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.equal(text.split('\n').length - 1, 990)
  })

  it('matches patterns, picks fields, and prints CSV on stdout alone', async () => {
    await using site = await founded()
    await append(site, 'house/air', at8, 'temperature=21.5', 'humidity=60')
    await append(site, 'barn/air', at8, 'temperature=9')
    const csv = await cli(['query', ...site.at, 'house/*', '--fields', 'temperature', '--format', 'csv', '--from', at8])
    assert.equal(
      csv.stdout,
      `sensor,time,field,value,unit,quality,conflict\nhouse/air,${at8},temperature,21.5,,good,\n`,
    )
    assert.equal(csv.stderr, '')
    const table = await cliOk(['query', ...site.at])
    assert.deepEqual(
      table.split('\n').map((row) => row.trimEnd().split(/ {2,}/)),
      [['time', 'sensor', 'humidity', 'temperature'], [at8, 'barn/air', '9'], [at8, 'house/air', '60', '21.5'], ['']],
    )
  })
})

describe('hedgerow amend, remove, resolve', function () {
  this.timeout(childMs)

  it('take the times that query prints, and keep the reading with who, when and why', async () => {
    await using site = await founded('barn')
    await append(site, 'a', '2026-11-20T09:00:00.123456+01:00', 'v=1', 'w=2')
    const [before] = await cliJson<Shown>(['query', ...site.at])
    const time = before?.time ?? ''
    await cliOk(['amend', ...site.at, 'a', time, 'v=1.5', '--quality', 'uncertain', '--why', 'drift', '--by', 'Ines'])
    const [after] = await cliJson<Shown>(['query', ...site.at])
    assert.deepEqual([after?.fields['v']?.value, after?.fields['v']?.quality], [1.5, 'uncertain'])
    assert.deepEqual(
      [after?.fields['v']?.amendments?.[0]?.why, after?.fields['v']?.amendments?.[0]?.user],
      ['drift', 'Ines'],
    )
    await cliOk(['remove', ...site.at, 'a', time, '--why', 'test'])
    assert.equal(await cliOk(['query', ...site.at]), '')
    const [removed] = await cliJson<Shown>(['query', ...site.at, '--removed'])
    assert.equal(removed?.time, time)
  })

  it('fail when the record changed since the read that --seen names', async () => {
    await using site = await founded()
    await append(site, 'a', at8, 'v=1')
    const [read] = await cliJson<Shown>(['query', ...site.at])
    await cliOk(['amend', ...site.at, 'a', at8, 'v=2', '--seen', read?.seen ?? ''])
    const { code, stderr } = await cli(['amend', ...site.at, 'a', at8, 'v=3', '--seen', read?.seen ?? ''])
    assert.equal(code, 1)
    assert.match(stderr, /changed since it was read/)
  })

  it('conflicts lists what one node appended twice differently, and resolve settles it', async () => {
    await using site = await founded('barn')
    await append(site, 'a', at8, 'v=1')
    await append(site, 'a', at8, 'v=2')
    const listed = await cliOk(['conflicts', ...site.at])
    assert.match(listed, /a 2026-11-20T08:00:00Z v: reading\/reading/)
    assert.match(listed, /reading {3}1 by barn\n {2}reading {3}2 by barn/)
    assert.equal((await cliJson<Shown>(['conflicts', ...site.at]))[0]?.fields['v']?.conflict, 'reading/reading')
    const refused = await cli(['amend', ...site.at, 'a', at8, 'v=3'])
    assert.equal(refused.code, 1)
    await cliOk(['resolve', ...site.at, 'a', at8, 'v', '--value', '2'])
    assert.equal(await cliOk(['conflicts', ...site.at]), '')
    assert.equal((await cliJson<Shown>(['query', ...site.at]))[0]?.fields['v']?.value, 2)
  })
})

describe('hedgerow sensors, policy, status', function () {
  this.timeout(childMs)

  it('show units, places, last values, groups and the totals', async () => {
    await using site = await founded('barn')
    await append(site, 'house/air', at8, 'temperature=21.5')
    const set = ['sensor', 'set', ...site.at, 'house/*', '--unit', 'temperature=Cel', '--place', 'north wall']
    assert.deepEqual(await cliJson(set), [{ pattern: 'house/*' }])
    const [sensor] = await cliJson<{
      fields: { unit: string; last: { value: number; time: string } }[]
      place: string
      readings: number
    }>(['sensors', ...site.at])
    assert.equal(sensor?.place, 'north wall')
    assert.equal(sensor?.fields[0]?.unit, 'Cel')
    assert.deepEqual([sensor?.fields[0]?.last.value, sensor?.fields[0]?.last.time, sensor?.readings], [21.5, at8, 1])
    await cliOk([
      'policy',
      'set',
      ...site.at,
      'house/**',
      '--group',
      'indoors',
      '--lane',
      'critical',
      '--rule',
      'temperature=manual',
    ])
    const [policy] = await cliJson<{ entries: unknown[]; lanes: object }>(['policy', 'show', ...site.at])
    assert.deepEqual(policy?.entries, [{ pattern: 'house/**', group: 'indoors', rules: { temperature: 'manual' } }])
    assert.deepEqual(policy?.lanes, { indoors: 'critical' })
    const [status] = await cliJson(['status', '--deep', ...site.at])
    assert.deepEqual(Object.keys(status ?? {}), [
      'node',
      'site',
      'records',
      'documents',
      'digest',
      'content',
      'atRisk',
      'warnings',
      'peers',
    ])
    assert.deepEqual([status?.['records'] !== 0, status?.['atRisk'] !== 0, status?.['peers']], [true, true, []])
    assert.match(String(status?.['content']), /^[0-9a-f]{64}$/)
    assert.match(String(status?.['warnings']), /never exported/)
  })

  it('keep what matters most on a narrow terminal', async () => {
    await using site = await founded('barn')
    await append(site, 'house/air', at8, 'temperature=21.5')
    await cliOk(['sensor', 'set', ...site.at, 'house/*', '--place', 'north wall'])
    const titles = async (columns: number): Promise<string[]> =>
      (await cliOk(['sensors', ...site.at], { columns })).split('\n', 1)[0]?.split(/ +/) ?? []
    const narrow = ['sensor', 'field', 'last', 'age', 'records', 'nodes', 'conflicts']
    assert.deepEqual(await titles(66), narrow)
    assert.deepEqual(await titles(80), ['sensor', 'place', ...narrow.slice(1)])
    assert.deepEqual(await titles(200), ['sensor', 'place', 'field', 'last', 'time', ...narrow.slice(3)])
  })

  it('name the site as its founder did', async () => {
    await using dir = await temporaryDirectory()
    const at = ['--dir', join(dir.path, 'node')]
    const [founded] = await cliJson(['init', ...at, '--site', 'Miller farm'])
    assert.equal(founded?.['siteName'], 'Miller farm')
    for (const command of [['status'], ['identity', 'show']]) {
      assert.match(await cliOk([...command, ...at]), /\(Miller farm\)/)
      assert.equal((await cliJson([...command, ...at]))[0]?.['siteName'], 'Miller farm')
    }
  })
})

describe('hedgerow', function () {
  this.timeout(childMs)

  it('works in the first directory that holds a store: --dir, HEDGEROW_DIR, ./hedgerow-data', async () => {
    await using site = await founded()
    const node = site.at[1] ?? ''
    await append(site, 'named', at8, 'v=1')
    const env = { HEDGEROW_DIR: node }
    assert.match(await cliOk(['query'], { env, cwd: site.path }), /named/)
    await mkdir(join(site.path, 'empty'))
    assert.equal((await cli(['query', '--dir', join(site.path, 'empty')], { env, cwd: site.path })).code, 10)
    await cliOk(['init'], { cwd: site.path })
    assert.equal(await cliOk(['query'], { cwd: site.path }), '')
    assert.match(await cliOk(['query'], { env, cwd: site.path }), /named/)
  })
})

describe('hedgerow import', function () {
  this.timeout(childMs)

  it('names refused rows again the second time, and adds nothing twice', async () => {
    await using site = await founded()
    const file = join(site.path, 'air.csv')
    await writeFile(file, `time,v\n${at8},1\nyesterday,2\n`)
    const command = ['import', ...site.at, file, '--sensor', 'air']
    for (const added of [1, 0]) {
      const { code, stdout, stderr } = await cli([...command, '--json'])
      assert.equal(code, 3)
      assert.match(stderr, /yesterday/)
      assert.equal((JSON.parse(stdout) as { appended: number }).appended, added)
    }
  })

  it('takes a file in once, says so the second time, and takes it in again only when told', async () => {
    await using site = await founded()
    const file = join(site.path, 'air.csv')
    await writeFile(file, 'time,temperature,door\n2026-11-20 08:00:00,21.5,true\n2026-11-20 09:00:00,,false\n')
    const command = ['import', ...site.at, file, '--sensor', 'air', '--tz', 'Europe/Brussels']
    assert.equal((await cliJson(command))[0]?.['appended'], 2)
    const second = await cli(command)
    assert.equal(second.code, 0)
    assert.match(second.stderr, /already imported on .*nothing added/)
    const [again] = await cliJson([...command, '--again'])
    assert.deepEqual([again?.['appended'], again?.['duplicates']], [0, 3])
    const records = await cliJson<Shown>(['query', ...site.at])
    assert.deepEqual(
      records.map(({ time }) => time),
      ['2026-11-20T07:00:00Z', at8],
    )
  })
})
