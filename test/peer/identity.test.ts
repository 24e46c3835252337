import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import {
  DamagedError,
  InvalidInputError,
  NotAllowedError,
  siteIdOf,
  systemRandom,
  VersionError,
  WrongKeyError,
} from '../../src/model/index.ts'
import {
  createNodeKey,
  exportIdentity,
  identityFileName,
  importIdentity,
  nodeKeyFromSeed,
  readIdentity,
  shortNodeId,
  signerOf,
  writeIdentity,
  type Identity,
} from '../../src/peer/identity.ts'

function newIdentity(): Identity {
  const key = createNodeKey(systemRandom)
  return {
    ...key,
    site: siteIdOf(key.publicKey),
    psk: systemRandom.bytes(32),
    name: 'Gewächshaus 1',
    entries: [systemRandom.bytes(300), systemRandom.bytes(200)],
  }
}

describe('node key', () => {
  it('is that of RFC 8032, test 1, for its seed', () => {
    const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex')
    const key = nodeKeyFromSeed(seed)
    const publicKey = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'
    assert.equal(Buffer.from(key.publicKey).toString('hex'), publicKey)
    const signature = Buffer.from(signerOf(key).sign(new Uint8Array())).toString('hex')
    assert.ok(signature.startsWith('e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155'))
  })

  it('signs so that its public key verifies', () => {
    const key = createNodeKey(systemRandom)
    const message = Buffer.from('message')
    const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key.publicKey])
    const publicKey = createPublicKey({ key: der, format: 'der', type: 'spki' })
    assert.ok(verify(null, message, publicKey, signerOf(key).sign(message)))
    assert.equal(signerOf(key).node, key.node)
  })

  it('comes from the random source alone', () => {
    const random = { bytes: (length: number) => new Uint8Array(length).fill(7), uniform: () => 0 }
    assert.equal(createNodeKey(random).node, createNodeKey(random).node)
    assert.throws(() => nodeKeyFromSeed(new Uint8Array(31)), InvalidInputError)
  })

  it('has a short form of its node id for people', () => {
    const { node } = createNodeKey(systemRandom)
    assert.equal(shortNodeId(node).length, 8)
    assert.ok(node.endsWith(shortNodeId(node)))
  })
})

describe('identity file', () => {
  let directory: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hedgerow-identity-'))
  })

  afterEach(async () => {
    await rm(directory, { recursive: true })
  })

  it('is absent in an empty directory', async () => {
    assert.equal(await readIdentity(directory), undefined)
  })

  it('gives back what was written, also over an earlier one, and leaves nothing else behind', async () => {
    const identity = newIdentity()
    await writeIdentity(directory, { ...identity, entries: [] })
    await writeFile(join(directory, `${identityFileName}.tmp`), 'from a crash', { mode: 0o644 })
    await writeIdentity(directory, identity)
    assert.deepEqual(await readIdentity(directory), identity)
    assert.deepEqual(await readdir(directory), [identityFileName])
  })

  it('is readable by its owner only', async () => {
    await writeIdentity(directory, newIdentity())
    assert.equal((await stat(join(directory, identityFileName))).mode & 0o777, 0o600)
  })

  it('is refused when others may open it, with the command that helps', async () => {
    await writeIdentity(directory, newIdentity())
    const path = join(directory, identityFileName)
    for (const mode of [0o640, 0o604, 0o620]) {
      await chmod(path, mode)
      await assert.rejects(readIdentity(directory), (error: Error) => {
        assert.ok(error instanceof NotAllowedError)
        assert.ok(error.message.endsWith(`chmod 600 ${path}`))
        return true
      })
    }
  })

  it('is refused when it is damaged or of a later release, and never shows its secret', async () => {
    const identity = newIdentity()
    await writeIdentity(directory, identity)
    const path = join(directory, identityFileName)
    const text = await readFile(path, 'utf8')
    const fields = JSON.parse(text) as Record<string, unknown>
    const seed = fields.seed as string
    const other = Buffer.from(createNodeKey(systemRandom).privateSeed).toString('base64')
    const bad = [
      '',
      'null',
      '[]',
      text.slice(0, -20),
      ...[{ seed: other }, { seed: seed.slice(4) }, { seed: `${seed}!` }, { psk: 'AAAA' }, { site: 'x' }].map(
        (change) => JSON.stringify({ ...fields, ...change }),
      ),
      JSON.stringify({ ...fields, entries: 'none' }),
      JSON.stringify({ ...fields, version: 0 }),
    ]
    for (const content of bad) {
      await writeFile(path, content)
      await assert.rejects(readIdentity(directory), (error: Error) => {
        assert.ok(error instanceof DamagedError, `${content.slice(0, 40)}: ${error.message}`)
        assert.ok(!error.message.includes(seed))
        return true
      })
    }
    await writeFile(path, JSON.stringify({ ...fields, version: 2 }))
    await assert.rejects(readIdentity(directory), VersionError)
  })
})

describe('exported identity', () => {
  const identity = newIdentity()
  const exported = exportIdentity(identity, 'Grüne Hecke', systemRandom)

  it('comes back with its passphrase, however the umlaut was typed and lines were ended', () => {
    assert.deepEqual(importIdentity(exported, 'Grüne Hecke'.normalize('NFD')), identity)
    assert.deepEqual(importIdentity(`\n  ${exported.replaceAll('\n', '  \r\n')}`, 'Grüne Hecke'), identity)
  })

  it('is text in short lines that shows neither key nor name', () => {
    const [header, ...lines] = exported.trimEnd().split('\n')
    assert.equal(header, 'hedgerow-identity 1')
    assert.ok(lines.every((line) => /^[A-Za-z0-9+/=]{1,64}$/.test(line)))
    const bytes = Buffer.from(lines.join(''), 'base64')
    for (const secret of [identity.privateSeed, identity.psk, Buffer.from(identity.node), Buffer.from('Gewächshaus')])
      assert.equal(bytes.indexOf(secret), -1)
    assert.notEqual(exportIdentity(identity, 'Grüne Hecke', systemRandom), exported)
  })

  it('does not open with another passphrase', () => {
    assert.throws(() => importIdentity(exported, 'Gruene Hecke'), WrongKeyError)
    assert.throws(() => importIdentity(exported, ''), InvalidInputError)
    assert.throws(() => exportIdentity(identity, '', systemRandom), InvalidInputError)
  })

  it('tells every change of its text from a wrong passphrase', () => {
    const start = exported.indexOf('\n') + 1
    const place = fc.integer({ min: start, max: exported.length - 2 })
    fc.assert(
      fc.property(place, fc.constantFrom('A', 'B', 'x', 'z', '0', '9', '+', '/', '=', '-'), (at, character) => {
        fc.pre(!/\s/.test(exported[at]!) && exported[at] !== character)
        const changed = exported.slice(0, at) + character + exported.slice(at + 1)
        assert.throws(() => importIdentity(changed, 'Grüne Hecke'), DamagedError)
      }),
    )
    fc.assert(
      fc.property(place, (end) => {
        assert.throws(() => importIdentity(exported.slice(0, end), 'Grüne Hecke'), DamagedError)
      }),
    )
  })

  it('is told from another file, and from one of a later release', () => {
    assert.throws(() => importIdentity('hello', 'x'), InvalidInputError)
    assert.throws(() => importIdentity('', 'x'), InvalidInputError)
    assert.throws(() => importIdentity('x'.repeat(3_000_000), 'x'), InvalidInputError)
    assert.throws(() => importIdentity(exported.replace(/ 1\n/, ' 2\n'), 'x'), VersionError)
  })

  it('is refused when the text inside it is none, though the passphrase is right', () => {
    const odd = { ...identity, name: 'x'.repeat(65) }
    assert.throws(() => importIdentity(exportIdentity(odd, 'p', systemRandom), 'p'), DamagedError)
  })
})
