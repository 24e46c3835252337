import assert from 'node:assert/strict'
import { join } from 'node:path'
import { checkOut, machineEnvironment } from '../support/e2e-checkout.ts'
import { canMakeLan, Lan } from '../support/e2e-lan.ts'
import { run, runOk, startProcess, until, waitMs } from '../support/e2e-process.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

const installMs = 5 * waitMs

describe("a fresh clone, with the machine's own Node", () => {
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>
  let cwd: string
  const env = machineEnvironment()

  before(async () => {
    folder = await temporaryDirectory()
    cwd = join(folder.path, 'hedgerow')
    await checkOut(cwd)
    const { code, stdout, stderr } = await run(['npm', 'ci'], { cwd, env, limitMs: installMs })
    assert.equal(code, 0, `${stderr}\n${stdout}`)
  })

  after(() => folder[Symbol.asyncDispose]())

  it('runs the command line with npx', async () => {
    const { version } = JSON.parse(await runOk(['cat', 'package.json'], { cwd })) as { version: string }
    assert.equal((await runOk(['npx', 'hedgerow', '--version'], { cwd, env })).trim(), version)
  })

  it('founds a site with npm start, says what is needed to go on, and stops with exit code 0 on SIGINT', async () => {
    // In a network of its own, where that can be had, `npm start` needs no arguments to stay on this machine.
    await using lan = canMakeLan() ? await Lan.create(1) : undefined
    const start =
      lan === undefined
        ? ['npm', 'start', '--', '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0']
        : [...lan.on(1), 'npm', 'start']
    const first = await started(start)
    assert.match(first, /^ *node +12D3Koo\w+/m)
    assert.match(first, /^ *site +[a-z2-7]{32}$/m)
    assert.match(first, /^ *addresses? +\/ip4\/\S+/m)
    assert.match(first, /npx hedgerow invite$/m)
    assert.match(first, /npx hedgerow identity export \S+/)
    assert.match(first, /hedgerow-data/)
    // Not by a terminal, which tells the whole group, but as a service manager may do it.
    const second = await started(start, false)
    const identity = (text: string): string => /12D3Koo\w+/.exec(text)?.[0] ?? ''
    assert.equal(identity(second), identity(first))
  })

  /** Starts, waits for the last line, interrupts the process group or npm alone; gives all that was printed. */
  async function started(command: readonly string[], all = true): Promise<string> {
    await using node = startProcess(command, { cwd, env, group: true })
    const printed = (): string => node.stdout() + node.stderr()
    await until('npm start to say how to stop', printed, (text) => text.includes('Ctrl-C') || !node.running())
    assert.ok(node.running(), printed())
    process.kill(all ? -node.pid : node.pid, 'SIGINT')
    const { code } = await node.ended('the end after SIGINT')
    assert.equal(code, 0, printed())
    return printed()
  }
})
