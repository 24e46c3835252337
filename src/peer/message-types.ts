/** What nodes say to each other, as it is in memory. messages.ts has the bytes. */
import type { DocumentId, NodeId, RunId, SiteId } from '../model/index.ts'
import type { ChangeSet, SignedTip, Tip } from '../store/index.ts'
import type { Holding } from './tips.ts'

/** What a node says about itself before anything else. */
export interface Hello {
  readonly site: SiteId
  readonly node: NodeId
  readonly run: RunId
  /** Members entry with the node's newest certificate. */
  readonly certificate: Uint8Array
  readonly addresses: readonly string[]
  /** The sender's clock, µs. */
  readonly order: number
  readonly members: string
}

/** Why a node was not let in. Nothing more is said to it. */
export const refusals = ['version', 'wrong-site', 'not-a-member', 'expired', 'revoked', 'busy'] as const
export type Refusal = (typeof refusals)[number]

export type HelloMessage =
  | ({ readonly kind: 'hello' } & Hello)
  | { readonly kind: 'refused'; readonly reason: Refusal }
  | { readonly kind: 'ready' }

export type JoinMessage =
  | { readonly kind: 'introduce'; readonly certificate: Uint8Array }
  | { readonly kind: 'redeem'; readonly token: Uint8Array; readonly name: string }
  | { readonly kind: 'entries'; readonly entries: readonly Uint8Array[] }
  | { readonly kind: 'welcome'; readonly addresses: readonly string[]; readonly records: number }
  /** Why the invite was not redeemed, for people. */
  | { readonly kind: 'refused'; readonly reason: string }

export interface KnownMember {
  readonly node: NodeId
  readonly addresses: readonly string[]
}

export type MembersMessage =
  | { readonly kind: 'digest'; readonly digest: string; readonly known: readonly KnownMember[] }
  | { readonly kind: 'same'; readonly known: readonly KnownMember[] }
  | { readonly kind: 'keys'; readonly keys: readonly string[]; readonly known: readonly KnownMember[] }
  | { readonly kind: 'entries'; readonly entries: readonly Uint8Array[] }
  | { readonly kind: 'wanted'; readonly keys: readonly string[] }

/** A node's word about one document: what it holds, durably. No tips: nothing. */
export interface StateReport extends Holding {
  readonly id: DocumentId
  readonly settled: boolean
}

export type StateMessage =
  | { readonly kind: 'states'; readonly states: readonly StateReport[] }
  /** The list of open documents is complete; from here on come changes. */
  | { readonly kind: 'listed' }
  | { readonly kind: 'ask'; readonly ids: readonly DocumentId[] }
  /** One part of the answer to the oldest question; `last`: its end. */
  | { readonly kind: 'answer'; readonly states: readonly StateReport[]; readonly last: boolean }

export type PullMessage =
  | {
      readonly kind: 'pull'
      readonly document: DocumentId
      readonly have: readonly Pick<Tip, 'actor' | 'seq' | 'hash'>[]
      readonly seal: boolean
    }
  | { readonly kind: 'absent' }
  /** `lengths` of the changes that follow, joined, in pieces. */
  | { readonly kind: 'changes'; readonly tips: readonly SignedTip[]; readonly lengths: readonly number[] }
  /** The statement of `length` bytes follows in pieces. */
  | {
      readonly kind: 'seal'
      readonly length: number
      readonly signature: Uint8Array
      readonly tipSignature: Uint8Array
    }
  /** All parts of the sealed journal from this index on, one message each. */
  | { readonly kind: 'parts'; readonly from: number }

export type GossipMessage =
  | { readonly kind: 'changes'; readonly changes: ChangeSet }
  | { readonly kind: 'tips'; readonly document: DocumentId; readonly tips: readonly Tip[] }
