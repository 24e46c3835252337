import { createHash } from 'node:crypto'
import {
  actorPrefixOf,
  DamagedError,
  limits,
  RefusedError,
  type ActorId,
  type NodeId,
  type SiteId,
} from '../../model/index.ts'
import { decodeEntry, keyOf, type Entry } from './entry.ts'
import type { Member, MembersSet } from './types.ts'
import { verifyEntry } from './verify.ts'
import { adoptedSites, viewOf, type MembersView } from './view.ts'

export interface MembersOptions {
  readonly site: SiteId
  /** All stored entries, in any order. */
  readonly load: () => AsyncIterable<readonly [key: string, bytes: Uint8Array]>
  /** Writes entries in one batch with fsync. */
  readonly save: (entries: readonly (readonly [key: string, bytes: Uint8Array])[]) => Promise<void>
  /**
   * Called for each stored entry that cannot be read; it is then left out until a peer or a vault hands it in again.
   * Without it, opening throws `DamagedError`.
   */
  readonly onDamaged?: (key: string, reason: string) => void
}

/**
 * Opens the members set of one site over what is stored. Entries are compared with their keys, not verified again: they
 * were before they were stored.
 */
export async function openMembersSet(options: MembersOptions): Promise<MembersSet> {
  const entries = new Map<string, Entry>()
  const onDamaged =
    options.onDamaged ??
    ((key: string, reason: string): void => {
      throw new DamagedError(`members entry ${key} of the store ${reason}: restore it from a vault or a peer`)
    })
  for await (const [key, bytes] of options.load()) {
    if (keyOf(bytes) !== key) {
      onDamaged(key, 'is damaged')
      continue
    }
    try {
      entries.set(key, decodeEntry(bytes))
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error
      onDamaged(key, `cannot be read by this release (${error.message})`)
    }
  }
  // Entries of an adopted site whose adoption was damaged wait outside until it is back.
  const sites = new Set(adoptedSites(options.site, entries.values()))
  for (const { key, statement } of entries.values()) {
    if (sites.has(statement.site)) continue
    entries.delete(key)
    onDamaged(key, `belongs to site ${statement.site}, which is neither this one nor adopted by it`)
  }
  return new Members(options, entries)
}

class Members implements MembersSet {
  readonly site: SiteId
  readonly #save: MembersOptions['save']
  readonly #entries: Map<string, Entry>
  readonly #nodes = new Map<string, NodeId>()
  readonly #listeners = new Set<() => void>()
  #view: MembersView | undefined
  #keys: readonly string[] | undefined
  #digest: string | undefined
  /** Adds run one after the other. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: MembersOptions, entries: Map<string, Entry>) {
    this.site = options.site
    this.#save = options.save
    this.#entries = entries
    for (const entry of entries.values()) this.#learnNode(entry)
  }

  digest(): string {
    if (this.#digest === undefined) {
      const hash = createHash('sha256')
      for (const key of [...this.#entries.keys()].sort()) hash.update(key, 'hex')
      this.#digest = hash.digest('hex')
    }
    return this.#digest
  }

  /** Adoptions first, nearest site first: a set that takes entries in this order refuses none of them. */
  keys(): readonly string[] {
    if (this.#keys === undefined) {
      const rank = new Map(adoptedSites(this.site, this.#entries.values()).map((site, i) => [site, i]))
      const rankOf = ({ statement }: Entry): number =>
        statement.kind === 'adoption' ? (rank.get(statement.site) ?? rank.size) : rank.size
      this.#keys = [...this.#entries.values()]
        .sort((a, b) => rankOf(a) - rankOf(b) || (a.key < b.key ? -1 : 1))
        .map(({ key }) => key)
    }
    return this.#keys
  }

  get(key: string): Uint8Array | undefined {
    return this.#entries.get(key)?.bytes
  }

  add(entries: readonly Uint8Array[]): Promise<number> {
    const added = this.#last.then(() => this.#addNow(entries))
    // The failure is the caller's; the next add starts afresh.
    this.#last = added.catch(() => undefined)
    return added
  }

  members(): readonly Member[] {
    return [...this.#read().members.values()].map(({ member }) => member)
  }

  member(node: NodeId): Member | undefined {
    return this.#read().members.get(node)?.member
  }

  certificateEntry(node: NodeId): Uint8Array | undefined {
    return this.#read().members.get(node)?.entry.bytes
  }

  nodeOfActor(actor: ActorId): NodeId | undefined {
    return this.#nodes.get(actor.slice(0, 32))
  }

  mayWrite(node: NodeId): boolean {
    return this.#read().writers.has(node)
  }

  mayAdminister(node: NodeId): boolean {
    return this.#read().admins.has(node)
  }

  revocation(node: NodeId): ReadonlyMap<string, number> | undefined {
    return this.#read().revocations.get(node)
  }

  onChange(listener: () => void): () => void {
    // A wrapper, so that one function added twice is two listeners.
    const own = (): void => listener()
    this.#listeners.add(own)
    return () => this.#listeners.delete(own)
  }

  async #addNow(received: readonly Uint8Array[]): Promise<number> {
    const fresh = new Map<string, Entry>()
    for (const bytes of received) {
      const key = keyOf(bytes)
      if (this.#entries.has(key) || fresh.has(key)) continue
      if (this.#entries.size + fresh.size >= limits.members)
        throw new RefusedError(`the members set is full: it holds at most ${limits.members} entries`)
      fresh.set(key, verifyEntry(bytes))
    }
    if (fresh.size === 0) return 0
    const sites = new Set(adoptedSites(this.site, [...this.#entries.values(), ...fresh.values()]))
    for (const { key, statement } of fresh.values())
      if (!sites.has(statement.site))
        throw new RefusedError(
          `members entry ${key.slice(0, 12)} belongs to site ${statement.site}, not to this site ${this.site}`,
        )
    await this.#save([...fresh.values()].map(({ key, bytes }) => [key, bytes] as const))
    for (const [key, entry] of fresh) {
      this.#entries.set(key, entry)
      this.#learnNode(entry)
    }
    this.#view = this.#keys = this.#digest = undefined
    for (const listener of this.#listeners) listener()
    return fresh.size
  }

  #read(): MembersView {
    return (this.#view ??= viewOf(this.site, [...this.#entries.values()]))
  }

  #learnNode({ statement }: Entry): void {
    if (statement.kind === 'certificate') this.#nodes.set(actorPrefixOf(statement.node), statement.node)
  }
}
