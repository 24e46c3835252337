import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { childMs, cli, cliJson, cliOk, runNode, until } from '../support/cli.ts'
import { founded, type Founded } from '../support/founded.ts'

const env = { HEDGEROW_PASSPHRASE: 'correct horse' }
const at8 = '2026-11-20T08:00:00Z'

interface Status {
  digest: string
  content: string
  records: number
  peers: { connected: boolean }[]
}

const deep = async (at: readonly string[]): Promise<Status> =>
  (await cliJson<Status>(['status', '--deep', ...at]))[0] as Status

const append = (at: readonly string[], sensor: string): Promise<string> =>
  cliOk(['append', ...at, '--sensor', sensor, '--time', at8, 'v=1'])

/** A site with a record, and a vault with a backup of it. */
async function backedUp(): Promise<Founded & { readonly vault: readonly string[] }> {
  const site = await founded('barn')
  const vault = ['--vault', join(site.path, 'vault')]
  await append(site.at, 'first')
  await cliOk(['vault', 'init', join(site.path, 'vault')], { env })
  await cliOk(['backup', 'create', ...site.at, ...vault], { env })
  return { ...site, vault, [Symbol.asyncDispose]: () => site[Symbol.asyncDispose]() }
}

describe('hedgerow backup', function () {
  this.timeout(childMs)

  it('goes full, then incremental, verifies, and comes back whole or as of an earlier backup', async () => {
    await using site = await backedUp()
    const first = await deep(site.at)
    await append(site.at, 'second')
    const [second] = await cliJson<{ kind: string; parent: string }>(['backup', 'create', ...site.at, ...site.vault], {
      env,
    })
    assert.equal(second?.kind, 'incremental')
    const listed = await cliJson<{ id: string; kind: string }>(['backup', 'list', ...site.vault], { env })
    assert.deepEqual(
      listed.map(({ kind }) => kind),
      ['full', 'incremental'],
    )
    assert.equal((await cliJson<{ ok: boolean }>(['backup', 'verify', ...site.vault], { env }))[0]?.ok, true)
    const [now, then] = [join(site.path, 'now'), join(site.path, 'then')]
    await cliOk(['backup', 'restore', ...site.vault, '--to', now], { env })
    await cliOk(['backup', 'restore', ...site.vault, '--to', then, '--as-of', listed[0]?.id ?? ''], { env })
    const [living, whole, earlier] = [await deep(site.at), await deep(['--dir', now]), await deep(['--dir', then])]
    assert.deepEqual([whole.digest, whole.content], [living.digest, living.content])
    assert.deepEqual([earlier.digest, earlier.content], [first.digest, first.content])
    assert.equal(existsSync(join(now, 'identity.key')), false)
  })

  it('into a missing or empty folder is exit code 10 and names vault init and an unmounted disk', async () => {
    await using site = await founded()
    const vault = join(site.path, 'vault')
    for (const prepare of [undefined, () => mkdir(vault)]) {
      await prepare?.()
      const { code, stderr } = await cli(['backup', 'create', ...site.at, '--vault', vault], { env })
      assert.equal(code, 10)
      assert.match(stderr, /vault init/)
      assert.match(stderr, /mount/)
    }
    assert.equal((await cli(['backup', 'list', '--vault', vault], { env })).code, 10)
  })

  it('refuses a wrong passphrase with exit code 12, and opens with the recovery phrase', async () => {
    await using site = await founded()
    const vault = join(site.path, 'vault')
    const phrase = (await cliOk(['vault', 'init', vault, '--quiet'], { env })).trim()
    const wrong = await cli(['backup', 'list', '--vault', vault], { env: { HEDGEROW_PASSPHRASE: 'wrong' } })
    assert.equal(wrong.code, 12)
    await cliOk(['backup', 'list', '--vault', vault], { env: { HEDGEROW_RECOVERY_PHRASE: phrase } })
    assert.equal((await cli(['vault', 'init', vault], { env })).code, 1)
  })

  it('with a damaged file is named by verify and restore, and nothing is restored by guess', async () => {
    await using site = await backedUp()
    const packs = join(site.path, 'vault', 'packs')
    const [folder = ''] = await readdir(packs)
    const [name = ''] = await readdir(join(packs, folder))
    const file = join(packs, folder, name)
    const bytes = await readFile(file)
    const middle = bytes.length >> 1
    bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle)
    await writeFile(file, bytes)
    const [{ id } = { id: 'none' }] = await cliJson<{ id: string }>(['backup', 'list', ...site.vault], { env })
    const verified = await cli(['backup', 'verify', ...site.vault], { env })
    assert.equal(verified.code, 1)
    assert.match(verified.stderr, new RegExp(`packs/${folder}/${name}.*${id}`))
    const to = join(site.path, 'restored')
    const restored = await cli(['backup', 'restore', ...site.vault, '--to', to], { env })
    assert.equal(restored.code, 1)
    assert.match(restored.stderr, new RegExp(`${id}.*packs/${folder}/${name}`, 's'))
    assert.deepEqual(await readdir(to), [])
  })

  it('restores into new or empty directories only', async () => {
    await using site = await backedUp()
    const { code, stderr } = await cli(['backup', 'restore', ...site.vault, '--to', site.at[1] ?? ''], { env })
    assert.equal(code, 1)
    assert.match(stderr, /is not empty/)
  })
})

describe('a restored directory', function () {
  this.timeout(childMs)

  it('is exit code 1 to run until it has an identity, then rejoins the living site with what it appended', async () => {
    await using site = await backedUp()
    const other = ['--dir', join(site.path, 'other')]
    const copy = join(site.path, 'copy')
    await cliOk(['identity', 'export', ...site.at, copy], { env })
    {
      await using _barn = await runNode([...site.at])
      await cliOk(['join', ...other, (await cliOk(['invite', ...site.at, '--quiet'])).trim()])
    }
    await rm(site.at[1] ?? '', { recursive: true })
    await cliOk(['backup', 'restore', ...site.vault, '--to', site.at[1] ?? ''], { env })
    const without = await cli(['run', ...site.at])
    assert.equal(without.code, 1)
    assert.match(without.stderr, /identity import FILE.*join CODE.*--new-site/)
    await cliOk(['identity', 'import', ...site.at, copy], { env })
    await append(site.at, 'before')
    await using house = await runNode([...other])
    await append(other, 'house')
    await using _barn = await runNode([...site.at, '--peer', house.addresses[0] ?? ''])
    await append(site.at, 'during')
    const same = await until(
      'both to hold the same',
      async () => [await deep(site.at), await deep(other)] as const,
      ([one, two]) => one.digest === two.digest && one.records === 4,
    )
    assert.equal(same[0].content, same[1].content)
  })

  it('rejoins its living site as a new node by an invite, keeping records and policy', async () => {
    await using site = await founded('barn')
    const vault = ['--vault', join(site.path, 'vault')]
    await append(site.at, 'first')
    await cliOk(['policy', 'set', ...site.at, 'first', '--rule', 'v=manual'])
    await cliOk(['vault', 'init', join(site.path, 'vault'), '--unencrypted'])
    await cliOk(['backup', 'create', ...site.at, ...vault])
    await using _barn = await runNode([...site.at])
    const restored = ['--dir', join(site.path, 'restored')]
    await cliOk(['backup', 'restore', ...vault, '--to', restored[1] ?? ''])
    await cliOk(['join', ...restored, (await cliOk(['invite', ...site.at, '--quiet'])).trim()])
    assert.equal((await deep(restored)).digest, (await deep(site.at)).digest)
    await append(restored, 'second')
    assert.equal((await cliJson(['members', 'list', ...restored])).length, 2)
  })

  it('founds a new site with --new-site, in which the old authors still count', async () => {
    await using site = await backedUp()
    const before = await deep(site.at)
    const to = ['--dir', join(site.path, 'restored')]
    await cliOk(['backup', 'restore', ...site.vault, '--to', to[1] ?? '', '--new-site', 'again', '--name', 'phoenix'], {
      env,
    })
    assert.equal((await deep(to)).content, before.content)
    await append(to, 'second')
    const members = await cliJson<{ name: string; founder: boolean; adopted: boolean }>(['members', 'list', ...to])
    assert.deepEqual(
      new Set(members.map(({ name, founder, adopted }) => [name, founder, adopted].join(' '))),
      new Set(['phoenix true false', 'barn false true']),
    )
  })
})
