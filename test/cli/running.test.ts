import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { childMs, cli, cliJson, cliOk, entry, runChild, runNode, until } from '../support/cli.ts'
import { founded } from '../support/founded.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

const at8 = '2026-11-20T08:00:00Z'

describe('hedgerow run', function () {
  this.timeout(childMs)

  it('answers commands as the stopped node does, and ends in order on SIGTERM', async () => {
    await using site = await founded()
    await cliOk(['append', ...site.at, '--sensor', 'a', '--time', at8, 'v=1', 'big=9007199254740993'])
    const commands = [
      ['query', '--json'],
      ['query', '--format', 'csv'],
      ['policy', 'show', '--json'],
    ]
    const answers = (): Promise<string[]> => Promise.all(commands.map((command) => cliOk([...command, ...site.at])))
    const stopped = [] as string[]
    for (const command of commands) stopped.push(await cliOk([...command, ...site.at]))
    await using node = await runNode([...site.at])
    assert.deepEqual(await answers(), stopped)
    const missed = await cli(['amend', ...site.at, 'a', '2026-11-20T08:00:01Z', 'v=2'])
    assert.equal(missed.code, 1)
    assert.match(missed.stderr, /nearest are at/)
    assert.equal(await node.stop('SIGTERM'), 0)
    assert.equal(existsSync(join(site.path, 'node', 'node.sock')), false)
  })

  it('leaves nothing behind that confuses the next command after kill -9', async () => {
    await using site = await founded()
    await using node = await runChild([...site.at])
    await cliOk(['append', ...site.at, '--sensor', 'a', '--time', at8, 'v=1'])
    await node.stop('SIGKILL')
    assert.equal(existsSync(join(site.path, 'node', 'node.sock')), true)
    assert.equal((await cliJson(['query', ...site.at])).length, 1)
    await using again = await runNode([...site.at])
    assert.equal(again.node, node.node)
    assert.equal((await cliJson(['query', ...site.at])).length, 1)
  })

  it('is missed at once by an append whose source is silent', async () => {
    await using site = await founded()
    await using node = await runChild([...site.at])
    const append = spawn(process.execPath, [entry, 'append', '--stdin', '--json', ...site.at], {
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    append.stdin.write('{"sensor":"a","fields":{"v":1}}\n')
    await once(append.stdout, 'data')
    let said = ''
    append.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const ended = once(append, 'close')
    await node.stop('SIGKILL')
    // Standard input stays open.
    const [code] = (await ended) as [number]
    assert.equal(code, 1)
    assert.match(said, /was it stopped/)
  })

  it('dies with the process that runs it on another Node, even when that one is killed', async () => {
    await using site = await founded()
    // What bin/hedgerow.js does where the machine's Node is too old.
    const outer = spawn(
      process.execPath,
      [
        '-e',
        `
      const { spawn } = require('node:child_process')
      const args = [process.env.ENTRY, 'run', '--json', '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--dir', process.env.DIR]
      spawn(process.execPath, args, {
        env: { ...process.env, HEDGEROW_REEXECUTED: '1' },
        stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      })
    `,
      ],
      { env: { ...process.env, ENTRY: entry, DIR: site.at[1] }, stdio: ['ignore', 'pipe', 'ignore'] },
    )
    // The pipe ends when the last process that writes into it has ended.
    const ended = new Promise((resolve) => outer.stdout.once('close', resolve))
    await new Promise((resolve) => outer.stdout.once('data', resolve))
    assert.notEqual(outer.pid, undefined)
    outer.kill('SIGKILL')
    await ended
    await using node = await runNode([...site.at])
    assert.ok(node.pid > 0)
  })

  it('acknowledges live records by the flush while standard input stays open', async () => {
    await using site = await founded()
    await using _node = await runNode([...site.at])
    const child = spawn(process.execPath, [entry, 'append', ...site.at, '--stdin', '--json'], { stdio: 'pipe' })
    const closed = new Promise((resolve) => child.once('close', resolve))
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stdin.write('{"sensor":"a","fields":{"v":1}}\n{"sensor":"a","fields":{"v":2}}\n')
    await until(
      'the first acknowledgement',
      async () => output,
      (text) => text.includes('\n'),
    )
    assert.equal((await cliJson(['query', ...site.at])).length, 2)
    child.stdin.end('{"sensor":"a","fields":{"v":3}}\n')
    await closed
    const lines = output
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { total: number })
    assert.equal(lines.at(-1)?.total, 3)
  })
})

describe('hedgerow start', function () {
  this.timeout(childMs)

  it('founds a site in ./hedgerow-data where there is none, and runs it again the next time', async () => {
    await using dir = await temporaryDirectory()
    await using first = await runChild([], { cwd: dir.path }, 'start')
    assert.equal(await first.stop('SIGINT'), 0)
    assert.match(first.stderr(), /stopping/)
    await using second = await runChild([], { cwd: dir.path }, 'start')
    assert.deepEqual([second.node, second.site], [first.node, first.site])
  })
})
