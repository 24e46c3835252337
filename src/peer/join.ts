/**
 * How a node becomes a member: it opens `join` with the node that invited it, which introduces itself by its certificate;
 * only to the inviter named in the invite, proved up to the site id, is the token shown. The answer is the members set.
 */
import {
  HedgerowError,
  InvalidInputError,
  limits,
  NetworkError,
  NotAllowedError,
  RefusedError,
  type NodeId,
  type SiteId,
} from '../model/index.ts'
import { inspectEntry, issueCertificate, type MembersSet, type Role, type Signer, type Store } from '../store/index.ts'
import { peerLimits, protocols } from './constants.ts'
import type { PeerLog } from './context.ts'
import type { Invite } from './invite-code.ts'
import type { Invites } from './invites.ts'
import { closeOnAbort, Mailbox } from './mailbox.ts'
import { entryPages } from './members-exchange.ts'
import { decodeJoin, encodeJoin } from './messages.ts'
import type { Network } from './network/types.ts'
import { usableAddresses } from './usable-addresses.ts'

export interface Redeemed {
  /** The members set of the site, the new certificate in it. */
  readonly entries: readonly Uint8Array[]
  readonly inviter: NodeId
  /** Where the inviter can be reached. */
  readonly addresses: readonly string[]
  /** Records that are coming. */
  readonly records: number
}

export interface RedeemOptions {
  /** Started, with the pre-shared key of the invite. */
  readonly network: Network
  readonly invite: Invite
  /** The name that this gateway wants, for people. */
  readonly name: string
  readonly signal: AbortSignal
}

/**
 * Redeems an invite at the node that made it. Throws `InvalidInputError` if the name is too long, `NetworkError` if it
 * cannot be reached, `RefusedError` if another node answers or does not prove itself, `NotAllowedError` with the
 * inviter's reason if it does not take the invite.
 */
export async function redeemInvite({ network, invite, name: given, signal }: RedeemOptions): Promise<Redeemed> {
  const name = given.normalize('NFC')
  if (name.length === 0 || name.length > limits.nameChars)
    throw new InvalidInputError(`a gateway's name has 1 to ${limits.nameChars} characters, not ${name.length}`)
  const usable = usableAddresses(invite.inviter, invite.addresses)
  // Without any, what is wrong with them is what the caller is told.
  const node = await network.connect(usable.length > 0 ? usable : invite.addresses, { signal })
  if (node !== invite.inviter)
    throw new RefusedError(`${node} answers at the addresses of the invite, not ${invite.inviter} who made it`)
  const outgoing = new Mailbox<Uint8Array>(1)
  using _ = closeOnAbort(outgoing, signal)
  const entries: Uint8Array[] = []
  let introduced = false
  let bytes = 0
  for await (const message of network.open(node, protocols.join, outgoing, { signal })) {
    const answer = decodeJoin(message)
    bytes += message.length
    if (bytes > joinBytes) throw new RefusedError(`${node} sends more than ${joinBytes} bytes of members`)
    if (answer.kind === 'refused') throw new NotAllowedError(answer.reason)
    if (!introduced) {
      if (answer.kind !== 'introduce') throw new RefusedError(`${node} did not introduce itself`)
      checkIntroduction(answer.certificate, invite.site, node)
      introduced = true
      outgoing.put(encodeJoin({ kind: 'redeem', token: invite.token, name }))
      outgoing.close()
    } else if (answer.kind === 'entries') {
      entries.push(...answer.entries)
    } else if (answer.kind === 'welcome') {
      checkWelcome(entries, invite.site, network.node)
      return { entries, inviter: node, addresses: answer.addresses, records: answer.records }
    } else throw new RefusedError(`${node} answered something else than the members of the site`)
  }
  throw new NetworkError(`${node} ended the connection before this node was a member: try again`)
}

/** Bytes of a members set as it is handed over; as many entries as `limits.members` of a usual size. */
const joinBytes = 67_108_864

function checkIntroduction(entry: Uint8Array, site: SiteId, node: NodeId): void {
  const { certificate } = inspectEntry(entry)
  if (certificate === undefined || certificate.site !== site || certificate.node !== node)
    throw new RefusedError(`${node} did not prove that it belongs to site ${site}: the token was not shown to it`)
}

function checkWelcome(entries: readonly Uint8Array[], site: SiteId, node: NodeId): void {
  const mine = entries.some((entry) => {
    const { certificate } = inspectEntry(entry)
    return certificate?.site === site && certificate.node === node
  })
  if (!mine) throw new RefusedError('the inviting node sent no certificate for this node')
}

/** The inviting side. */
export async function* answerJoin(
  parts: {
    readonly store: Store
    readonly invites: Invites
    readonly signer: Signer
    readonly addresses: readonly string[]
    readonly nowUs: number
    readonly log: PeerLog
  },
  from: NodeId,
  incoming: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const { store, log } = parts
  const { members } = store
  const certificate = members.certificateEntry(parts.signer.node)
  if (certificate === undefined) throw new NotAllowedError('this node has no certificate to introduce itself with')
  yield encodeJoin({ kind: 'introduce', certificate })
  const { value, done } = await incoming[Symbol.asyncIterator]().next()
  if (done === true) throw new RefusedError('the join ended early')
  const request = decodeJoin(value)
  if (request.kind !== 'redeem') throw new RefusedError(`${from} sent no token`)
  try {
    await redeem(parts, from, request.token, request.name)
  } catch (error) {
    if (!(error instanceof HedgerowError)) throw error
    log('warn', 'a join was refused', { node: from, reason: error.message })
    yield encodeJoin({ kind: 'refused', reason: error.message.slice(0, 300) })
    return
  }
  for (const entries of entryPages(members, members.keys())) yield encodeJoin({ kind: 'entries', entries })
  const { records } = await store.totals()
  const addresses = parts.addresses.slice(0, peerLimits.helloAddresses)
  yield encodeJoin({ kind: 'welcome', addresses, records })
}

async function redeem(
  { store, invites, signer, nowUs, log }: Parameters<typeof answerJoin>[0],
  node: NodeId,
  token: Uint8Array,
  name: string,
): Promise<void> {
  let entry: Uint8Array | undefined
  const { role } = await invites.redeem(token, node, nowUs, (role) => {
    // Before the token is used: a name or a right that does not do must not cost it.
    entry = isCertified(store.members, node, role, nowUs)
      ? undefined
      : issueCertificate(signer, store.members, { node, name, role })
  })
  if (entry === undefined) return
  await store.members.add([entry])
  log('info', 'a node joined', { node, name, role })
}

/** Asked again after a lost answer: the certificate that the node got then is still good. */
function isCertified(members: MembersSet, node: NodeId, role: Role, nowUs: number): boolean {
  const known = members.member(node)
  if (known === undefined || known.adopted || known.revoked || known.certificate.role !== role) return false
  return known.certificate.expires === undefined || known.certificate.expires > nowUs
}
