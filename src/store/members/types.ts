import type { ActorId, DocumentId, NodeId, SiteId } from '../../model/index.ts'

export type Role = 'admin' | 'writer' | 'reader'

/** What an admin (for admins: the founder) signed about a node. */
export interface Certificate {
  readonly site: SiteId
  readonly node: NodeId
  /** The gateway's name, for people. */
  readonly name: string
  readonly role: Role
  /** Of two certificates of a node the higher serial is shown and used at hello. */
  readonly serial: number
  /** µs since the epoch; checked at hello only. */
  readonly expires?: number
  readonly issuer: NodeId
}

/** What an admin (for admins: the founder) signed to end a membership. `keep`: what of the node's changes stays. */
export interface Revocation {
  readonly site: SiteId
  readonly node: NodeId
  readonly keep: readonly { readonly document: DocumentId; readonly actor: ActorId; readonly seq: number }[]
  readonly issuer: NodeId
}

/** The founder's word that the authors of an earlier site stay authors here (after `restore --new-site`). They cannot connect. */
export interface Adoption {
  readonly site: SiteId
  readonly adopted: SiteId
  readonly issuer: NodeId
}

export interface Member {
  readonly certificate: Certificate
  readonly founder: boolean
  readonly revoked: boolean
  /** Comes from an adopted site: its records count, it cannot connect. */
  readonly adopted: boolean
}

/**
 * Grow-only set of signed certificates, revocations and adoptions. Each entry carries its issuer's chain up to the
 * founder, so it is verified alone, and is keyed by its SHA-256. Held in memory; reads are synchronous.
 */
export interface MembersSet {
  readonly site: SiteId
  /** SHA-256 (hex) over the sorted keys of all entries. */
  digest(): string
  keys(): readonly string[]
  /** The entry's bytes, as received. */
  get(key: string): Uint8Array | undefined
  /** Verifies and stores entries with fsync. Known ones are skipped. Throws `RefusedError` with nothing stored if one does not verify. */
  add(entries: readonly Uint8Array[]): Promise<number>
  members(): readonly Member[]
  member(node: NodeId): Member | undefined
  /** Bytes of the entry with the newest certificate of a node: what it shows at hello. */
  certificateEntry(node: NodeId): Uint8Array | undefined
  /** Which node may sign for this actor: from its first 32 hex digits. Revoked and adopted nodes too. */
  nodeOfActor(actor: ActorId): NodeId | undefined
  /** Whether any certificate of this node ever granted writing (admin or writer); order and time do not matter. */
  mayWrite(node: NodeId): boolean
  mayAdminister(node: NodeId): boolean
  /** Union of all revocations of the node: highest sequence that stays, by `<document>|<actor>`; `undefined` if not revoked. */
  revocation(node: NodeId): ReadonlyMap<string, number> | undefined
  onChange(listener: () => void): () => void
}
