import { publicKeyOf, RefusedError, siteIdOf, type NodeId, type SiteId } from '../../model/index.ts'
import { verifyBy } from '../signing.ts'
import { decodeEntry, messageOf, type Entry, type Signed } from './entry.ts'

/** Tells whether this node's key is the one the site id is made from. */
export function isFounder(site: SiteId, node: NodeId): boolean {
  return siteIdOf(publicKeyOf(node)) === site
}

/**
 * Verifies an entry alone, without clock, site or other entries: its chain reaches the founder of the site it names, every
 * signature is right, and the issuer's role allows what it says. Throws nothing but `RefusedError`.
 */
export function verifyEntry(bytes: Uint8Array): Entry {
  const entry = decodeEntry(bytes)
  const fault = chainFault(entry) ?? rightsFault(entry) ?? signatureFault(entry)
  if (fault !== undefined) throw new RefusedError(`members entry ${entry.key.slice(0, 12)} does not verify: ${fault}`)
  return entry
}

function chainFault({ statement, chain }: Entry): string | undefined {
  const { site, issuer } = statement
  const [link] = chain
  if (link === undefined)
    return isFounder(site, issuer) ? undefined : 'its chain does not reach the founder of its site'
  if (isFounder(site, issuer)) return 'the founder needs no chain'
  const certificate = link.statement
  if (certificate.site !== site || certificate.node !== issuer) return "its chain is not its issuer's"
  if (!isFounder(site, certificate.issuer)) return 'its chain does not reach the founder of its site'
  if (certificate.role !== 'admin') return `its issuer is a ${certificate.role}, not an admin`
  return undefined
}

function rightsFault({ statement, chain }: Entry): string | undefined {
  const byFounder = chain.length === 0
  switch (statement.kind) {
    case 'certificate':
      if (isFounder(statement.site, statement.node) && !(byFounder && statement.role === 'admin'))
        return 'the founder is an admin by its own signature alone'
      return byFounder || statement.role !== 'admin' ? undefined : 'only the founder signs admins'
    case 'revocation':
      if (isFounder(statement.site, statement.node)) return 'the founder cannot be revoked'
      if (!byFounder && statement.keepSignatures.length > 0) return 'only the founder names the signatures that stay'
      return undefined
    case 'adoption':
      if (statement.adopted === statement.site) return 'a site does not adopt itself'
      return byFounder ? undefined : 'only the founder adopts a site'
  }
}

function signatureFault(entry: Entry): string | undefined {
  if (!entry.chain.every(isSigned)) return "its issuer's certificate is forged"
  return isSigned(entry) ? undefined : 'its signature is wrong'
}

function isSigned({ statement, signature }: Signed): boolean {
  return verifyBy(statement.issuer, messageOf(statement), signature)
}
