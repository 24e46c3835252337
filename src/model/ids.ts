import { createHash } from 'node:crypto'
import { base32 } from 'multiformats/bases/base32'
import { base58btc } from 'multiformats/bases/base58'
import { InvalidInputError } from './errors.ts'
import { limits } from './limits.ts'
import { parseSensorId, type SensorId } from './sensor.ts'

declare const brand: unique symbol
type Branded<B extends string> = string & { readonly [brand]: B }

/** A libp2p PeerId of an Ed25519 key (`12D3Koo…`): the public key can be read from it. */
export type NodeId = Branded<'NodeId'>
/** Lower-case base32 of the first 20 bytes of SHA-256(founder's public key), 32 characters. */
export type SiteId = Branded<'SiteId'>
/** One process run of a node: 9 base-36 digits of start time in ms and 8 hex digits of randomness; sorts by time. */
export type RunId = Branded<'RunId'>
/** `<kind>.<version>[/…]`, the name of an Automerge document; sorts by kind, group, then writer or sensor. */
export type DocumentId = Branded<'DocumentId'>
/** Automerge actor id: 48 hex digits, the first 32 of them from SHA-256(node public key). */
export type ActorId = Branded<'ActorId'>
/** Automerge change hash: SHA-256 of the change, 64 hex digits. */
export type ChangeHash = Branded<'ChangeHash'>
/** Name of a group of sensors: `[a-z0-9_-]{1,32}`. */
export type GroupName = Branded<'GroupName'>

export const defaultGroup: GroupName = 'default' as GroupName

/** libp2p's identity multihash of a protobuf-wrapped Ed25519 key (libp2p peer-ids specification). */
const ed25519Prefix = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)

/** Gives the node id of a raw Ed25519 public key (32 bytes). */
export function nodeIdOf(publicKey: Uint8Array): NodeId {
  if (publicKey.length !== 32)
    throw new InvalidInputError(`an Ed25519 public key has 32 bytes, not ${publicKey.length}`)
  return base58btc.baseEncode(Buffer.concat([ed25519Prefix, publicKey])) as NodeId
}

/** Gives the raw Ed25519 public key (32 bytes) that a node id contains. */
export function publicKeyOf(node: NodeId): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = base58btc.baseDecode(node)
  } catch (cause) {
    throw new InvalidInputError(`${JSON.stringify(node)} is not a node id (12D3Koo…)`, { cause })
  }
  if (bytes.length !== 38 || !ed25519Prefix.every((byte, i) => bytes[i] === byte))
    throw new InvalidInputError(`${JSON.stringify(node)} is not the node id of an Ed25519 key (12D3Koo…)`)
  return bytes.subarray(6)
}

export function parseNodeId(text: string): NodeId {
  publicKeyOf(text as NodeId)
  return text as NodeId
}

/** Gives the id of the site that the owner of this key founds. */
export function siteIdOf(founderPublicKey: Uint8Array): SiteId {
  return base32.baseEncode(createHash('sha256').update(founderPublicKey).digest().subarray(0, 20)) as SiteId
}

export function parseSiteId(text: string): SiteId {
  if (!/^[a-z2-7]{32}$/.test(text))
    throw new InvalidInputError(`${JSON.stringify(text)} is not a site id (32 letters and digits)`)
  return text as SiteId
}

/** Makes a run id from the start time (ms) and 4 random bytes. */
export function makeRunId(startMs: number, random: Uint8Array): RunId {
  return (Math.floor(startMs).toString(36).padStart(9, '0') +
    Buffer.from(random.subarray(0, 4)).toString('hex')) as RunId
}

/** First 16 bytes of SHA-256(node public key) as hex: the part of an actor id that names its only valid signer. */
export function actorPrefixOf(node: NodeId): string {
  return createHash('sha256').update(publicKeyOf(node)).digest('hex').slice(0, 32)
}

/** Makes an actor id of this node for one run and document from 8 random bytes. */
export function makeActorId(node: NodeId, random: Uint8Array): ActorId {
  return (actorPrefixOf(node) + Buffer.from(random.subarray(0, 8)).toString('hex')) as ActorId
}

export function parseGroupName(text: string): GroupName {
  if (!/^[a-z0-9_-]+$/.test(text) || text.length > limits.groupChars)
    throw new InvalidInputError(
      `group name ${JSON.stringify(text)}: use 1 to ${limits.groupChars} of a–z, 0–9, - and _`,
    )
  return text as GroupName
}

export type ParsedDocumentId =
  | {
      readonly kind: 'journal'
      readonly group: GroupName
      readonly node: NodeId
      readonly run: RunId
      readonly number: number
    }
  | { readonly kind: 'amendments'; readonly group: GroupName; readonly sensor: SensorId; readonly day: string }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'policy' }
  /** A kind or version of a later release: stored and forwarded unopened. */
  | { readonly kind: 'unknown' }

export function journalId(group: GroupName, node: NodeId, run: RunId, number: number): DocumentId {
  return `journal.1/${group}/${node}/${run}-${number}` as DocumentId
}

/** `day` is `yyyy-mm-dd` of the record's time in UTC. */
export function amendmentsId(group: GroupName, sensor: SensorId, day: string): DocumentId {
  return `amendments.1/${group}/${sensor}/${day}` as DocumentId
}

export const catalogId: DocumentId = 'catalog.1' as DocumentId
export const policyId: DocumentId = 'policy.1' as DocumentId

/** Longest document id, characters: the longest sensor name with kind, group and day. */
const documentIdChars = 300

/** Reads a document id. Throws `InvalidInputError` where a known kind is misshapen or the text is no document id at all. */
export function parseDocumentId(id: string): ParsedDocumentId {
  if (id.length > documentIdChars || !/^[a-z]+\.[0-9]+(\/[^\u0000-\u001f\u007f\ud800-\udfff]*)?$/.test(id))
    throw new InvalidInputError(`${JSON.stringify(id.slice(0, documentIdChars))} is not a document id`)
  if (id === catalogId) return { kind: 'catalog' }
  if (id === policyId) return { kind: 'policy' }
  if (id.startsWith('journal.1/')) {
    const match = /^journal\.1\/([^/]+)\/([^/]+)\/([0-9a-z]{9}[0-9a-f]{8})-([1-9][0-9]{0,8})$/.exec(id)
    if (match === null) throw new InvalidInputError(`${JSON.stringify(id)} is not a journal's id`)
    const [, group, node, run, number] = match as unknown as [string, string, string, string, string]
    return {
      kind: 'journal',
      group: parseGroupName(group),
      node: parseNodeId(node),
      run: run as RunId,
      number: Number(number),
    }
  }
  if (id.startsWith('amendments.1/')) {
    const match = /^amendments\.1\/([^/]+)\/(.+)\/([0-9]{4}-[0-9]{2}-[0-9]{2})$/u.exec(id)
    if (match === null) throw new InvalidInputError(`${JSON.stringify(id)} is not an amendments document's id`)
    const [, group, sensor, day] = match as unknown as [string, string, string, string]
    return { kind: 'amendments', group: parseGroupName(group), sensor: parseSensorId(sensor), day }
  }
  return { kind: 'unknown' }
}
