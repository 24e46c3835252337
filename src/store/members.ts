/**
 * Who belongs to the site: a grow-only set of signed entries (members/entry.ts has their format, members/verify.ts
 * what makes one valid, members/view.ts what a set of them says), the builders that sign new ones, and the rule that
 * says which changes of a revoked node stay.
 */
export type * from './members/types.ts'
export { openMembersSet, type MembersOptions } from './members/set.ts'
export {
  foundSite,
  issueAdoption,
  issueCertificate,
  issueRevocation,
  type AdoptionRequest,
  type CertificateRequest,
  type RevocationRequest,
} from './members/issue.ts'
export { inspectEntry, type EntryFacts } from './members/inspect.ts'
export { keptChanges, type ChangeFacts } from './members/kept-changes.ts'
