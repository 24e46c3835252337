/**
 * The text of an identity, version 1: JSON `{ version: 1, node, seed, site, psk, name, entries }`; bytes as base64.
 * The same inside the key file and, encrypted, inside an exported copy.
 */
import { DamagedError, limits, parseSiteId, VersionError } from '../../model/index.ts'
import { nodeKeyFromSeed, type Identity } from './key.ts'

/** Bytes of the text, and entries in it: far more than one node's certificates need, and bounds what is read. */
export const identityLimits = { textBytes: 1_048_576, entries: 64 } as const

export function encodeIdentity(identity: Identity): string {
  const { node, site, name } = identity
  const text = JSON.stringify(
    {
      version: 1,
      node,
      seed: base64(identity.privateSeed),
      site,
      psk: base64(identity.psk),
      name,
      entries: identity.entries.map(base64),
    },
    undefined,
    2,
  )
  return `${text}\n`
}

/** Reads an identity's text. `source` names it in errors: `DamagedError`, or `VersionError` for a later format. */
export function decodeIdentity(text: string, source: string): Identity {
  let fields: Record<string, unknown>
  try {
    fields = JSON.parse(text) as Record<string, unknown>
    if (typeof fields !== 'object' || fields === null) throw new TypeError('not an object')
  } catch (cause) {
    throw new DamagedError(`${source} is damaged: it is not JSON. Import an exported copy of the identity`, { cause })
  }
  if (typeof fields.version === 'number' && fields.version > 1)
    throw new VersionError(`${source} has version ${fields.version}: it needs a later release of hedgerow`)
  try {
    const { version, node, site, name, entries } = fields
    if (version !== 1) throw new TypeError('no version')
    if (typeof site !== 'string' || typeof name !== 'string') throw new TypeError('site or name is missing')
    if (name.length > limits.nameChars) throw new TypeError('the name is too long')
    if (!Array.isArray(entries) || entries.length > identityLimits.entries) throw new TypeError('entries')
    const key = nodeKeyFromSeed(bytesOf(fields.seed, 'seed'))
    if (key.node !== node) throw new TypeError('the node id is not that of the key')
    const psk = bytesOf(fields.psk, 'psk')
    if (psk.length !== 32) throw new TypeError('the pre-shared key has not 32 bytes')
    return { ...key, site: parseSiteId(site), psk, name, entries: entries.map((entry) => bytesOf(entry, 'entry')) }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new DamagedError(`${source} is damaged (${reason}): import an exported copy of the identity`, { cause })
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}

/** Buffer's own decoder skips what is not base64: the detour shows it. */
function bytesOf(value: unknown, what: string): Uint8Array {
  if (typeof value !== 'string') throw new TypeError(`${what} is missing`)
  const bytes = Buffer.from(value, 'base64')
  if (bytes.toString('base64') !== value) throw new TypeError(`${what} is not base64`)
  return Uint8Array.from(bytes)
}
