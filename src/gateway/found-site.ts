import { hostname } from 'node:os'
import { limits, NotAllowedError, type Clock, type Random } from '../model/index.ts'
import { createNodeKey, signerOf, writeIdentity, type Identity } from '../peer/index.ts'
import { createStore, foundSite, type Engine, type Store, type StoreLog } from '../store/index.ts'
import { holdsIdentity, holdsStore, levelEngine, makeDirectory, type Directory } from './directory.ts'
import { sideKeys } from './side-keys.ts'

/** The name of a gateway that was given none: the machine's. */
export function defaultName(): string {
  return hostname().slice(0, limits.nameChars) || 'gateway'
}

/** Makes a key, a site of its own, and the site's pre-shared key. */
export function foundIdentity(name: string, random: Random): Identity {
  const key = createNodeKey(random)
  const { site, entry } = foundSite(signerOf(key), name)
  return { ...key, site, psk: random.bytes(32), name, entries: [entry] }
}

export interface SiteStoreOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly random: Random
  readonly log?: StoreLog
}

/** Makes an empty store of the identity's site that knows the identity's certificates. */
export function createSiteStore(identity: Identity, options: SiteStoreOptions): Promise<Store> {
  return createStore(
    { ...options, signer: signerOf(identity) },
    { site: identity.site, members: [...identity.entries] },
  )
}

export interface FoundOptions {
  /** The gateway's name, for people; the machine's when left out. */
  readonly name?: string
  /** The site's name, for people. */
  readonly siteName?: string
  readonly clock: Clock
  readonly random: Random
}

/** Founds a site in a directory that holds nothing yet: key, identity file, store. */
export async function initDirectory(path: string, options: FoundOptions): Promise<Identity> {
  const dir = await makeDirectory(path)
  requireEmpty(dir)
  const identity = foundIdentity(options.name ?? defaultName(), options.random)
  await putStore(dir, identity, options, options.siteName)
  return identity
}

/** Makes store and identity file of a directory that holds neither. The store is last: a directory holds one when all is there. */
export async function putStore(
  dir: Directory,
  identity: Identity,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  siteName?: string,
): Promise<void> {
  await writeIdentity(dir.path, identity)
  const store = await createSiteStore(identity, { engine: levelEngine(dir.store), clock, random })
  try {
    if (siteName !== undefined) await store.side.put(sideKeys.siteName, siteName)
  } finally {
    await store.close()
  }
}

/** Throws unless neither store nor identity lies there. */
export function requireEmpty(dir: Directory): void {
  if (holdsStore(dir.path))
    throw new NotAllowedError(
      `${dir.path} holds a store already: name another directory with --dir, or go on with this one`,
    )
  if (holdsIdentity(dir.path))
    throw new NotAllowedError(
      `${dir.path} holds an identity but no store: restore a backup there, or move ${dir.identity} away`,
    )
}
