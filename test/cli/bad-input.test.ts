import assert from 'node:assert/strict'
import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { childMs, cli, cliJson, cliOk, runNode } from '../support/cli.ts'
import { founded } from '../support/founded.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

describe('hedgerow, given what is wrong', function () {
  this.timeout(childMs)

  it('says where a store could come from when there is none, with exit code 10', async () => {
    await using dir = await temporaryDirectory()
    for (const command of [['run'], ['status'], ['query'], ['append', '--sensor', 'a', 'b=1']]) {
      const { code, stderr } = await cli(command, { cwd: dir.path })
      assert.equal(code, 10, command[0])
      assert.match(stderr, /hedgerow init/)
      assert.match(stderr, /hedgerow join/)
    }
    assert.deepEqual(await readdir(dir.path), [])
  })

  it('names process and directory when another process has the store, with exit code 11', async () => {
    await using site = await founded()
    await using node = await runNode([...site.at])
    const { code, stderr } = await cli(['run', ...site.at])
    assert.equal(code, 11)
    assert.match(stderr, new RegExp(`${join(site.path, 'node')} is in use by process ${node.pid}`))
  })

  it('refuses a wrong command line with exit code 2 and help', async () => {
    for (const command of [
      ['fly'],
      ['query', '--format', 'xml'],
      ['resolve', 'a'],
      ['append', 'x=1'],
      ['query', '--limit', '0'],
    ]) {
      const { code, stderr } = await cli(command, { env: { HEDGEROW_DIR: '/nonexistent' } })
      assert.equal(code, 2, `${command.join(' ')}: ${stderr}`)
    }
  })

  it('refuses to listen on or to dial what is no address', async () => {
    await using site = await founded()
    for (const option of ['--listen', '--announce', '--peer']) {
      const { code, stderr } = await cli(['run', ...site.at, option, '192.168.1.20:47474'])
      assert.equal(code, 1)
      assert.match(stderr, /"192\.168\.1\.20:47474" is not an address of a node, such as/)
    }
  })

  it('says in one line that an address is not this machine’s', async () => {
    await using site = await founded()
    const { code, stderr } = await cli(['run', ...site.at, '--no-mdns', '--listen', '/ip4/203.0.113.7/tcp/47474'])
    assert.equal(code, 1)
    assert.match(stderr, /^error: cannot listen on \/ip4\/203\.0\.113\.7\/tcp\/47474: .*EADDRNOTAVAIL.*\n$/)
  })

  it('refuses an unknown zone even where no time needs it', async () => {
    await using site = await founded()
    for (const command of [['query'], ['append', '--stdin'], ['append', '--sensor', 'a', 'v=1']]) {
      const { code, stderr } = await cli([...command, ...site.at, '--tz', 'Mars/Olympus'])
      assert.equal(code, 1, command.join(' '))
      assert.match(stderr, /is not a time zone/)
    }
  })

  it('shows the form that an option wants', async () => {
    await using site = await founded()
    for (const [command, form] of [
      [['policy', 'set', 'a', '--rule', 'v'], /field=rule/],
      [['sensor', 'set', 'a', '--unit', 'v'], /field=unit/],
      [['sensor', 'set', 'a', '--type', 'v'], /field=type/],
      [['append', '--sensor', 'a', 'v'], /field=value/],
      [['invite', '--expires', '999999w'], /ten years/],
    ] as const) {
      const { code, stderr } = await cli([...command, ...site.at])
      assert.equal(code, 2, command.join(' '))
      assert.match(stderr, form)
    }
  })

  it('takes the good files in when others cannot be read, with exit code 3', async () => {
    await using site = await founded()
    const [good, empty] = [join(site.path, 'good.csv'), join(site.path, 'empty.csv')]
    await writeFile(good, 'time,v\n2026-11-20T08:00:00Z,1\n')
    await writeFile(empty, '')
    const missing = join(site.path, 'none.csv')
    const { code, stderr } = await cli(['import', ...site.at, '--sensor', 'a', empty, missing, good])
    assert.equal(code, 3)
    assert.match(stderr, /empty\.csv is empty(.|\n)*there is no file .*none\.csv(.|\n)*1 record added\n$/)
    assert.equal((await cli(['import', ...site.at, '--sensor', 'a', empty, missing])).code, 1)
  })

  it('refuses NaN, times out of range or without a zone, bad sensor names and a 10 MB field', async () => {
    await using site = await founded()
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['--sensor', 'a', 'v=NaN'], /NaN is not a value/],
      [['--sensor', 'a', '--time', '2026-11-20T08:30:00', 'v=1'], /has no zone/],
      [['--sensor', 'a', '--time', '2210-01-01T00:00:00Z', 'v=1'], /outside 1970-01-01 to 2200-01-01/],
      [['--sensor', 'a b', 'v=1'], /sensor name "a b"/],
      [['--sensor', 'a', 'b c=1'], /field name/],
      [['--sensor', 'a', `v=${'x'.repeat(100_000)}`], /at most 1024 bytes/],
    ]
    for (const [args, expected] of cases) {
      const { code, stderr } = await cli(['append', ...site.at, ...args])
      assert.equal(code, 1, args.join(' ').slice(0, 60))
      assert.match(stderr, expected)
    }
    assert.equal(await cliOk(['query', ...site.at]), '')
  })

  it('keeps good lines of NDJSON, lists bad ones by number, and ends with exit code 3', async () => {
    await using site = await founded()
    const lines = [
      '{"sensor":"a","time":"2026-11-20T08:30:00Z","fields":{"v":1}}',
      'not json',
      '{"sensor":"a","time":"2026-11-20T08:31:00","fields":{"v":1}}',
      `{"sensor":"a","fields":{"v":"${'x'.repeat(10_000_000)}"}}`,
      '{"sensor":"a","time":"2026-11-20T08:32:00Z","fields":{"v":2}}',
    ]
    const { code, stdout, stderr } = await cli(['append', ...site.at, '--stdin', '--json'], { input: lines.join('\n') })
    assert.equal(code, 3, stderr)
    assert.equal(sum(stdout, 'acknowledged'), 2)
    for (const row of [2, 3, 4]) assert.match(stderr, new RegExp(`"row":${row}`))
  })

  it('keeps good rows of a CSV file, names row, column and what was expected, and ends with exit code 3', async () => {
    await using site = await founded()
    const file = join(site.path, 'air.csv')
    await writeFile(
      file,
      'time,temperature\n2026-11-20T08:00:00Z,21.5\n2026-11-20T09:00:00Z,warm\n2026-11-20T10:00:00Z,22\n',
    )
    const { code, stderr } = await cli(['import', ...site.at, file, '--sensor', 'air'])
    assert.equal(code, 3)
    assert.match(stderr, /row 3, column temperature: expected a number, found "warm"/)
    assert.match(stderr, /2 records added; 1 row refused/)
    assert.equal((await cliJson(['query', ...site.at])).length, 2)
  })

  it('lists the first 20 bad rows and counts the others', async () => {
    await using site = await founded()
    const file = join(site.path, 'bad.csv')
    await writeFile(file, `time,v\n${'noon,1\n'.repeat(50)}2026-11-20T08:00:00Z,1\n`)
    const { code, stderr } = await cli(['import', ...site.at, file, '--sensor', 'a'])
    assert.equal(code, 3)
    assert.equal(stderr.match(/: row \d+/g)?.length, 20)
    assert.match(stderr, /and 30 more rows/)
  })

  it('refuses an unknown profile key, naming it and its line, before anything is taken in', async () => {
    await using site = await founded()
    const [file, profile] = [join(site.path, 'a.csv'), join(site.path, 'profile.yaml')]
    await writeFile(file, 'time,v\n2026-11-20T08:00:00Z,1\n')
    await writeFile(profile, 'delimiter: ","\ndecimals: ","\n')
    const { code, stderr } = await cli(['import', ...site.at, file, '--sensor', 'a', '--profile', profile])
    assert.equal(code, 1)
    assert.match(stderr, /decimals/)
    assert.match(stderr, /2/)
    assert.equal(await cliOk(['query', ...site.at]), '')
  })

  it('says so when a file to import is not there', async () => {
    await using site = await founded()
    const { code, stderr } = await cli(['import', ...site.at, join(site.path, 'none.csv'), '--sensor', 'a'])
    assert.equal(code, 1)
    assert.match(stderr, /there is no file .*none\.csv/)
  })

  it('names the nearest records when a time fits none, with exit code 1', async () => {
    await using site = await founded()
    for (const minute of ['00', '10', '20', '30'])
      await cliOk(['append', ...site.at, '--sensor', 'a', '--time', `2026-11-20T08:${minute}:00Z`, 'v=1'])
    for (const command of [['amend', 'v=2'], ['remove'], ['resolve', 'v', '--value', '2']]) {
      const [name = '', ...rest] = command
      const { code, stderr } = await cli([name, ...site.at, 'a', '2026-11-20T08:11:00Z', ...rest])
      assert.equal(code, 1, name)
      assert.match(stderr, /nearest are at 2026-11-20T08:10:00Z, 2026-11-20T08:20:00Z, 2026-11-20T08:00:00Z/)
    }
    await cliOk(['amend', ...site.at, 'a', '2026-11-20T08:11:00Z', 'v=2', '--create'])
    assert.equal((await cliJson(['query', ...site.at])).length, 5)
  })

  it('refuses invites that are mistyped, expired in form, or no invite at all', async () => {
    await using dir = await temporaryDirectory()
    const at = ['--dir', join(dir.path, 'new')]
    for (const text of ['hello', 'hedgerow1:abc', 'hedgerow9:abc']) {
      const { code, stderr } = await cli(['join', ...at, text])
      assert.equal(code, 1)
      assert.match(stderr, /invite/)
    }
    assert.equal((await cli(['join', ...at], { input: '' })).code, 2)
    assert.deepEqual(await readdir(dir.path), [])
  })

  it('opens an exported identity with its passphrase only, exit code 12 with another', async () => {
    await using site = await founded()
    const file = join(site.path, 'copy')
    const right = { HEDGEROW_PASSPHRASE: 'correct horse' }
    await cliOk(['identity', 'export', ...site.at, file], { env: right })
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    const target = ['--dir', join(site.path, 'other')]
    const { code, stderr } = await cli(['identity', 'import', ...target, file], {
      env: { HEDGEROW_PASSPHRASE: 'wrong' },
    })
    assert.equal(code, 12)
    assert.match(stderr, /passphrase/)
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.slice(0, 200) + (text[200] === 'A' ? 'B' : 'A') + text.slice(201))
    const damaged = await cli(['identity', 'import', ...target, file], { env: right })
    assert.equal(damaged.code, 1)
    assert.match(damaged.stderr, /damaged/)
  })

  it('refuses the identity of another site', async () => {
    await using one = await founded()
    await using other = await founded()
    const env = { HEDGEROW_PASSPHRASE: 'correct horse' }
    const file = join(one.path, 'copy')
    await cliOk(['identity', 'export', ...one.at, file], { env })
    await rm(join(other.path, 'node', 'identity.key'))
    const { code, stderr } = await cli(['identity', 'import', ...other.at, file], { env })
    assert.equal(code, 1)
    assert.match(stderr, /do not go together/)
    assert.equal((await readdir(join(other.path, 'node'))).includes('identity.key'), false)
  })

  it('asks for a passphrase only on a terminal: exit code 2 and the ways to give it elsewhere', async () => {
    await using site = await founded()
    const { code, stderr } = await cli(['identity', 'export', ...site.at, join(site.path, 'copy')])
    assert.equal(code, 2)
    assert.match(stderr, /HEDGEROW_PASSPHRASE/)
  })

  it('refuses a key file that others may read', async () => {
    await using site = await founded()
    await chmod(join(site.path, 'node', 'identity.key'), 0o644)
    const { code, stderr } = await cli(['status', ...site.at])
    assert.equal(code, 1)
    assert.match(stderr, /chmod 600/)
  })

  it('refuses to found a site where there is one', async () => {
    await using site = await founded()
    const { code, stderr } = await cli(['init', ...site.at])
    assert.equal(code, 1)
    assert.match(stderr, /holds a store already/)
  })

  it('tells a wrong command line as JSON, too', async () => {
    for (const [command, message] of [
      [['fly'], "unknown command 'fly'"],
      [['query', '--limit'], "option '--limit <n>' argument missing"],
      [[], 'a command is missing: see hedgerow --help'],
    ] as const) {
      const { code, stdout, stderr } = await cli(['--json', ...command])
      assert.deepEqual([code, stdout], [2, ''])
      assert.deepEqual(JSON.parse(stderr), { error: { code: 'USAGE', message } })
    }
  })

  it('exports no identity where there is none, with exit code 1', async () => {
    await using site = await founded()
    await rm(join(site.path, 'node', 'identity.key'))
    const { code, stderr } = await cli(['identity', 'export', ...site.at, join(site.path, 'copy')], {
      env: { HEDGEROW_PASSPHRASE: 'correct horse' },
    })
    assert.equal(code, 1)
    assert.match(stderr, /has no identity to export/)
  })

  it('gives errors as JSON with their code for --json', async () => {
    const { code, stdout, stderr } = await cli(['status', '--json'], { env: { HEDGEROW_DIR: '/nonexistent' } })
    assert.equal(code, 10)
    assert.equal(stdout, '')
    assert.equal((JSON.parse(stderr) as { error: { code: string } }).error.code, 'NOT_FOUND')
  })
})

function sum(ndjson: string, name: string): number {
  return ndjson
    .split('\n')
    .filter((line) => line !== '')
    .reduce((total, line) => total + ((JSON.parse(line) as Record<string, number>)[name] ?? 0), 0)
}
