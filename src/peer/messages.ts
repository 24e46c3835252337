/**
 * Every message between nodes: its encoding (CBOR lists that begin with the message's name) and its only decoder; the
 * fields are in message-types.ts. Ids and hashes that are hex in memory travel as bytes. docs/protocol.md describes the same, for people.
 */
import { encode } from 'cborg'
import { limits, type NodeId, type SiteId } from '../model/index.ts'
import type { DocumentState, SignedTip, Tip } from '../store/index.ts'
import { peerLimits } from './constants.ts'
import {
  refusals,
  type GossipMessage,
  type HelloMessage,
  type JoinMessage,
  type KnownMember,
  type MembersMessage,
  type PullMessage,
  type Refusal,
  type StateMessage,
  type StateReport,
} from './message-types.ts'
import { networkLimits } from './network/types.ts'
import * as check from './shape.ts'
import { usableAddresses } from './usable-addresses.ts'

export type * from './message-types.ts'

const { refuse } = check

// ---------------------------------------------------------------------------------------------- encoding

export function encodeHello(message: HelloMessage): Uint8Array {
  if (message.kind === 'ready') return encode(['ready'])
  if (message.kind === 'refused') return encode(['refused', message.reason])
  const { site, node, run, certificate, addresses, order, members } = message
  return encode(['hello', peerLimits.version, site, node, run, certificate, addresses, order, unhex(members)])
}

export function encodeJoin(message: JoinMessage): Uint8Array {
  switch (message.kind) {
    case 'introduce':
      return encode(['introduce', message.certificate])
    case 'redeem':
      return encode(['redeem', message.token, message.name])
    case 'entries':
      return encode(['entries', message.entries])
    case 'welcome':
      return encode(['welcome', message.addresses, message.records])
    case 'refused':
      return encode(['refused', message.reason])
  }
}

export function encodeMembers(message: MembersMessage): Uint8Array {
  switch (message.kind) {
    case 'digest':
      return encode(['digest', unhex(message.digest), knownOut(message.known)])
    case 'same':
      return encode(['same', knownOut(message.known)])
    case 'keys':
      return encode(['keys', message.keys.map(unhex), knownOut(message.known)])
    case 'entries':
      return encode(['entries', message.entries])
    case 'wanted':
      return encode(['wanted', message.keys.map(unhex)])
  }
}

export function encodeState(message: StateMessage): Uint8Array {
  switch (message.kind) {
    case 'states':
      return encode(['states', message.states.map(reportOut)])
    case 'listed':
      return encode(['listed'])
    case 'ask':
      return encode(['ask', message.ids])
    case 'answer':
      return encode(['answer', message.states.map(reportOut), message.last])
  }
}

export function encodePull(message: PullMessage): Uint8Array {
  switch (message.kind) {
    case 'pull': {
      const have = message.have.map(({ actor, seq, hash }) => [unhex(actor), seq, unhex(hash)])
      return encode(['pull', message.document, have, message.seal])
    }
    case 'absent':
      return encode(['absent'])
    case 'changes':
      return encode(['changes', message.tips.map(signedOut), message.lengths])
    case 'seal':
      return encode(['seal', message.length, message.signature, message.tipSignature])
    case 'parts':
      return encode(['parts', message.from])
  }
}

export function encodeGossip(message: GossipMessage): Uint8Array {
  if (message.kind === 'tips') return encode(['tips', message.document, message.tips.map(tipOut)])
  const { document, changes, tips } = message.changes
  return encode(['changes', document, changes, tips.map(signedOut)])
}

/** Estimated bytes of a report in a message: what pages are filled by. */
export function reportBytes({ id, tips }: StateReport): number {
  return 48 + 3 * id.length + 96 * tips.length
}

export function reportOf(state: DocumentState): StateReport {
  const { id, tips, seal, settled } = state
  return seal === undefined ? { id, tips, settled } : { id, tips, settled, seal }
}

function unhex(text: string): Uint8Array {
  return Buffer.from(text, 'hex')
}

function knownOut(known: readonly KnownMember[]): unknown {
  return known.map(({ node, addresses }) => [node, addresses])
}

function tipOut({ actor, seq, hash, records, bytes }: Tip): unknown[] {
  return [unhex(actor), seq, unhex(hash), records, bytes]
}

function signedOut(tip: SignedTip): unknown[] {
  return [...tipOut(tip), tip.signature]
}

function reportOut({ id, tips, seal, settled }: StateReport): unknown {
  return [id, tips.map(tipOut), seal === undefined ? null : unhex(seal), settled]
}

// ---------------------------------------------------------------------------------------------- decoding

/** Longest token of an invite, site id and reason of a refusal, bytes or characters. */
const tokenBytes = 64
const siteChars = 32
const reasonChars = 300

/** Throws `RefusedError` as all decoders here; a hello of another version decodes as `refused: version`. */
export function decodeHello(bytes: Uint8Array): HelloMessage {
  const [name, items] = named(bytes, 'hello')
  if (name === 'ready') return { kind: 'ready' }
  if (name === 'refused') return { kind: 'refused', reason: refusalIn(items[1]) }
  if (name !== 'hello') return refuse('hello', 'another message was expected')
  if (items[1] !== peerLimits.version) return { kind: 'refused', reason: 'version' }
  const [, , site, node, run, certificate, addresses, order, members] = check.asTuple(items, 'hello', 9)
  const sender = check.asNode(node, 'hello node')
  return {
    kind: 'hello',
    site: check.asText(site, 'hello site', siteChars) as SiteId,
    node: sender,
    run: check.asRun(run, 'hello run'),
    certificate: check.asBytes(certificate, 'hello certificate', limits.memberBytes),
    addresses: addressesIn(addresses, sender),
    order: check.asCount(order, 'hello order'),
    members: check.asHex(members, 'hello members digest', 32),
  }
}

export function decodeJoin(bytes: Uint8Array): JoinMessage {
  const [name, items] = named(bytes, 'join')
  switch (name) {
    case 'introduce':
      return { kind: 'introduce', certificate: check.asBytes(items[1], 'inviter certificate', limits.memberBytes) }
    case 'redeem':
      return {
        kind: 'redeem',
        token: check.asBytes(items[1], 'invite token', tokenBytes),
        // With room: a name that is too long is answered with the reason.
        name: check.asText(items[2], 'name of the joining node', 4 * limits.nameChars),
      }
    case 'entries':
      return { kind: 'entries', entries: entriesIn(items[1]) }
    case 'welcome':
      return {
        kind: 'welcome',
        addresses: addressesIn(items[1], undefined),
        records: check.asCount(items[2], 'records of the site'),
      }
    case 'refused':
      return { kind: 'refused', reason: check.asText(items[1], 'reason of a refusal', reasonChars) }
    default:
      return refuse('join', 'an unknown message')
  }
}

export function decodeMembers(bytes: Uint8Array): MembersMessage {
  const [name, items] = named(bytes, 'members')
  switch (name) {
    case 'digest':
      return { kind: 'digest', digest: check.asHex(items[1], 'members digest', 32), known: knownIn(items[2]) }
    case 'same':
      return { kind: 'same', known: knownIn(items[1]) }
    case 'keys':
      return { kind: 'keys', keys: keysIn(items[1]), known: knownIn(items[2]) }
    case 'entries':
      return { kind: 'entries', entries: entriesIn(items[1]) }
    case 'wanted':
      return { kind: 'wanted', keys: keysIn(items[1]) }
    default:
      return refuse('members', 'an unknown message')
  }
}

export function decodeState(bytes: Uint8Array): StateMessage {
  const [name, items] = named(bytes, 'state')
  switch (name) {
    case 'states':
      return { kind: 'states', states: reportsIn(items[1]) }
    case 'listed':
      return { kind: 'listed' }
    case 'ask': {
      const ids = check.asArray(items[1], 'asked documents', peerLimits.idsPerAsk)
      return { kind: 'ask', ids: ids.map((id) => check.asDocument(id, 'asked document')) }
    }
    case 'answer':
      return { kind: 'answer', states: reportsIn(items[1]), last: check.asFlag(items[2], 'end of an answer') }
    default:
      return refuse('state', 'an unknown message')
  }
}

export function decodePull(bytes: Uint8Array): PullMessage {
  const [name, items] = named(bytes, 'pull')
  switch (name) {
    case 'pull':
      return {
        kind: 'pull',
        document: check.asDocument(items[1], 'pulled document'),
        have: check.asArray(items[2], 'held tips', peerLimits.tipsPerState).map((item) => {
          const [actor, seq, hash] = check.asTuple(item, 'held tip', 3)
          return {
            actor: check.asActor(actor, 'actor of a held tip'),
            seq: check.asCount(seq, 'sequence of a held tip'),
            hash: check.asHash(hash, 'hash of a held tip'),
          }
        }),
        seal: check.asFlag(items[3], 'wish for the seal'),
      }
    case 'absent':
      return { kind: 'absent' }
    case 'changes':
      return { kind: 'changes', tips: signedIn(items[1]), lengths: lengthsIn(items[2]) }
    case 'seal':
      return {
        kind: 'seal',
        length: check.asCount(items[1], 'length of a seal', limits.sealedBytes),
        signature: check.asBytes(items[2], 'signature of a seal', 64),
        tipSignature: check.asBytes(items[3], 'tip signature of a seal', 64),
      }
    case 'parts':
      return { kind: 'parts', from: check.asCount(items[1], 'first part', limits.sealedBytes / limits.sealPartBytes) }
    default:
      return refuse('pull', 'an unknown message')
  }
}

export function decodeGossip(bytes: Uint8Array): GossipMessage {
  const [name, items] = named(bytes, 'gossip')
  if (name === 'tips')
    return {
      kind: 'tips',
      document: check.asDocument(items[1], 'announced document'),
      tips: ascending(check.asArray(items[2], 'announced tips', peerLimits.tipsPerState).map(tipIn)),
    }
  if (name !== 'changes') return refuse('gossip', 'an unknown message')
  const changes = check.asArray(items[2], 'changes', limits.journalChanges)
  return {
    kind: 'changes',
    changes: {
      document: check.asDocument(items[1], 'document of changes'),
      changes: changes.map((change) => check.asBytes(change, 'change', networkLimits.gossipBytes)),
      tips: signedIn(items[3]),
    },
  }
}

function named(bytes: Uint8Array, what: string): readonly [name: string, items: readonly unknown[]] {
  if (bytes.length > networkLimits.messageBytes) return refuse(what, `a message of ${bytes.length} bytes`)
  const items = check.asArray(check.decodeCbor(bytes, what), what, 16)
  return [check.asText(items[0], `${what} message's name`, 16), items]
}

function refusalIn(value: unknown): Refusal {
  return refusals.find((reason) => reason === value) ?? 'not-a-member'
}

/** Addresses that cannot be dialled, or belong to another node, are left out: they cost the others nothing. */
function addressesIn(value: unknown, node: NodeId | undefined): string[] {
  const addresses = check.asArray(value, 'addresses', peerLimits.helloAddresses)
  return usableAddresses(
    node,
    addresses.map((item) => check.asText(item, 'address', peerLimits.addressChars)),
  )
}

function knownIn(value: unknown): KnownMember[] {
  return check.asArray(value, 'known members', peerLimits.sharedMembers).map((item) => {
    const [id, addresses] = check.asTuple(item, 'known member', 2)
    const node = check.asNode(id, 'known member')
    return { node, addresses: addressesIn(addresses, node) }
  })
}

function keysIn(value: unknown): string[] {
  return check.asArray(value, 'members keys', limits.members).map((key) => check.asHex(key, 'members key', 32))
}

function entriesIn(value: unknown): Uint8Array[] {
  return check
    .asArray(value, 'members entries', limits.members)
    .map((entry) => check.asBytes(entry, 'members entry', limits.memberBytes))
}

function tipIn(value: unknown): Tip {
  const [actor, seq, hash, records, bytes] = check.asTuple(value, 'tip', 5)
  return {
    actor: check.asActor(actor, 'actor of a tip'),
    seq: check.asCount(seq, 'sequence of a tip'),
    hash: check.asHash(hash, 'hash of a tip'),
    records: check.asCount(records, 'records of a tip'),
    bytes: check.asCount(bytes, 'bytes of a tip'),
  }
}

function signedIn(value: unknown): SignedTip[] {
  const tips = check.asArray(value, 'signed tips', peerLimits.tipsPerState).map((item) => {
    const parts = check.asTuple(item, 'signed tip', 6)
    return { ...tipIn(parts.slice(0, 5)), signature: check.asBytes(parts[5], 'signature of a tip', 64) }
  })
  return ascending(tips)
}

/** Comparison of tips walks two sorted lists: a list that is not sorted by actor, each once, is refused. */
function ascending<T extends Tip>(tips: T[]): T[] {
  for (let i = 1; i < tips.length; i++)
    if ((tips[i - 1] as T).actor >= (tips[i] as T).actor) refuse('tips', 'not sorted by actor')
  return tips
}

function reportsIn(value: unknown): StateReport[] {
  return check.asArray(value, 'states', peerLimits.statesPerMessage).map((item) => {
    const [id, tips, seal, settled] = check.asTuple(item, 'state', 4)
    const report = {
      id: check.asDocument(id, 'document of a state'),
      tips: ascending(check.asArray(tips, 'tips of a state', peerLimits.tipsPerState).map(tipIn)),
      settled: check.asFlag(settled, 'whether a document is settled'),
    }
    return seal === null ? report : { ...report, seal: check.asHex(seal, 'seal of a state', 32) }
  })
}

function lengthsIn(value: unknown): number[] {
  const lengths = check
    .asArray(value, 'lengths of changes', peerLimits.changesPerTransfer)
    .map((length) => check.asCount(length, 'length of a change', limits.changeBytes))
  const sum = lengths.reduce((total, length) => total + length, 0)
  return sum <= limits.documentBytes ? lengths : refuse('pull', `changes of ${sum} bytes`)
}
