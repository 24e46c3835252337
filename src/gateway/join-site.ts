import { NetworkError, NotAllowedError, type Clock, type Random } from '../model/index.ts'
import {
  createNodeKey,
  createLibp2pNetwork,
  decodeInvite,
  redeemInvite,
  type Identity,
  type Invite,
  type Network,
  type NodeKey,
} from '../peer/index.ts'
import { inspectEntry, type StoreLog } from '../store/index.ts'
import type { SiteChange } from './site-change.ts'

export interface JoinOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: StoreLog
  readonly signal: AbortSignal
  /** A started network to reach the inviter by; a libp2p one of its own when left out. */
  readonly network?: Network
}

export interface Joined extends SiteChange {
  readonly inviterName: string
  /** Records that are coming. */
  readonly coming: number
}

/** How long the inviter may take to answer, ms. */
const redeemMs = 30_000

/**
 * Redeems an invite at the node that made it. `key` is this node's own, kept when it moves from one site to another: its
 * journals stay its own; a new one when left out.
 */
export async function redeem(
  code: string,
  name: string,
  options: JoinOptions,
  key: NodeKey = createNodeKey(options.random),
): Promise<Joined> {
  const invite = decodeInvite(code)
  if (invite.inviter === key.node)
    throw new NotAllowedError('this node made this invite itself: use it on another gateway')
  const { entries, inviter, addresses, records } = await withNetwork(invite, key, options, (network, signal) =>
    redeemInvite({ network, invite, name, signal }),
  )
  const certificates = entries.filter((entry) => inspectEntry(entry).certificate?.node === key.node)
  const inviterName = entries
    .map((entry) => inspectEntry(entry).certificate)
    .findLast((certificate) => certificate?.node === inviter)?.name
  const { node, publicKey, privateSeed } = key
  const identity: Identity = {
    node,
    publicKey,
    privateSeed,
    site: invite.site,
    psk: invite.psk,
    name,
    entries: certificates,
  }
  return {
    identity,
    entries,
    addresses: [...new Set([...addresses, ...invite.addresses])],
    inviter,
    inviterName: inviterName ?? inviter,
    coming: records,
  }
}

async function withNetwork<T>(
  invite: Invite,
  key: NodeKey,
  { clock, random, log, signal, network }: JoinOptions,
  use: (network: Network, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = new AbortController()
  const timer = clock.setTimer(
    () =>
      timeout.abort(
        new NetworkError(
          `the inviting node did not answer within ${redeemMs / 1000} s: does it run, and can this machine reach ${invite.addresses.join(', ') || 'it'}?`,
        ),
      ),
    redeemMs,
  )
  const both = AbortSignal.any([signal, timeout.signal])
  try {
    if (network !== undefined) return await use(network, both)
    await using own = createLibp2pNetwork({
      privateSeed: key.privateSeed,
      psk: invite.psk,
      listen: [],
      mdns: undefined,
      log,
      clock,
      random,
    })
    await own.start()
    return await use(own, both)
  } catch (error) {
    timeout.signal.throwIfAborted()
    throw error
  } finally {
    timer.cancel()
  }
}
