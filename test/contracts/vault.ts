/** What every implementation of `VaultStorage` promises. */
import assert from 'node:assert/strict'
import type { VaultStorage } from '../../src/backup/index.ts'
import { DamagedError, InvalidInputError } from '../../src/model/index.ts'

export interface VaultStorageHarness {
  /** The same place each time it is called: what one handle wrote another one reads. */
  open(): VaultStorage
  cleanUp(): Promise<void>
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

async function names(storage: VaultStorage, prefix: string): Promise<string[]> {
  const found: string[] = []
  for await (const { name } of storage.list(prefix)) found.push(name)
  return found
}

export function vaultStorageContract(name: string, setUp: () => Promise<VaultStorageHarness>): void {
  describe(`vault storage contract: ${name}`, () => {
    let harness: VaultStorageHarness
    let storage: VaultStorage

    beforeEach(async () => {
      harness = await setUp()
      storage = harness.open()
      await storage.prepare()
    })
    afterEach(async () => harness.cleanUp())

    it('gives back what was written, also to another handle', async () => {
      assert.equal(await storage.put('packs/ab/one', bytes('content')), true)
      assert.equal(await storage.put('config', bytes('')), true)
      const again = harness.open()
      assert.deepEqual(Buffer.from((await again.get('packs/ab/one', 100)) ?? []).toString(), 'content')
      assert.equal((await again.get('config', 100))?.length, 0)
      assert.deepEqual(await again.stat('packs/ab/one'), { name: 'packs/ab/one', bytes: 7 })
    })

    it('writes a name once: the second write is told and changes nothing', async () => {
      await storage.put('keys/one', bytes('first'))
      assert.equal(await harness.open().put('keys/one', bytes('second')), false)
      assert.equal(Buffer.from((await storage.get('keys/one', 100)) ?? []).toString(), 'first')
    })

    it('lets exactly one of many concurrent writers of a name win, whole', async () => {
      const texts = Array.from({ length: 8 }, (_, i) => String(i).repeat(50_000))
      const created = await Promise.all(texts.map((text) => harness.open().put('index/same', bytes(text))))
      assert.equal(created.filter(Boolean).length, 1)
      const stored = Buffer.from((await storage.get('index/same', 1_000_000)) ?? []).toString()
      assert.equal(stored, texts[created.indexOf(true)])
    })

    it('reads ranges, shorter where the file ends before', async () => {
      await storage.put('packs/ab/one', bytes('0123456789'))
      const range = async (offset: number, length: number): Promise<string> =>
        Buffer.from((await storage.getRange('packs/ab/one', offset, length)) ?? []).toString()
      assert.equal(await range(2, 3), '234')
      assert.equal(await range(8, 5), '89')
      assert.equal(await range(20, 5), '')
    })

    it('reads what is absent as undefined', async () => {
      assert.equal(await storage.get('packs/ab/none', 100), undefined)
      assert.equal(await storage.getRange('packs/ab/none', 0, 1), undefined)
      assert.equal(await storage.stat('none'), undefined)
      assert.equal(await storage.delete('packs/ab/none'), false)
      assert.deepEqual(await names(storage, 'packs/'), [])
    })

    it('refuses to read more than it was allowed', async () => {
      await storage.put('config', bytes('0123456789'))
      await assert.rejects(storage.get('config', 9), DamagedError)
    })

    it('lists by prefix, in name order, with sizes', async () => {
      for (const name of ['packs/b/2', 'packs/a/11', 'packs/a/1', 'index/x', 'config'])
        await storage.put(name, bytes(name))
      assert.deepEqual(await names(storage, ''), ['config', 'index/x', 'packs/a/1', 'packs/a/11', 'packs/b/2'])
      assert.deepEqual(await names(storage, 'packs/a/1'), ['packs/a/1', 'packs/a/11'])
      assert.deepEqual(await names(storage, 'packs/'), ['packs/a/1', 'packs/a/11', 'packs/b/2'])
      for await (const file of storage.list('')) assert.equal(file.bytes, file.name.length)
    })

    it('deletes', async () => {
      await storage.put('packs/a/1', bytes('x'))
      assert.equal(await storage.delete('packs/a/1'), true)
      assert.deepEqual(await names(storage, ''), [])
      assert.equal(await storage.put('packs/a/1', bytes('y')), true)
    })

    it('refuses names that are no names of vault files', async () => {
      for (const name of ['', '/etc/passwd', '../up', 'a/../../b', 'a//b', 'a/', '.hidden', 'a b', 'x'.repeat(300)])
        await assert.rejects(storage.put(name, bytes('x')), InvalidInputError, name)
    })
  })
}
