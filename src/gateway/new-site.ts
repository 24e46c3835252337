import { NotAllowedError, type Clock, type Random } from '../model/index.ts'
import { readIdentity, signerOf, writeIdentity, type Identity } from '../peer/index.ts'
import { issueAdoption, moveStore, openStore } from '../store/index.ts'
import { levelEngine, namingHolder, requireStore } from './directory.ts'
import { foundIdentity } from './found-site.ts'
import { sideKeys } from './side-keys.ts'

export interface NewSiteOptions {
  /** The gateway's name, for people. */
  readonly name: string
  /** The new site's name, for people. */
  readonly siteName: string
  readonly clock: Clock
  readonly random: Random
}

/**
 * Founds a new site on a restored directory without an identity: for when no admin of the old one is left. Records keep
 * their authors and signatures; the new founder's word makes the old authors count.
 */
export async function foundOnRestored(path: string, options: NewSiteOptions): Promise<Identity> {
  const { name, siteName, clock, random } = options
  const dir = requireStore(path)
  if ((await readIdentity(dir.path)) !== undefined)
    throw new NotAllowedError(`${dir.path} has an identity: only a restored directory without one can found a new site`)
  const before = await namingHolder(dir, () => openStore({ clock, random, engine: levelEngine(dir.store) }))
  const adoptedSite = before.site
  const adoptedEntries = before.members.keys().flatMap((key) => before.members.get(key) ?? [])
  await before.close()
  const identity = foundIdentity(name, random)
  const signer = signerOf(identity)
  const store = await moveStore(
    { clock, random, signer, engine: levelEngine(dir.store) },
    { site: identity.site, members: identity.entries, keepPolicy: true },
  )
  try {
    await store.members.add(issueAdoption(signer, store.members, { adoptedSite, adoptedEntries }))
    await store.side.put(sideKeys.siteName, siteName)
  } finally {
    await store.close()
  }
  await writeIdentity(dir.path, identity)
  return identity
}
