import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDirectoryStorage } from '../../src/backup/index.ts'
import { StorageError } from '../../src/model/index.ts'
import { vaultStorageContract } from '../contracts/vault.ts'

vaultStorageContract('directory', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hedgerow-vault-'))
  return {
    open: () => openDirectoryStorage(join(folder, 'vault')),
    cleanUp: () => rm(folder, { recursive: true }),
  }
})

describe('directory storage', () => {
  let folder: string

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hedgerow-vault-'))
  })
  afterEach(async () => rm(folder, { recursive: true }))

  it('neither lists nor keeps for ever what an interrupted write left', async () => {
    const storage = openDirectoryStorage(folder)
    await mkdir(join(folder, 'tmp'))
    await writeFile(join(folder, 'tmp', 'old'), 'half a pack')
    await writeFile(join(folder, 'tmp', 'new'), 'another writer, right now')
    const twoDaysAgo = new Date(Date.now() - 2 * 86_400_000)
    await utimes(join(folder, 'tmp', 'old'), twoDaysAgo, twoDaysAgo)
    await storage.put('config', Buffer.from('x'))
    const listed: string[] = []
    for await (const { name } of storage.list('')) listed.push(name)
    assert.deepEqual(listed, ['config'])
    assert.deepEqual(await readdir(join(folder, 'tmp')), ['new'])
  })

  it('refuses to write on when its disk was unmounted or replaced', async () => {
    const place = join(folder, 'disk')
    await mkdir(place)
    const storage = openDirectoryStorage(place)
    await storage.put('config', Buffer.from('x'))
    await rename(place, join(folder, 'elsewhere'))
    await assert.rejects(storage.put('packs/a/1', Buffer.from('x')), StorageError)
    await mkdir(place)
    await assert.rejects(storage.put('packs/a/1', Buffer.from('x')), /unmounted or replaced/)
    assert.deepEqual(await readdir(place), [])
  })

  it('names the file and the way out when the system refuses', async () => {
    const file = join(folder, 'a-file')
    await writeFile(file, '')
    await assert.rejects(openDirectoryStorage(join(file, 'vault')).prepare(), /mounted, healthy and ours/)
  })
})
