/** Key slots: the vault's master key wrapped once per passphrase or recovery phrase (`keys/<name>`). */
import { createCipheriv, createDecipheriv, createHash, scrypt } from 'node:crypto'
import { DamagedError, InvalidInputError, type Random } from '../model/index.ts'
import { asBytes, asInteger, asList, asText, decodeCbor, encode } from './cbor.ts'
import { saltBytes, subkey } from './box.ts'
import { scryptCost, scryptMost } from './constants.ts'
import { checkHeader, fileHeader, headerBytes } from './file-header.ts'
import { readRecoveryPhrase } from './recovery-phrase.ts'

export type VaultSecret = { readonly passphrase: string } | { readonly recoveryPhrase: string }
export type SlotKind = 'passphrase' | 'recovery'

export const masterBytes = 32
const nonceBytes = 12
const tagBytes = 16
const sumBytes = 32

export interface KeySlot {
  readonly kind: SlotKind
  readonly cost: { readonly N: number; readonly r: number; readonly p: number }
  readonly salt: Buffer
  readonly nonce: Buffer
  readonly wrapped: Buffer
}

export function slotKindOf(secret: VaultSecret): SlotKind {
  return 'passphrase' in secret ? 'passphrase' : 'recovery'
}

/** Wraps the master key; gives the bytes of the slot's file. */
export async function wrapKey(
  vault: Uint8Array,
  master: Uint8Array,
  secret: VaultSecret,
  random: Random,
): Promise<Buffer> {
  const kind = slotKindOf(secret)
  const salt = Buffer.from(random.bytes(saltBytes))
  const nonce = Buffer.from(random.bytes(nonceBytes))
  const cipher = createCipheriv('aes-256-gcm', await wrappingKey(secret, salt, scryptCost), nonce)
  cipher.setAAD(slotContext(vault, kind))
  const wrapped = Buffer.concat([cipher.update(master), cipher.final(), cipher.getAuthTag()])
  const { N, r, p } = scryptCost
  return withSum(Buffer.concat([fileHeader('key', 'aes-256-gcm'), encode([kind, N, r, p, salt, nonce, wrapped])]))
}

/** Reads a slot's file. Throws `DamagedError` or `VersionError`, naming it. */
export function decodeSlot(bytes: Uint8Array, file: string): KeySlot {
  checkHeader(bytes, 'key', file, 'aes-256-gcm')
  const body = withoutSum(bytes, file)
  const [kind, N, r, p, salt, nonce, wrapped] = asList(decodeCbor(body.subarray(headerBytes)), 7)
  const cost = { N: asInteger(N), r: asInteger(r), p: asInteger(p) }
  const text = asText(kind)
  if (text !== 'passphrase' && text !== 'recovery') throw new DamagedError(`${file} is no key this release knows`)
  if (cost.N > scryptMost.N || cost.r > scryptMost.r || cost.p > scryptMost.p)
    throw new DamagedError(`${file} asks for more work than any vault does`)
  return {
    kind: text,
    cost,
    salt: asBytes(salt, saltBytes),
    nonce: asBytes(nonce, nonceBytes),
    wrapped: asBytes(wrapped, masterBytes + tagBytes),
  }
}

/** Gives the master key, `undefined` if this secret does not open the slot. */
export async function unwrapKey(vault: Uint8Array, slot: KeySlot, secret: VaultSecret): Promise<Buffer | undefined> {
  if (slot.kind !== slotKindOf(secret)) return undefined
  const key = await wrappingKey(secret, slot.salt, slot.cost)
  const decipher = createDecipheriv('aes-256-gcm', key, slot.nonce, { authTagLength: tagBytes })
  decipher.setAAD(slotContext(vault, slot.kind))
  decipher.setAuthTag(slot.wrapped.subarray(-tagBytes))
  const master = decipher.update(slot.wrapped.subarray(0, -tagBytes))
  try {
    decipher.final()
  } catch {
    // The one thing `final` can say here: another secret wrapped it.
    return undefined
  }
  return master
}

/** A passphrase is guessable and costs scrypt; a recovery phrase is 160 random bits. */
async function wrappingKey(secret: VaultSecret, salt: Buffer, cost: KeySlot['cost']): Promise<Buffer> {
  if ('recoveryPhrase' in secret) return subkey(readRecoveryPhrase(secret.recoveryPhrase), salt, 'recovery')
  if (secret.passphrase.length === 0) throw new InvalidInputError('the passphrase of a vault cannot be empty')
  const passphrase = secret.passphrase.normalize('NFKC')
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, 32, { ...cost, maxmem: 160 * cost.N * cost.r * cost.p }, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}

function slotContext(vault: Uint8Array, kind: SlotKind): Buffer {
  return Buffer.concat([fileHeader('key', 'aes-256-gcm'), vault, Buffer.from(kind)])
}

/** Small files end with the SHA-256 of everything before: damage is told from a wrong key. */
export function withSum(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, createHash('sha256').update(bytes).digest()])
}

export function withoutSum(bytes: Uint8Array, file: string): Buffer {
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, Math.max(0, bytes.length - sumBytes))
  const sum = bytes.subarray(body.length)
  if (!createHash('sha256').update(body).digest().equals(sum)) throw new DamagedError(`${file} is damaged`)
  return body
}
