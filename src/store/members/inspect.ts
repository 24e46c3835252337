import type { NodeId, SiteId } from '../../model/index.ts'
import type { Certificate } from './types.ts'
import { verifyEntry } from './verify.ts'

/** What one entry says, verified alone: for hello, before its sender belongs to anything. */
export interface EntryFacts {
  readonly key: string
  readonly kind: 'certificate' | 'revocation' | 'adoption'
  readonly site: SiteId
  readonly issuer: NodeId
  /** Of a certificate only. */
  readonly certificate?: Certificate
}

/** Verifies one entry up to the founder of the site it names. Throws nothing but `RefusedError`. */
export function inspectEntry(bytes: Uint8Array): EntryFacts {
  const { key, statement } = verifyEntry(bytes)
  const facts = { key, kind: statement.kind, site: statement.site, issuer: statement.issuer }
  if (statement.kind !== 'certificate') return facts
  const { kind: _, ...certificate } = statement
  return { ...facts, certificate }
}
