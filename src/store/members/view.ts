/**
 * What a set of verified entries says. A pure function of the set: no clock, no order of arrival.
 *
 * An entry counts unless its issuer was revoked by a founder (its site's, or ours for an adopted site) that did not name
 * the entry among the signatures that stay. The founder's own entries always count. A revocation by an admin has no
 * effect on a node that holds an admin certificate: only the founder revokes admins.
 */
import type { NodeId, SiteId } from '../../model/index.ts'
import type { CertificateStatement, Entry } from './entry.ts'
import type { Member } from './types.ts'
import { isFounder } from './verify.ts'

export interface MembersView {
  /** By node, sorted by node id; `entry` holds the certificate that is shown. */
  readonly members: ReadonlyMap<NodeId, { readonly member: Member; readonly entry: Entry }>
  readonly writers: ReadonlySet<NodeId>
  readonly admins: ReadonlySet<NodeId>
  readonly revocations: ReadonlyMap<NodeId, ReadonlyMap<string, number>>
}

/** Sites whose entries belong to the set: ours, those it adopted, those these had adopted. Nearest first, then by id. */
export function adoptedSites(site: SiteId, entries: Iterable<Entry>): SiteId[] {
  const adoptions = Map.groupBy(
    [...entries].map(({ statement }) => statement).filter((statement) => statement.kind === 'adoption'),
    (adoption) => adoption.site,
  )
  const sites = new Set([site])
  for (let ring = [site]; ring.length > 0;) {
    const next = ring.flatMap((near) => (adoptions.get(near) ?? []).map((adoption) => adoption.adopted))
    ring = [...new Set(next)].filter((far) => !sites.has(far)).sort()
    for (const far of ring) sites.add(far)
  }
  return [...sites]
}

export function viewOf(site: SiteId, entries: readonly Entry[]): MembersView {
  const counting = countingEntries(site, entries)
  const rank = new Map(adoptedSites(site, counting).map((near, i) => [near, i]))
  const rankOf = (near: SiteId): number => rank.get(near) ?? Infinity
  const valid = counting.filter(({ statement }) => rank.has(statement.site))

  const certificates = Map.groupBy(valid.filter(isCertificate), ({ statement }) => statement.node)
  const shown = new Map([...certificates].map(([node, held]) => [node, shownOf(held, rankOf)]))
  const revocations = mergeRevocations(
    valid.filter(({ statement }) => {
      // A site's revocation reaches the nodes that are shown as its own or as a farther site's.
      const home = statement.kind === 'revocation' ? shown.get(statement.node)?.statement.site : undefined
      return home === undefined || rankOf(statement.site) <= rankOf(home)
    }),
    certificates,
  )
  // A node whose every certificate was ignored keeps nothing of its own.
  for (const { statement } of entries.filter(isCertificate))
    if (!certificates.has(statement.node) && !revocations.has(statement.node))
      revocations.set(statement.node, new Map())

  const members = [...shown]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([node, entry]) => {
      const { kind: _, ...certificate } = entry.statement
      const revoked = revocations.has(node)
      const member = { certificate, founder: isFounder(site, node), revoked, adopted: certificate.site !== site }
      return [node, { member, entry }] as const
    })
  return {
    members: new Map(members),
    writers: granted(certificates, (role) => role !== 'reader'),
    admins: granted(certificates, (role) => role === 'admin'),
    revocations,
  }
}

type CertificateEntry = Entry & { readonly statement: CertificateStatement }
type Certificates = ReadonlyMap<NodeId, readonly CertificateEntry[]>
/** By revoked issuer, the keys of its entries that stay. */
type Stops = ReadonlyMap<NodeId, ReadonlySet<string>>

function isCertificate(entry: Entry): entry is CertificateEntry {
  return entry.statement.kind === 'certificate'
}

function countingEntries(site: SiteId, entries: readonly Entry[]): Entry[] {
  const stops = stopsOf(entries.filter(({ statement }) => statement.site === site))
  // The chain is asked too: the founder of an adopted site can be revoked by ours, and its admins fall with it.
  const afterOurs = entries.filter((entry) => [entry, ...entry.chain].every((link) => stays(stops, link)))
  const bySite = Map.groupBy(afterOurs, ({ statement }) => statement.site)
  return [...bySite].flatMap(([near, held]) => {
    if (near === site) return held
    const stops = stopsOf(held)
    return held.filter((entry) => stays(stops, entry))
  })
}

function stopsOf(entries: readonly Entry[]): Stops {
  const stops = new Map<NodeId, Set<string>>()
  for (const { statement, chain } of entries) {
    if (statement.kind !== 'revocation' || chain.length > 0) continue
    const kept = stops.get(statement.node) ?? new Set()
    for (const key of statement.keepSignatures) kept.add(key)
    stops.set(statement.node, kept)
  }
  return stops
}

function stays(stops: Stops, { key, statement }: Pick<Entry, 'key' | 'statement'>): boolean {
  return stops.get(statement.issuer)?.has(key) ?? true
}

/** The nearest site's certificates go before all others; of an admin only the founder's; then serial, then key. */
function shownOf(held: readonly CertificateEntry[], rankOf: (site: SiteId) => number): CertificateEntry {
  const nearest = Math.min(...held.map(({ statement }) => rankOf(statement.site)))
  const near = held.filter(({ statement }) => rankOf(statement.site) === nearest)
  const wasAdmin = near.some(({ statement }) => statement.role === 'admin')
  return near
    .filter(({ chain }) => !wasAdmin || chain.length === 0)
    .reduce((best, entry) => {
      const ahead = entry.statement.serial - best.statement.serial
      return ahead > 0 || (ahead === 0 && entry.key < best.key) ? entry : best
    })
}

function granted(certificates: Certificates, grants: (role: string) => boolean): Set<NodeId> {
  const nodes = [...certificates].filter(([, held]) => held.some(({ statement }) => grants(statement.role)))
  return new Set(nodes.map(([node]) => node))
}

function mergeRevocations(valid: readonly Entry[], certificates: Certificates): Map<NodeId, Map<string, number>> {
  const merged = new Map<NodeId, Map<string, number>>()
  for (const { statement, chain } of valid) {
    if (statement.kind !== 'revocation') continue
    const { node, site } = statement
    const isAdmin = (certificates.get(node) ?? []).some(
      (held) => held.statement.site === site && held.statement.role === 'admin',
    )
    if (isAdmin && chain.length > 0) continue
    const keep = merged.get(node) ?? new Map<string, number>()
    for (const { document, actor, seq } of statement.keep) {
      const name = `${document}|${actor}`
      keep.set(name, Math.max(seq, keep.get(name) ?? 0))
    }
    merged.set(node, keep)
  }
  return merged
}
