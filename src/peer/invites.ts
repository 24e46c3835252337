import { createHash, timingSafeEqual } from 'node:crypto'
import { LimitError, InvalidInputError, RefusedError, type NodeId, type Random, type TimeUs } from '../model/index.ts'
import type { Role, SideTable } from '../store/index.ts'

export const inviteLimits = {
  /** Invites that may be open at once: each is a way into the site, and every redemption looks at all. */
  open: 64,
  /** Invites remembered, open or not: enough to say why an old code does not work. */
  remembered: 256,
  /** How long a used or expired invite is remembered past its expiry, µs: 7 days. */
  rememberedUs: 604_800_000_000,
} as const

/** One-time tokens have 16 bytes: 128 bits cannot be guessed. */
export const tokenBytes = 16

export interface Redemption {
  readonly role: Role
  /** The same node has redeemed this token before: its answer was lost on the way. */
  readonly again: boolean
}

/** The invites that this node made. Only it redeems them. Kept in the store, tokens as their hashes. */
export interface Invites {
  /** Makes a token and stores its hash with fsync. Throws `LimitError` while `inviteLimits.open` others are open. */
  create(request: { readonly role: Role; readonly expires: TimeUs; readonly nowUs: TimeUs }): Promise<Uint8Array>
  /**
   * Uses a token for a node. Resolves after the use was written with fsync, with the same answer however often the same
   * node asks. Throws `RefusedError` if the token is unknown, expired, or used by another node, and what `check` throws,
   * which is given the role before the token is used: then it is not.
   */
  redeem(token: Uint8Array, node: NodeId, nowUs: TimeUs, check?: (role: Role) => void): Promise<Redemption>
  /** Number of invites that are neither used nor expired. */
  open(nowUs: TimeUs): Promise<number>
}

export function openInvites(side: SideTable, random: Random): Invites {
  return new StoredInvites(side, random)
}

/** As stored under `peer/invite/<SHA-256 of the token>`. */
interface StoredInvite {
  readonly role: Role
  readonly expires: TimeUs
  readonly usedBy?: NodeId
}

const namePrefix = 'peer/invite/'

class StoredInvites implements Invites {
  readonly #side: SideTable
  readonly #random: Random
  /** One task after the other: two nodes with one token must not both find it unused. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(side: SideTable, random: Random) {
    this.#side = side
    this.#random = random
  }

  create({ role, expires, nowUs }: { role: Role; expires: TimeUs; nowUs: TimeUs }): Promise<Uint8Array> {
    return this.#alone(async () => {
      if (expires <= nowUs) throw new InvalidInputError('an invite cannot expire in the past: is the clock right?')
      const invites = await this.#forget(await this.#all(), nowUs)
      if (countOpen(invites, nowUs) >= inviteLimits.open)
        throw new LimitError(
          `${inviteLimits.open} invites are open, the most at once: wait until one is used or expires`,
        )
      const token = this.#random.bytes(tokenBytes)
      await this.#side.put(namePrefix + hashOf(token).toString('hex'), { role, expires })
      return token
    })
  }

  redeem(
    token: Uint8Array,
    node: NodeId,
    nowUs: TimeUs,
    check: (role: Role) => void = () => undefined,
  ): Promise<Redemption> {
    return this.#alone(async () => {
      const found = find(await this.#all(), token)
      if (found === undefined)
        throw new RefusedError('this node did not make this invite: only the node that made it can redeem it')
      const [name, invite] = found
      if (invite.usedBy !== undefined) {
        if (invite.usedBy !== node) throw new RefusedError('this invite was used by another node: ask for a new one')
        check(invite.role)
        return { role: invite.role, again: true }
      }
      if (invite.expires <= nowUs) throw new RefusedError('this invite has expired: ask for a new one')
      check(invite.role)
      await this.#side.put(name, { ...invite, usedBy: node })
      return { role: invite.role, again: false }
    })
  }

  open(nowUs: TimeUs): Promise<number> {
    return this.#alone(async () => countOpen(await this.#all(), nowUs))
  }

  #alone<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#last.then(task)
    // The failure is the caller's; the next task starts afresh.
    this.#last = done.catch(() => undefined)
    return done
  }

  async #all(): Promise<Map<string, StoredInvite>> {
    const invites = new Map<string, StoredInvite>()
    for await (const [name, value] of this.#side.entries(namePrefix)) invites.set(name, value as StoredInvite)
    return invites
  }

  /** Drops what is long over, and the oldest of what is over beyond the number that is remembered. */
  async #forget(invites: Map<string, StoredInvite>, nowUs: TimeUs): Promise<Map<string, StoredInvite>> {
    const over = [...invites]
      .filter(([, invite]) => !isOpen(invite, nowUs))
      .sort(([, a], [, b]) => b.expires - a.expires)
    const room = inviteLimits.remembered - inviteLimits.open
    const dropped = over.filter(([, { expires }], i) => i >= room || expires + inviteLimits.rememberedUs <= nowUs)
    for (const [name] of dropped) {
      await this.#side.delete(name)
      invites.delete(name)
    }
    return invites
  }
}

function isOpen(invite: StoredInvite, nowUs: TimeUs): boolean {
  return invite.usedBy === undefined && invite.expires > nowUs
}

function countOpen(invites: ReadonlyMap<string, StoredInvite>, nowUs: TimeUs): number {
  return [...invites.values()].filter((invite) => isOpen(invite, nowUs)).length
}

/** Compares with every invite in constant time each: how long it takes says nothing about a guess. */
function find(
  invites: ReadonlyMap<string, StoredInvite>,
  token: Uint8Array,
): readonly [string, StoredInvite] | undefined {
  const hash = hashOf(token)
  const matches = [...invites].filter(([name]) => {
    const known = Buffer.from(name.slice(namePrefix.length), 'hex')
    return known.length === hash.length && timingSafeEqual(known, hash)
  })
  return matches[0]
}

function hashOf(token: Uint8Array): Buffer {
  return createHash('sha256').update('hedgerow invite 1').update(token).digest()
}
