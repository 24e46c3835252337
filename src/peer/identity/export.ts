/**
 * An exported identity, version 1: the line `hedgerow-identity 1`, then base64 in lines of 64 characters of
 * salt (16), nonce (12), AES-256-GCM ciphertext of the identity's text, tag (16), and SHA-256 of header line and all
 * before (32). The checksum tells a damaged copy from a wrong passphrase. The key is scrypt (RFC 7914) of the passphrase
 * in Unicode form NFKC; the header line is authenticated with the text.
 */
import { createCipheriv, createDecipheriv, createHash, scryptSync } from 'node:crypto'
import { DamagedError, InvalidInputError, VersionError, WrongKeyError, type Random } from '../../model/index.ts'
import { decodeIdentity, encodeIdentity, identityLimits } from './codec.ts'
import type { Identity } from './key.ts'

const header = 'hedgerow-identity 1'
const saltBytes = 16
const nonceBytes = 12
const tagBytes = 16
const sumBytes = 32

/** OWASP's recommendation of 2023; 128 · N · r = 128 MiB of memory for each guess. */
const scryptCost = { N: 2 ** 17, r: 8, p: 1, maxmem: 160 * 2 ** 20 } as const

/** Gives a copy of the identity, encrypted with a passphrase, as text for a file or for paper. Takes about 0.4 s. */
export function exportIdentity(identity: Identity, passphrase: string, random: Random): string {
  const salt = random.bytes(saltBytes)
  const nonce = random.bytes(nonceBytes)
  const cipher = createCipheriv('aes-256-gcm', keyOf(passphrase, salt), nonce)
  cipher.setAAD(Buffer.from(header))
  const sealed = [salt, nonce, cipher.update(encodeIdentity(identity), 'utf8'), cipher.final(), cipher.getAuthTag()]
  const body = Buffer.concat([...sealed, checksum(Buffer.concat(sealed))])
  const lines = body.toString('base64').match(/.{1,64}/g) ?? []
  return `${[header, ...lines].join('\n')}\n`
}

/**
 * Reads an exported identity. Throws `InvalidInputError` if it is none, `VersionError` if a later release made it,
 * `DamagedError` if it is not what was written, `WrongKeyError` if the passphrase is wrong.
 */
export function importIdentity(text: string, passphrase: string): Identity {
  // Encryption and base64 add a third; lines a little more.
  if (text.length > 2 * identityLimits.textBytes)
    throw new InvalidInputError(`this is not an exported identity: it has ${text.length} characters`)
  const [first = '', ...lines] = text.trim().split(/\s*\r?\n\s*/)
  const version = /^hedgerow-identity ([0-9]{1,6})$/.exec(first)?.[1]
  if (version === undefined)
    throw new InvalidInputError(`this is not an exported identity: its first line is not "${header}"`)
  if (version !== '1')
    throw new VersionError(`this exported identity has version ${version}: it needs a later release of hedgerow`)
  const base64 = lines.join('')
  const body = Buffer.from(base64, 'base64')
  const sealed = body.subarray(0, -sumBytes)
  const fixed = saltBytes + nonceBytes + tagBytes
  if (sealed.length < fixed || body.toString('base64') !== base64 || !checksum(sealed).equals(body.subarray(-sumBytes)))
    throw new DamagedError(
      'this exported identity is damaged: part of its text is missing or changed. Use another copy',
    )
  const salt = sealed.subarray(0, saltBytes)
  const nonce = sealed.subarray(saltBytes, saltBytes + nonceBytes)
  const decipher = createDecipheriv('aes-256-gcm', keyOf(passphrase, salt), nonce)
  decipher.setAAD(Buffer.from(header))
  decipher.setAuthTag(sealed.subarray(-tagBytes))
  const plain = decipher.update(sealed.subarray(saltBytes + nonceBytes, -tagBytes))
  try {
    decipher.final()
  } catch (cause) {
    throw new WrongKeyError('the passphrase does not open this exported identity: try again', { cause })
  }
  return decodeIdentity(plain.toString('utf8'), 'this exported identity')
}

function keyOf(passphrase: string, salt: Uint8Array): Buffer {
  if (passphrase.length === 0) throw new InvalidInputError('the passphrase of an exported identity cannot be empty')
  return scryptSync(passphrase.normalize('NFKC'), salt, 32, scryptCost)
}

function checksum(sealed: Uint8Array): Buffer {
  return createHash('sha256').update(header).update(sealed).digest()
}
