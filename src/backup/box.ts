/**
 * The box around every piece of content: AES-256-GCM in an encrypted vault, a checksum in an unencrypted one. The key is
 * one file's own, so the piece's number within the file can be the nonce.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync } from 'node:crypto'
import { fileHeader, headerBytes, type Encryption, type FileType } from './file-header.ts'

export const saltBytes = 32
/** Number of the piece that stands alone or last: a manifest, an index block, the directory of a pack. */
export const lastPiece = 0xff_ff_ff_ff

const tagBytes = 16
const sumBytes = 32

/** What an open vault encrypts with. `undefined`: it is unencrypted. */
export type MasterKey = Buffer | undefined

export interface Box {
  /** Header and salt: the first bytes of the file. */
  readonly prefix: Buffer
  seal(piece: number, plain: Uint8Array): Buffer
  /** `undefined` if the bytes are not what was sealed under this number in this file. */
  open(piece: number, sealed: Uint8Array): Buffer | undefined
}

export const prefixBytes: number = headerBytes + saltBytes

export function makeBox(master: MasterKey, type: FileType, salt: Uint8Array): Box {
  return master === undefined ? checksummed(type, salt) : encrypted(master, type, salt)
}

/** RFC 5869 with SHA-256. */
export function subkey(master: Uint8Array, salt: Uint8Array, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', master, salt, `hedgerow vault 1 ${purpose}`, 32))
}

function encrypted(master: Uint8Array, type: FileType, salt: Uint8Array): Box {
  const key = subkey(master, salt, type)
  const header = fileHeader(type, 'aes-256-gcm')
  return {
    prefix: Buffer.concat([header, salt]),
    seal(piece, plain) {
      const cipher = createCipheriv('aes-256-gcm', key, nonceOf(piece))
      cipher.setAAD(context(header, piece))
      return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
    },
    open(piece, sealed) {
      if (sealed.length < tagBytes) return undefined
      const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(piece), { authTagLength: tagBytes })
      decipher.setAAD(context(header, piece))
      decipher.setAuthTag(sealed.subarray(-tagBytes))
      const plain = decipher.update(sealed.subarray(0, -tagBytes))
      try {
        decipher.final()
      } catch {
        // The one thing `final` can say here: the tag does not fit.
        return undefined
      }
      return plain
    },
  }
}

function checksummed(type: FileType, salt: Uint8Array): Box {
  const header = fileHeader(type, 'none')
  const sum = (piece: number, plain: Uint8Array): Buffer =>
    createHash('sha256').update(context(header, piece)).update(salt).update(plain).digest()
  return {
    prefix: Buffer.concat([header, salt]),
    seal: (piece, plain) => Buffer.concat([plain, sum(piece, plain)]),
    open(piece, sealed) {
      if (sealed.length < sumBytes) return undefined
      const plain = sealed.subarray(0, -sumBytes)
      return sum(piece, plain).equals(sealed.subarray(-sumBytes)) ? Buffer.from(plain) : undefined
    },
  }
}

function nonceOf(piece: number): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUInt32BE(piece, 8)
  return nonce
}

function context(header: Uint8Array, piece: number): Buffer {
  const number = Buffer.alloc(4)
  number.writeUInt32BE(piece)
  return Buffer.concat([header, number])
}

/** Names content within a vault: by its SHA-256, keyed where the vault is encrypted, so that names tell nothing. */
export class PartNames {
  readonly #key: Buffer | undefined

  constructor(master: MasterKey) {
    this.#key = master === undefined ? undefined : subkey(master, new Uint8Array(0), 'part names')
  }

  /** The name of a part of which the SHA-256 is known. */
  ofHash(sha256: Uint8Array): PartId {
    const name = this.#key === undefined ? Buffer.from(sha256) : createHmac('sha256', this.#key).update(sha256).digest()
    return name.toString('latin1') as PartId
  }

  of(plain: Uint8Array): PartId {
    return this.ofHash(createHash('sha256').update(plain).digest())
  }
}

declare const brand: unique symbol
/** 32 bytes as a Latin-1 string: a small key for maps. */
export type PartId = string & { readonly [brand]: 'PartId' }

export function partIdOf(bytes: Uint8Array): PartId {
  return Buffer.from(bytes).toString('latin1') as PartId
}

export function partIdBytes(id: PartId): Buffer {
  return Buffer.from(id, 'latin1')
}

export function encryptionOf(master: MasterKey): Encryption {
  return master === undefined ? 'none' : 'aes-256-gcm'
}
