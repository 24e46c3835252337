import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { limits, LockedError, NotAllowedError, StorageError, type Clock, type Random } from '../model/index.ts'
import { createNodeKey, signerOf, writeIdentity, type Identity } from '../peer/index.ts'
import { createStore, foundSite, type Engine, type Store, type StoreLog } from '../store/index.ts'
import { holdsIdentity, holdsStore, levelEngine, makeDirectory, type Directory } from './directory.ts'
import { forgetJoinKey } from './join-key.ts'
import { syncDirectory } from './secret-file.ts'
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

/**
 * Founds a site in a directory that holds nothing yet: key, identity file, store. The store gets its name last: a directory
 * holds one when all is there, and what an interrupted attempt left is cleared away by the next.
 */
export async function initDirectory(path: string, options: FoundOptions): Promise<Identity> {
  const dir = await makeDirectory(path)
  if (!holdsStore(dir.path) && existsSync(dir.founding)) await clearFounding(dir)
  requireEmpty(dir)
  const identity = foundIdentity(options.name ?? defaultName(), options.random)
  try {
    await putStore(dir, identity, options)
    await writeIdentity(dir.path, identity)
    await rename(dir.founding, dir.store)
    await syncDirectory(dir.path)
    await forgetJoinKey(dir)
  } catch (error) {
    // Another process founds a site here at this moment: what lies there is its own.
    if (error instanceof LockedError) throw error
    await clearFounding(dir)
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error
    throw new StorageError(`no site could be founded in ${dir.path}: ${(error as Error).message}`, { cause: error })
  }
  return identity
}

async function clearFounding(dir: Directory): Promise<void> {
  await rm(dir.identity, { force: true })
  await rm(dir.founding, { recursive: true, force: true })
}

async function putStore(dir: Directory, identity: Identity, options: FoundOptions): Promise<void> {
  const { clock, random, siteName } = options
  const store = await createSiteStore(identity, { engine: levelEngine(dir.founding), clock, random })
  try {
    if (siteName !== undefined) await store.side.put(sideKeys.siteName, siteName)
  } finally {
    await store.close()
  }
}

/** Throws unless neither store nor identity lies there. */
function requireEmpty(dir: Directory): void {
  if (holdsStore(dir.path))
    throw new NotAllowedError(
      `${dir.path} holds a store already: name another directory with --dir, or go on with this one`,
    )
  if (holdsIdentity(dir.path))
    throw new NotAllowedError(
      `${dir.path} holds an identity but no store: move ${dir.identity} away; it fits a store of its own site, such as one that "hedgerow backup restore" makes`,
    )
}
