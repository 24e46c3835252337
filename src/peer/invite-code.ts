/**
 * An invite as one line of text, version 1: `hedgerow1:` and base64url of site id (20 bytes), pre-shared key (32),
 * one-time token (16), public key of the inviting node (32), expiry (4, minutes since the epoch, big-endian), role (1),
 * then per address its length (1) and binary multiaddr without `/p2p`, and last a checksum (the first 4 bytes of
 * SHA-256 over `hedgerow1:` and all before). It is a secret until it is used or expired.
 */
import { createHash } from 'node:crypto'
import { base32 } from 'multiformats/bases/base32'
import {
  InvalidInputError,
  nodeIdOf,
  parseSiteId,
  publicKeyOf,
  type NodeId,
  type SiteId,
  type TimeUs,
} from '../model/index.ts'
import type { Role } from '../store/index.ts'
import { addressBytes, addressText, rankAddresses } from './invite-addresses.ts'

export interface Invite {
  readonly site: SiteId
  /** The site's pre-shared key, 32 bytes. */
  readonly psk: Uint8Array
  /** One-time token, 16 bytes: shown only to a node that proved a chain to the site id. */
  readonly token: Uint8Array
  /** The only node that redeems the token. */
  readonly inviter: NodeId
  /** Up to the minute, rounded up. */
  readonly expires: TimeUs
  readonly role: Role
  /** Multiaddrs of the inviter; in what `decodeInvite` gives each ends with `/p2p/<inviter>`. */
  readonly addresses: readonly string[]
}

/** Longest code: a line that fits a message, a QR code and four lines of a terminal. */
export const inviteCodeChars = 300

const prefix = 'hedgerow1:'
const roles: readonly Role[] = ['writer', 'admin', 'reader']
const fixedBytes = 20 + 32 + 16 + 32 + 4 + 1
const sumBytes = 4
const usPerMinute = 60_000_000
const addressRoom = Math.floor(((inviteCodeChars - prefix.length) * 3) / 4) - fixedBytes - sumBytes

/** Writes an invite as one line with as many of its addresses as fit: the likeliest to be reached first. */
export function encodeInvite(invite: Invite): string {
  const minutes = Math.ceil(invite.expires / usPerMinute)
  if (!(minutes >= 0 && minutes < 2 ** 32))
    throw new InvalidInputError(`an invite cannot expire at ${invite.expires} µs`)
  if (invite.psk.length !== 32) throw new InvalidInputError(`a pre-shared key has 32 bytes, not ${invite.psk.length}`)
  if (invite.token.length !== 16) throw new InvalidInputError(`a token has 16 bytes, not ${invite.token.length}`)
  const fixed = Buffer.alloc(5)
  fixed.writeUInt32BE(minutes)
  fixed.writeUInt8(roles.indexOf(invite.role), 4)
  const site = base32.baseDecode(parseSiteId(invite.site))
  const parts = [site, invite.psk, invite.token, publicKeyOf(invite.inviter), fixed]
  let room = addressRoom
  for (const bytes of rankAddresses(invite.addresses.map(addressBytes))) {
    if (bytes.length > 255 || bytes.length + 1 > room) continue
    room -= bytes.length + 1
    parts.push(Uint8Array.of(bytes.length), bytes)
  }
  const body = Buffer.concat(parts)
  return prefix + Buffer.concat([body, checksum(body)]).toString('base64url')
}

/**
 * Reads an invite; blanks and line breaks in it do not matter. Throws `InvalidInputError` that says what is wrong. The
 * expiry is not judged: the inviter's clock does that.
 */
export function decodeInvite(text: string): Invite {
  const line = text.slice(0, 4 * inviteCodeChars).replaceAll(/\s/g, '')
  const version = /^hedgerow([0-9]+):/.exec(line)?.[1]
  if (version === undefined)
    throw new InvalidInputError(`this is not an invite: it does not begin with ${prefix}. Copy the whole line`)
  if (version !== '1')
    throw new InvalidInputError(
      `this invite has version ${version.slice(0, 9)}, which this release does not know: install a newer hedgerow here`,
    )
  if (line.length > inviteCodeChars)
    throw new InvalidInputError(`this is not one invite: it has more than ${inviteCodeChars} characters`)
  const code = line.slice(prefix.length)
  const bytes = Buffer.from(code, 'base64url')
  const body = bytes.subarray(0, -sumBytes)
  if (bytes.toString('base64url') !== code || !checksum(body).equals(bytes.subarray(-sumBytes)))
    throw new InvalidInputError('this invite is mistyped or cut off: its checksum is wrong. Copy the whole line again')
  const role = roles[body[fixedBytes - 1] ?? roles.length]
  if (body.length < fixedBytes || role === undefined)
    throw new InvalidInputError('this invite is not complete: make a new one')
  const take = (from: number, length: number): Uint8Array => Uint8Array.from(body.subarray(from, from + length))
  const inviter = nodeIdOf(take(68, 32))
  return {
    site: parseSiteId(base32.baseEncode(take(0, 20))),
    psk: take(20, 32),
    token: take(52, 16),
    inviter,
    expires: body.readUInt32BE(100) * usPerMinute,
    role,
    addresses: addressesOf(body.subarray(fixedBytes)).map((address) => `${address}/p2p/${inviter}`),
  }
}

function addressesOf(bytes: Uint8Array): string[] {
  const addresses: string[] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + (bytes[at] ?? 0)
    if (end > bytes.length) throw new InvalidInputError('this invite is not complete: make a new one')
    addresses.push(addressText(bytes.subarray(at + 1, end)))
    at = end
  }
  return addresses
}

function checksum(body: Uint8Array): Buffer {
  return createHash('sha256').update(prefix).update(body).digest().subarray(0, sumBytes)
}
