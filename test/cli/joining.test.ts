import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { childMs, cli, cliJson, cliOk, runNode, until } from '../support/cli.ts'
import { founded } from '../support/founded.ts'

interface Status {
  node: string
  site: string
  digest: string
  records: number
  atRisk: number
  warnings: string[]
  peers: { node: string; name: string; connected: boolean; behind: { records: number }; ahead: { records: number } }[]
}

const status = async (at: readonly string[]): Promise<Status> => (await cliJson<Status>(['status', ...at]))[0] as Status
const at8 = '2026-11-20T08:00:00Z'

describe('hedgerow invite and join', function () {
  this.timeout(childMs)

  it('let an empty directory in, which then holds what the site holds', async () => {
    await using site = await founded('barn')
    await cliOk(['append', ...site.at, '--sensor', 'a', '--time', at8, 'v=1'])
    await using _barn = await runNode([...site.at])
    const code = (await cliOk(['invite', ...site.at, '--quiet'])).trim()
    const other = ['--dir', join(site.path, 'other')]
    const [joined] = await cliJson<{ site: string; viaName: string; coming: number; taken: number }>(
      ['join', ...other, '--name', 'house'],
      { input: `${code}\n` },
    )
    assert.deepEqual([joined?.viaName, joined?.coming, joined?.taken], ['barn', 1, 0])
    const used = await cli(['join', '--dir', join(site.path, 'third'), code])
    assert.equal(used.code, 1)
    assert.match(used.stderr, /used by another node/)
    await using _house = await runNode([...other])
    const barn = await until(
      'both to hold the same',
      () => status(site.at),
      ({ peers, atRisk }) => peers[0]?.connected === true && atRisk === 0,
    )
    assert.equal(barn.peers[0]?.name, 'house')
    assert.equal((await status(other)).digest, barn.digest)
  })

  it('takes the records of a site without other members along, running or stopped, under their author', async () => {
    await using site = await founded('barn')
    await using _barn = await runNode([...site.at])
    const invite = async (): Promise<string> => (await cliOk(['invite', ...site.at, '--quiet'])).trim()
    for (const name of ['stopped', 'running']) {
      const at = ['--dir', join(site.path, name)]
      await cliOk(['init', ...at, '--name', name])
      await cliOk(['append', ...at, '--sensor', name, '--time', at8, 'v=1'])
      await cliOk(['amend', ...at, name, at8, 'v=2'])
      const before = await cliOk(['query', ...at, '--json'])
      const run = name === 'running' ? await runNode([...at]) : undefined
      const [joined] = await cliJson<{ taken: number; node: string }>(['join', ...at, await invite()])
      assert.ok((joined?.taken ?? 0) > 0)
      assert.equal(await cliOk(['query', ...at, name, '--json']), before)
      const node = run ?? (await runNode([...at]))
      assert.equal(node.node, joined?.node)
      const found = await until(
        `records of ${name}`,
        () => cliJson<{ fields: object }>(['query', ...site.at, name]),
        (records) => records.length === 1,
      )
      assert.deepEqual(found, await cliJson(['query', ...at, name]))
      assert.equal(await node.stop(), 0)
    }
  })

  it('refuses to give up a site whose records a reader could not bring along', async () => {
    await using site = await founded()
    await using own = await founded()
    await using _running = await runNode([...site.at])
    await cliOk(['append', ...own.at, '--sensor', 'mine', '--time', at8, 'v=1'])
    const code = (await cliOk(['invite', ...site.at, '--role', 'reader', '--quiet'])).trim()
    const { code: exit, stderr } = await cli(['join', ...own.at, code])
    assert.equal(exit, 1)
    assert.match(stderr, /1 record.*reader.*role writer/)
    assert.equal((await cliJson(['query', ...own.at])).length, 1)
  })

  it('refuses a directory whose site has other members, with the way out', async () => {
    await using site = await founded()
    await using _node = await runNode([...site.at])
    const invite = async (): Promise<string> => (await cliOk(['invite', ...site.at, '--quiet'])).trim()
    const other = ['--dir', join(site.path, 'other')]
    await cliOk(['join', ...other, await invite()])
    await using elsewhere = await founded()
    await using _elsewhere = await runNode([...elsewhere.at])
    const code = (await cliOk(['invite', ...elsewhere.at, '--quiet'])).trim()
    for (const at of [other, site.at]) {
      const { code: exit, stderr } = await cli(['join', ...at, code])
      assert.equal(exit, 1)
      assert.match(stderr, /other members .*--dir/)
    }
    const again = await cli(['join', ...other, await invite()])
    assert.equal(again.code, 1)
    assert.match(again.stderr, /belongs to site \w+ already/)
  })
})

describe('hedgerow identity', function () {
  this.timeout(childMs)

  it('comes back into an empty directory, which then catches up from the site', async () => {
    await using site = await founded('barn')
    const env = { HEDGEROW_PASSPHRASE: 'correct horse' }
    const file = join(site.path, 'copy')
    const other = ['--dir', join(site.path, 'other')]
    {
      await using _barn = await runNode([...site.at])
      await cliOk(['append', ...site.at, '--sensor', 'a', '--time', at8, 'v=1'])
      await cliOk(['identity', 'export', ...site.at, file], { env })
      assert.deepEqual((await status(site.at)).warnings, [])
      await cliOk(['join', ...other, (await cliOk(['invite', ...site.at, '--quiet'])).trim()])
      await using _other = await runNode([...other])
      await until(
        'the other to hold all',
        () => status(site.at),
        ({ atRisk, peers }) => peers[0]?.connected === true && atRisk === 0,
      )
    }
    await rm(join(site.path, 'node'), { recursive: true })
    await using house = await runNode([...other])
    const [back] = await cliJson<{ node: string }>(['identity', 'import', ...site.at, file], { env })
    await using barn = await runNode([...site.at, '--peer', house.addresses[0] ?? ''])
    assert.equal(barn.node, back?.node)
    await until(
      'the record to come back',
      () => status(site.at),
      ({ records }) => records === 1,
    )
    assert.deepEqual((await status(site.at)).warnings, [])
  })
})
