import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { nodeIdOf, type SiteId } from '../../src/model/index.ts'
import { foundSite, issueCertificate, openMembersSet, type MembersSet, type Role } from '../../src/store/members.ts'
import type { Signer } from '../../src/store/types.ts'

/** A signer that is the same in every run. */
export function signerNamed(name: string): Signer {
  const seed = createHash('sha256').update(name).digest()
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(12)
  return { node: nodeIdOf(Uint8Array.from(publicKey)), sign: (message) => new Uint8Array(sign(null, message, key)) }
}

/** Entries as a store holds them: what `save` gave is what `load` gives. */
export interface Shelf {
  readonly entries: Map<string, Uint8Array>
  readonly open: (site: SiteId) => Promise<MembersSet>
}

export function emptyShelf(): Shelf {
  const entries = new Map<string, Uint8Array>()
  return {
    entries,
    open: (site) =>
      openMembersSet({
        site,
        load: async function* () {
          yield* entries
        },
        save: async (saved) => {
          for (const [key, bytes] of saved) entries.set(key, bytes)
        },
      }),
  }
}

/** A site with its founder; `certify` adds a member with the word of `by`. */
export async function newSite(founderName: string): Promise<{
  readonly founder: Signer
  readonly members: MembersSet
  readonly shelf: Shelf
  readonly certify: (name: string, role: Role, by?: Signer) => Promise<Signer>
}> {
  const founder = signerNamed(founderName)
  const { site, entry } = foundSite(founder, founderName)
  const shelf = emptyShelf()
  const members = await shelf.open(site)
  await members.add([entry])
  return {
    founder,
    members,
    shelf,
    certify: async (name, role, by = founder) => {
      const signer = signerNamed(name)
      await members.add([issueCertificate(by, members, { node: signer.node, name, role })])
      return signer
    },
  }
}

export function allEntries(members: MembersSet): Uint8Array[] {
  return members.keys().map((key) => {
    const bytes = members.get(key)
    if (bytes === undefined) throw new Error(`entry ${key} is listed but absent`)
    return bytes
  })
}
