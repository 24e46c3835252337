/**
 * The recovery phrase: 160 random bits and 20 bits of their SHA-256, as nine groups of four characters of Crockford's
 * base 32 (no I, L, O, U), for paper. Reading it forgives case, spaces and the look-alikes O/0 and I, L/1.
 */
import { createHash } from 'node:crypto'
import { WrongKeyError, type Random } from '../model/index.ts'

export const recoveryBytes = 20
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const characters = 36

export function makeRecoverySecret(random: Random): Buffer {
  return Buffer.from(random.bytes(recoveryBytes))
}

export function writeRecoveryPhrase(secret: Uint8Array): string {
  const digits = bitsOf(secret) + checkBits(secret)
  let text = ''
  for (let at = 0; at < digits.length; at += 5) text += alphabet[Number.parseInt(digits.slice(at, at + 5), 2)]
  return (text.match(/.{4}/g) ?? []).join('-')
}

/** Throws `WrongKeyError` where the phrase has a typing error. */
export function readRecoveryPhrase(phrase: string): Buffer {
  const text = phrase
    .toUpperCase()
    .replaceAll(/[\s\-–]/g, '')
    .replaceAll('O', '0')
    .replaceAll(/[IL]/g, '1')
  const values = Array.from(text, (character) => alphabet.indexOf(character))
  const digits = values.map((value) => value.toString(2).padStart(5, '0')).join('')
  const secret = Buffer.alloc(recoveryBytes)
  if (text.length === characters && !values.includes(-1)) {
    for (let i = 0; i < recoveryBytes; i++) secret[i] = Number.parseInt(digits.slice(i * 8, i * 8 + 8), 2)
    if (digits.slice(recoveryBytes * 8) === checkBits(secret)) return secret
  }
  throw new WrongKeyError(
    `this is not a recovery phrase as it was printed (nine groups of four letters and digits): look for a typing error`,
  )
}

function bitsOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
}

function checkBits(secret: Uint8Array): string {
  return bitsOf(createHash('sha256').update('hedgerow recovery 1').update(secret).digest()).slice(0, 20)
}
