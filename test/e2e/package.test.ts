import assert from 'node:assert/strict'
import { mkdir, readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { checkOut, machineEnvironment } from '../support/e2e-checkout.ts'
import { Gateway, oneDigest } from '../support/e2e-gateway.ts'
import { freePort } from '../support/e2e-ports.ts'
import { runOk, waitMs } from '../support/e2e-process.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

/** The oldest Node that the package promises to run on, and what the registry calls it on this machine. */
const oldest = '22.15.0'
const platform = `node-linux-${process.arch}`
const limitMs = 5 * waitMs

describe('the package that npm pack makes', function () {
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>
  let tarball: string

  before(async function () {
    if (process.platform !== 'linux') this.skip()
    folder = await temporaryDirectory()
    const clone = join(folder.path, 'clone')
    await checkOut(clone)
    // What `npm ci` would bring: the compiler.
    await symlink(join(import.meta.dirname, '../../node_modules'), join(clone, 'node_modules'))
    await runOk(['npm', 'pack', '--pack-destination', folder.path], { cwd: clone, limitMs })
    const [name] = (await readdir(folder.path)).filter((file) => file.endsWith('.tgz'))
    assert.ok(name !== undefined)
    tarball = join(folder.path, name)
  })

  after(() => folder?.[Symbol.asyncDispose]())

  it('holds the compiled program and its documents, neither sources nor tests', async () => {
    const files = (await runOk(['tar', '-tzf', tarball])).trim().split('\n')
    const tops = new Set(files.map((file) => file.split('/')[1]))
    assert.deepEqual(tops, new Set(['CHANGELOG.md', 'LICENSE', 'README.md', 'bin', 'dist', 'docs', 'package.json']))
    for (const file of ['bin/hedgerow.js', 'dist/index.js', 'dist/index.d.ts', 'dist/cli/main.js'])
      assert.ok(files.includes(`package/${file}`), file)
    assert.deepEqual(
      files.filter((file) => /\.test\.|(?<!\.d)\.ts$/.test(file)),
      [],
    )
  })

  it(`installs with --ignore-scripts on a bare Node ${oldest}, and two of them share records`, async () => {
    const node = join(folder.path, 'node')
    await mkdir(node)
    await runOk(['npm', 'pack', '--pack-destination', node, `${platform}@${oldest}`], {
      cwd: node,
      limitMs,
    })
    await runOk(['sh', '-c', 'tar -xzf *.tgz'], { cwd: node })
    const prefix = join(folder.path, 'prefix')
    const env = machineEnvironment([join(prefix, 'bin'), join(node, 'package/bin')])
    assert.equal((await runOk(['node', '--version'], { env, cwd: node })).trim(), `v${oldest}`)
    await runOk(['npm', 'install', '--global', '--ignore-scripts', '--prefix', prefix, tarball], {
      env,
      cwd: node,
      limitMs,
    })

    const gateway = async (name: string): Promise<Gateway> =>
      new Gateway({
        dir: join(folder.path, name),
        hedgerow: ['hedgerow'],
        env,
        runArgs: ['--no-mdns', '--listen', `/ip4/127.0.0.1/tcp/${await freePort()}`],
      })
    await using first = await gateway('first')
    await using second = await gateway('second')
    await first.hedgerow(['init', '--site', 'Packed'])
    await first.run()
    await first.letIn(second, 'second')
    await second.run()
    await first.hedgerow([
      'append',
      '--sensor',
      'barn/air',
      '--time',
      '2026-11-20T08:30:00Z',
      'temperature=21.5',
      'open=true',
    ])
    await second.hedgerow([
      'append',
      '--sensor',
      'barn/air',
      '--time',
      '2026-11-20T08:31:00Z',
      'temperature=21.75',
      'state=wide',
    ])
    await oneDigest([first, second])
    for (const each of [first, second])
      assert.equal(
        await each.hedgerow(['query', '--format', 'csv']),
        [
          'sensor,time,field,value,unit,quality,conflict',
          'barn/air,2026-11-20T08:30:00Z,open,true,,good,',
          'barn/air,2026-11-20T08:30:00Z,temperature,21.5,,good,',
          'barn/air,2026-11-20T08:31:00Z,state,wide,,good,',
          'barn/air,2026-11-20T08:31:00Z,temperature,21.75,,good,',
          '',
        ].join('\n'),
      )
    await second.stop()
    await first.stop()
  })
})
