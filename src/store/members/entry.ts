/**
 * The bytes of one entry, version 1: canonical CBOR (RFC 8949, section 4.2.3: shortest form, map keys by length, then
 * bytes) of `{ v: 1, kind, body, chain, signature }`. Keys of nodes are their raw public keys; `chain` is empty when the
 * founder signed, else it holds the `[body, signature]` of the issuing admin's certificate, which the founder signed.
 * Only one encoding of an entry exists: bytes that differ from what this file would write are refused.
 */
import { createHash } from 'node:crypto'
import { decode, encode } from 'cborg'
import {
  limits,
  nodeIdOf,
  parseDocumentId,
  parseSiteId,
  publicKeyOf,
  RefusedError,
  type ActorId,
  type DocumentId,
  type NodeId,
  type SiteId,
} from '../../model/index.ts'
import type { Adoption, Certificate, Revocation, Role } from './types.ts'

export type CertificateStatement = Certificate & { readonly kind: 'certificate' }
export type RevocationStatement = Revocation & {
  readonly kind: 'revocation'
  /** Keys of entries issued by the revoked admin that stay valid. Founder only. */
  readonly keepSignatures: readonly string[]
}
export type AdoptionStatement = Adoption & { readonly kind: 'adoption' }
export type Statement = CertificateStatement | RevocationStatement | AdoptionStatement

export interface Signed<S extends Statement = Statement> {
  readonly statement: S
  readonly signature: Uint8Array
}

/** A certificate in another entry's chain, with the key it has as an entry of its own. */
export interface ChainLink extends Signed<CertificateStatement> {
  readonly key: string
}

export interface Entry extends Signed {
  /** SHA-256 (hex) of `bytes`. */
  readonly key: string
  readonly bytes: Uint8Array
  /** Empty: the issuer is the founder. Else the issuing admin's certificate. */
  readonly chain: readonly ChainLink[]
}

const roles: readonly string[] = ['admin', 'writer', 'reader'] satisfies Role[]

/** Longest chain: the founder signs every admin itself. */
const chainLinks = 1

export function keyOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** What is signed: the canonical CBOR of a context that no other signature of this project has, the kind and the body. */
export function messageOf(statement: Statement): Uint8Array {
  return encode(['hedgerow member 1', statement.kind, bodyOf(statement)])
}

export function encodeEntry(signed: Signed, chain: readonly Signed<CertificateStatement>[]): Uint8Array {
  return encode({
    v: 1,
    kind: signed.statement.kind,
    body: bodyOf(signed.statement),
    chain: chain.map((link) => [bodyOf(link.statement), link.signature]),
    signature: signed.signature,
  })
}

/** One item of a revocation's keep list as it is encoded. */
export function keepItem(item: Revocation['keep'][number]): unknown {
  return [item.document, Buffer.from(item.actor, 'hex'), item.seq]
}

function bodyOf(statement: Statement): Record<string, unknown> {
  const { site } = statement
  const issuer = publicKeyOf(statement.issuer)
  switch (statement.kind) {
    case 'certificate': {
      const { name, role, serial, expires } = statement
      const body = { site, issuer, node: publicKeyOf(statement.node), name, role, serial }
      return expires === undefined ? body : { ...body, expires }
    }
    case 'revocation': {
      const keep = statement.keep.map(keepItem)
      const keepSignatures = statement.keepSignatures.map((key) => Buffer.from(key, 'hex'))
      const body = { site, issuer, node: publicKeyOf(statement.node), keep }
      return keepSignatures.length === 0 ? body : { ...body, keepSignatures }
    }
    case 'adoption':
      return { site, issuer, adopted: statement.adopted }
  }
}

/** Reads one entry from untrusted bytes. Checks form and bounds, no signature. Throws nothing but `RefusedError`. */
export function decodeEntry(received: Uint8Array): Entry {
  if (received.length > limits.memberBytes)
    throw new RefusedError(`a members entry of ${received.length} bytes is over the limit of ${limits.memberBytes}`)
  // A copy: the caller's buffer may be a view of a larger message or be used again.
  const bytes = Uint8Array.from(received)
  const key = keyOf(bytes)
  try {
    const wire = record(decode(bytes, decodeOptions), 'entry')
    if (wire.v !== 1) throw new Error(`version ${String(wire.v)} is not known to this release`)
    const signature = byteString(wire.signature, 64, 'signature')
    const statement = statementOf(wire.kind, record(wire.body, 'body'))
    const chain = list(wire.chain, 'chain', chainLinks).map(linkOf)
    if (Buffer.compare(encodeEntry({ statement, signature }, chain), bytes) !== 0)
      throw new Error('it is not in canonical form')
    return { key, bytes, statement, signature, chain }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new RefusedError(`members entry ${key.slice(0, 12)} is not readable: ${reason}`, { cause })
  }
}

const decodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
}

function linkOf(value: unknown): ChainLink {
  const [body, bytes, ...rest] = list(value, 'chain link', 2)
  if (rest.length > 0) throw new Error('chain link has more than two parts')
  const statement = certificateOf(record(body, 'chain body'))
  const signature = byteString(bytes, 64, 'chain signature')
  return { statement, signature, key: keyOf(encodeEntry({ statement, signature }, [])) }
}

function statementOf(kind: unknown, body: Record<string, unknown>): Statement {
  switch (kind) {
    case 'certificate':
      return certificateOf(body)
    case 'revocation': {
      const keep = list(body.keep, 'keep', limits.memberBytes).map(keptOf)
      const keys = body.keepSignatures === undefined ? [] : list(body.keepSignatures, 'keepSignatures', limits.members)
      const keepSignatures = keys.map((key) => Buffer.from(byteString(key, 32, 'kept signature')).toString('hex'))
      return {
        kind,
        site: siteOf(body.site),
        node: nodeOf(body.node),
        keep,
        keepSignatures,
        issuer: nodeOf(body.issuer),
      }
    }
    case 'adoption':
      return { kind, site: siteOf(body.site), adopted: siteOf(body.adopted), issuer: nodeOf(body.issuer) }
    default:
      throw new Error(`kind ${JSON.stringify(kind)?.slice(0, 40)} is not known to this release`)
  }
}

function certificateOf(body: Record<string, unknown>): CertificateStatement {
  const { name, role } = body
  if (typeof name !== 'string' || nameFault(name) !== undefined) throw new Error('its name is not well formed')
  if (typeof role !== 'string' || !roles.includes(role)) throw new Error('its role is not known')
  const certificate = {
    kind: 'certificate' as const,
    site: siteOf(body.site),
    node: nodeOf(body.node),
    name,
    role: role as Role,
    serial: positive(body.serial, 'serial'),
    issuer: nodeOf(body.issuer),
  }
  return body.expires === undefined ? certificate : { ...certificate, expires: positive(body.expires, 'expires') }
}

/** Says what is wrong with a gateway's name; `undefined` if nothing is. */
export function nameFault(name: string): string | undefined {
  if (name.length === 0 || name.length > limits.nameChars) return `a name has 1 to ${limits.nameChars} characters`
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(name)) return 'a name has no control characters'
  if (name !== name.normalize('NFC') || !name.isWellFormed()) return 'a name is Unicode in form NFC'
  return undefined
}

function keptOf(value: unknown): { document: DocumentId; actor: ActorId; seq: number } {
  const [document, actor, seq, ...rest] = list(value, 'keep item', 3)
  if (typeof document !== 'string' || rest.length > 0) throw new Error('a keep item is not [document, actor, sequence]')
  parseDocumentId(document)
  return {
    document: document as DocumentId,
    actor: Buffer.from(byteString(actor, 24, 'actor')).toString('hex') as ActorId,
    seq: positive(seq, 'sequence'),
  }
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array)
    throw new Error(`its ${what} is not a map`)
  return value as Record<string, unknown>
}

function list(value: unknown, what: string, most: number): unknown[] {
  if (!Array.isArray(value) || value.length > most) throw new Error(`its ${what} is not a list of at most ${most}`)
  return value
}

function byteString(value: unknown, length: number, what: string): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length !== length) throw new Error(`its ${what} has not ${length} bytes`)
  return value
}

function positive(value: unknown, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 1) throw new Error(`its ${what} is not a positive integer`)
  return value as number
}

function siteOf(value: unknown): SiteId {
  if (typeof value !== 'string') throw new Error('its site is not text')
  return parseSiteId(value)
}

function nodeOf(value: unknown): NodeId {
  return nodeIdOf(byteString(value, 32, 'node key'))
}
