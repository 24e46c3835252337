import { readFile } from 'node:fs/promises'
import { InvalidInputError, NotAllowedError, WrongSiteError, type Clock, type Random } from '../model/index.ts'
import { exportIdentity, importIdentity, readIdentity, writeIdentity, type Identity } from '../peer/index.ts'
import { openStore } from '../store/index.ts'
import { holdsStore, levelEngine, makeDirectory, namingHolder, requireStore } from './directory.ts'
import { createSiteStore } from './found-site.ts'
import { sideKeys } from './side-keys.ts'
import { whenFree } from './when-free.ts'

/** Gives an encrypted copy of a directory's identity as text. Works beside a running node. */
export async function exportDirectoryIdentity(path: string, passphrase: string, random: Random): Promise<string> {
  requireStore(path)
  const identity = await readIdentity(path)
  if (identity === undefined)
    throw new NotAllowedError(
      `${path} has no identity to export: bring it back with "hedgerow identity import FILE" or "hedgerow join CODE"`,
    )
  return exportIdentity(identity, passphrase, random)
}

/** Reads the text of an exported identity's file. */
export async function readExport(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new InvalidInputError(`the exported identity ${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
}

/**
 * Brings an exported identity into a restored directory without one, or into an empty one, which gets a store of the
 * identity's site. Throws `WrongSiteError` if the directory belongs to another site, `WrongKeyError` on a wrong passphrase.
 */
export async function importDirectoryIdentity(
  path: string,
  text: string,
  passphrase: string,
  environment: { readonly clock: Clock; readonly random: Random },
): Promise<Identity> {
  const identity = importIdentity(text, passphrase)
  const dir = await makeDirectory(path)
  const present = await readIdentity(dir.path)
  if (present !== undefined && present.node !== identity.node)
    throw new NotAllowedError(
      `${dir.path} has the identity of node ${present.node} already: import into another directory (--dir)`,
    )
  const store = await whenFree(dir.path, () =>
    namingHolder(dir, () => {
      const engine = levelEngine(dir.store)
      return holdsStore(dir.path)
        ? openStore({ ...environment, engine })
        : createSiteStore(identity, { ...environment, engine })
    }),
  )
  try {
    if (store.site !== identity.site)
      throw new WrongSiteError(
        `the exported identity is of site ${identity.site}, the store in ${dir.path} is of site ${store.site}: they do not go together`,
      )
    await store.members.add(identity.entries)
    // There is a copy: the one it comes from.
    await store.side.put(sideKeys.identityExported, environment.clock.nowUs())
  } finally {
    await store.close()
  }
  await writeIdentity(dir.path, identity)
  return identity
}
