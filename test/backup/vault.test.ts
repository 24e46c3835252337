import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { initVault, openDirectoryStorage, openVault, readVaultConfig } from '../../src/backup/index.ts'
import { readRecoveryPhrase, writeRecoveryPhrase } from '../../src/backup/recovery-phrase.ts'
import { DamagedError, InvalidInputError, NotFoundError, VersionError, WrongKeyError } from '../../src/model/index.ts'
import { openTestSite, testRandom } from '../support/store.ts'
import {
  appendMany,
  backUp,
  encryptedVault,
  filesOf,
  passphrase,
  plainVault,
  restore,
  temporaryFolder,
} from './vault-site.ts'

describe('vault', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>

  beforeEach(async () => {
    folder = await temporaryFolder()
  })
  afterEach(async () => folder.remove())

  async function change(
    vault: Parameters<typeof filesOf>[0],
    name: string,
    edit: (bytes: Buffer) => void,
  ): Promise<void> {
    const bytes = Buffer.from((await vault.storage.get(name, 1e6)) as Uint8Array)
    edit(bytes)
    await vault.storage.delete(name)
    await vault.storage.put(name, bytes)
  }

  it('opens with its passphrase, in any Unicode form, and with its recovery phrase, however it is typed', async () => {
    const vault = await encryptedVault(folder.path)
    assert.equal(vault.encryption, 'aes-256-gcm')
    assert.match(vault.recoveryPhrase, /^([0-9A-HJKMNP-TV-Z]{4}-){8}[0-9A-HJKMNP-TV-Z]{4}$/)
    const typed = vault.recoveryPhrase.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l')
    const again = await openVault(vault.storage, { recoveryPhrase: typed })
    assert.deepEqual(again.master, vault.master)
    const accented = openDirectoryStorage(join(folder.path, 'accented'))
    await initVault(accented, { passphrase: 'se\u0301same' }, testRandom(2))
    await openVault(accented, { passphrase: 's\u00e9same' })
  })

  it('refuses a wrong or missing secret as such', async () => {
    const { storage } = await encryptedVault(folder.path)
    await assert.rejects(openVault(storage, { passphrase: 'wrong' }), WrongKeyError)
    await assert.rejects(openVault(storage), WrongKeyError)
    const other = writeRecoveryPhrase(testRandom(5).bytes(20))
    await assert.rejects(openVault(storage, { recoveryPhrase: other }), WrongKeyError)
    await assert.rejects(openVault(storage, { recoveryPhrase: 'ABCD-EFGH' }), /typing error/)
  })

  it('does not take an unencrypted vault for an encrypted one', async () => {
    const { storage } = await plainVault(folder.path)
    assert.equal((await readVaultConfig(storage)).encryption, 'none')
    await assert.rejects(openVault(storage, { passphrase }), /not encrypted/)
  })

  it('names the likely causes where there is none', async () => {
    for (const name of ['missing', 'empty']) {
      const place = join(folder.path, name)
      if (name === 'empty') await mkdir(place)
      await assert.rejects(openVault(openDirectoryStorage(place), { passphrase }), (error: Error) => {
        assert.ok(error instanceof NotFoundError)
        assert.match(error.message, /mount it/)
        assert.match(error.message, /vault init/)
        return true
      })
    }
  })

  it('is made only where nothing is', async () => {
    const { storage } = await plainVault(folder.path)
    await assert.rejects(initVault(storage, { unencrypted: true }, testRandom(1)), /is a vault already/)
    const used = join(folder.path, 'used')
    await mkdir(used)
    await writeFile(join(used, 'holiday.jpg'), 'x')
    await assert.rejects(initVault(openDirectoryStorage(used), { unencrypted: true }, testRandom(1)), InvalidInputError)
    await assert.rejects(
      initVault(openDirectoryStorage(join(folder.path, 'x')), { passphrase: '' }, testRandom(1)),
      InvalidInputError,
    )
  })

  it('names a damaged config and a damaged key, and which other key opens it', async () => {
    const vault = await encryptedVault(folder.path)
    await change(vault, 'keys/passphrase-1', (bytes) => (bytes[60] = (bytes[60] as number) ^ 4))
    await assert.rejects(openVault(vault.storage, { passphrase }), (error: Error) => {
      assert.ok(error instanceof DamagedError)
      assert.match(error.message, /keys\/passphrase-1.*recovery phrase/)
      return true
    })
    await openVault(vault.storage, { recoveryPhrase: vault.recoveryPhrase })
    await vault.storage.delete('keys/passphrase-1')
    await assert.rejects(openVault(vault.storage, { passphrase }), /keys\/passphrase-1.*is missing/)
    await change(vault, 'config', (bytes) => (bytes[20] = (bytes[20] as number) ^ 4))
    await assert.rejects(openVault(vault.storage, { passphrase }), /config.*damaged/)
    await vault.storage.delete('config')
    await assert.rejects(openVault(vault.storage, { passphrase }), DamagedError)
  })

  it("is refused as a later release's when it is one", async () => {
    const vault = await plainVault(folder.path)
    await change(vault, 'config', (bytes) => (bytes[5] = 2))
    await assert.rejects(openVault(vault.storage), VersionError)
  })

  it('shows a stranger names and sizes only, and never holds a key of a node', async () => {
    const vault = await encryptedVault(folder.path)
    const [a] = await openTestSite(1)
    assert.ok(a !== undefined)
    await appendMany(a, 'greenhouse-secret/air', 0, 600)
    await backUp(a, vault)
    const words = ['greenhouse-secret', 'temperature', 'node-0', 'journal.1', passphrase]
    for (const name of (await filesOf(vault)).keys()) {
      const bytes = Buffer.from((await vault.storage.get(name, 1e8)) as Uint8Array)
      for (const word of words) {
        assert.ok(!bytes.includes(word), `${word} in ${name}`)
        assert.ok(!name.includes(word))
      }
    }
    await a.store.close()
  })

  it('encrypted, restores with the recovery phrase alone', async () => {
    const vault = await encryptedVault(folder.path)
    const [a] = await openTestSite(1)
    assert.ok(a !== undefined)
    await appendMany(a, 'greenhouse/air', 0, 600)
    await backUp(a, vault)
    const opened = await openVault(vault.storage, { recoveryPhrase: vault.recoveryPhrase })
    await using store = await restore(opened)
    assert.equal(await store.digest(), await a.store.digest())
    await a.store.close()
  })
})

describe('recovery phrase', () => {
  it('reads back what it wrote, and notices any one wrong character', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), fc.nat(35), fc.nat(30), (secret, at, shift) => {
        const phrase = writeRecoveryPhrase(secret)
        assert.deepEqual(new Uint8Array(readRecoveryPhrase(phrase)), secret)
        const letters = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
        const position = at + Math.floor(at / 4)
        const wrong = letters[(letters.indexOf(phrase[position] as string) + 1 + shift) % 32]
        const mistyped = phrase.slice(0, position) + wrong + phrase.slice(position + 1)
        assert.throws(() => readRecoveryPhrase(mistyped), WrongKeyError)
      }),
      { numRuns: 300 },
    )
  })
})
