/** Signs new entries. What comes out is added with `MembersSet.add`, which stores and spreads it. */
import { encode } from 'cborg'
import {
  InvalidInputError,
  limits,
  NotAllowedError,
  publicKeyOf,
  siteIdOf,
  WrongSiteError,
  type NodeId,
  type SiteId,
} from '../../model/index.ts'
import type { Signer } from '../types.ts'
import {
  decodeEntry,
  encodeEntry,
  keepItem,
  messageOf,
  nameFault,
  type CertificateStatement,
  type Signed,
  type Statement,
} from './entry.ts'
import type { MembersSet, Revocation, Role } from './types.ts'
import { isFounder, verifyEntry } from './verify.ts'
import { adoptedSites } from './view.ts'

/** Founds the site of the signer's key: its id, and the founder's certificate for itself. `name` is the gateway's. */
export function foundSite(signer: Signer, name: string): { site: SiteId; entry: Uint8Array } {
  const site = siteIdOf(publicKeyOf(signer.node))
  const { node } = signer
  const role = 'admin'
  const entry = issue(
    signer,
    { kind: 'certificate', site, node, name: checkName(name), role, serial: 1, issuer: node },
    [],
  )
  return { site, entry }
}

export interface CertificateRequest {
  readonly node: NodeId
  readonly name: string
  readonly role: Role
  /** One above the node's present one when left out. */
  readonly serial?: number
  /** µs since the epoch. */
  readonly expires?: number
}

/** Certifies a node. Throws `NotAllowedError` unless the signer is an admin of the site, for role `admin` its founder. */
export function issueCertificate(signer: Signer, members: MembersSet, request: CertificateRequest): Uint8Array {
  const { founder, chain } = authorityOf(signer, members)
  const { node, role, expires } = request
  const present = members.member(node)
  if (!founder && (role === 'admin' || isFounder(members.site, node) || holdsAdmin(members, node)))
    throw new NotAllowedError('only the founder of the site certifies admins')
  if (isFounder(members.site, node) && role !== 'admin')
    throw new NotAllowedError('the founder of a site is always an admin')
  if (present?.revoked === true && !present.adopted)
    throw new NotAllowedError(`node ${node} was revoked: it comes back with a new identity only`)
  const known = present === undefined || present.adopted ? 0 : present.certificate.serial
  const certificate = {
    kind: 'certificate' as const,
    site: members.site,
    node,
    name: checkName(request.name),
    role,
    serial: checkPositive(request.serial ?? known + 1, 'serial'),
    issuer: signer.node,
  }
  const statement = expires === undefined ? certificate : { ...certificate, expires: checkPositive(expires, 'expires') }
  return issue(signer, statement, chain)
}

export interface RevocationRequest {
  readonly node: NodeId
  readonly keep: Revocation['keep']
  /** Keys of entries that a revoked admin issued and that stay valid; the others are ignored from then on. */
  readonly keepSignatures?: readonly string[]
}

/**
 * Revokes a node, in as many entries as its lists need: add them together. Further revocations of the same node extend
 * the lists. Throws `NotAllowedError` unless the signer is an admin of the site, for an admin its founder.
 */
export function issueRevocation(signer: Signer, members: MembersSet, request: RevocationRequest): Uint8Array[] {
  const { founder, chain } = authorityOf(signer, members)
  const { node, keep, keepSignatures = [] } = request
  if (isFounder(members.site, node)) throw new NotAllowedError('the founder of a site cannot be revoked')
  if (!founder && (holdsAdmin(members, node) || keepSignatures.length > 0))
    throw new NotAllowedError('only the founder of the site revokes an admin')
  if (members.member(node) === undefined) throw new InvalidInputError(`node ${node} is not a member of this site`)
  const revocation = { kind: 'revocation' as const, site: members.site, node, issuer: signer.node }
  const items = [
    ...keep.map((item) => ({ keep: item, bytes: encode(keepItem(item)).length })),
    ...keepSignatures.map((key) => ({ signature: key, bytes: 34 })),
  ]
  return pack(items).map((part) =>
    issue(
      signer,
      {
        ...revocation,
        keep: part.flatMap((item) => ('keep' in item ? [item.keep] : [])),
        keepSignatures: part.flatMap((item) => ('signature' in item ? [item.signature] : [])),
      },
      chain,
    ),
  )
}

export interface AdoptionRequest {
  readonly adoptedSite: SiteId
  /** Every entry of the adopted site's set, from its store or its backup. */
  readonly adoptedEntries: readonly Uint8Array[]
}

/**
 * Adopts an earlier site: the adoption, then its entries, to be added together. Throws `NotAllowedError` unless the
 * signer is the founder, `RefusedError` if an entry does not verify, `WrongSiteError` if one is of another site.
 */
export function issueAdoption(signer: Signer, members: MembersSet, request: AdoptionRequest): Uint8Array[] {
  const { site } = members
  const { adoptedSite, adoptedEntries } = request
  if (!isFounder(site, signer.node)) throw new NotAllowedError('only the founder of a site adopts another')
  if (adoptedSite === site) throw new InvalidInputError(`site ${site} cannot adopt itself`)
  const entries = adoptedEntries.map(verifyEntry)
  const sites = new Set([site, ...adoptedSites(adoptedSite, entries)])
  for (const { key, statement } of entries)
    if (!sites.has(statement.site))
      throw new WrongSiteError(`members entry ${key.slice(0, 12)} is of site ${statement.site}, not of ${adoptedSite}`)
  const adoption = issue(signer, { kind: 'adoption', site, adopted: adoptedSite, issuer: signer.node }, [])
  return [adoption, ...adoptedEntries]
}

function authorityOf(signer: Signer, members: MembersSet): { founder: boolean; chain: Signed<CertificateStatement>[] } {
  if (isFounder(members.site, signer.node)) return { founder: true, chain: [] }
  const member = members.member(signer.node)
  const bytes = members.certificateEntry(signer.node)
  if (member === undefined || bytes === undefined || member.adopted)
    throw new NotAllowedError('this node is not a member of the site: an admin has to invite it')
  if (member.revoked) throw new NotAllowedError('this node was revoked')
  const { statement, signature } = decodeEntry(bytes)
  if (statement.kind !== 'certificate' || statement.role !== 'admin')
    throw new NotAllowedError(`this node is a ${member.certificate.role}: do this on a node of an admin`)
  return { founder: false, chain: [{ statement, signature }] }
}

function holdsAdmin(members: MembersSet, node: NodeId): boolean {
  return members.mayAdminister(node) && members.member(node)?.adopted === false
}

function issue(signer: Signer, statement: Statement, chain: readonly Signed<CertificateStatement>[]): Uint8Array {
  return encodeEntry({ statement, signature: signer.sign(messageOf(statement)) }, chain)
}

/** Splits items so that each part fits an entry with its chain; at least one part. */
function pack<T extends { readonly bytes: number }>(items: readonly T[]): T[][] {
  const room = limits.memberBytes - 2_048
  const parts: T[][] = [[]]
  let used = 0
  for (const item of items) {
    if (used + item.bytes > room) {
      parts.push([])
      used = 0
    }
    parts.at(-1)?.push(item)
    used += item.bytes
  }
  return parts
}

function checkName(name: string): string {
  const normal = name.normalize('NFC')
  const fault = nameFault(normal)
  if (fault !== undefined) throw new InvalidInputError(`${JSON.stringify(name.slice(0, 80))}: ${fault}`)
  return normal
}

function checkPositive(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidInputError(`${what} ${value} is not a positive integer`)
  return value
}
