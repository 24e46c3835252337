/**
 * How a directory gives its site up for another. The file `joining` holds the new identity and members set from the moment
 * the invite was redeemed until the store is the new site's, so that a crash in between costs nothing: the change is
 * finished the next time the directory is opened.
 */
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { decode, encode } from 'cborg'
import { DamagedError, NotAllowedError, type Clock, type NodeId, type Random } from '../model/index.ts'
import { rememberAddresses, signerOf, writeIdentity, type Identity } from '../peer/index.ts'
import { createStore, moveStore, openStore, type Store, type StoreOptions } from '../store/index.ts'
import { holdsStore, levelEngine, namingHolder, type Directory } from './directory.ts'
import { forgetJoinKey } from './join-key.ts'
import { syncDirectory, writeSecretFile } from './secret-file.ts'

/** What `join` got from the inviting node: all that the change needs. */
export interface SiteChange {
  readonly identity: Identity
  /** The members set of the new site. */
  readonly entries: readonly Uint8Array[]
  /** The node that redeemed the invite, and where it can be reached. */
  readonly inviter: NodeId
  readonly addresses: readonly string[]
}

/** Throws `NotAllowedError` unless this store's site may be given up: nobody else's records hang on it. */
export function requireAlone(store: Store, self: string | undefined): void {
  const others = store.members.members().filter(({ certificate }) => certificate.node !== self)
  if (others.length === 0) return
  const names = others.slice(0, 3).map(({ certificate }) => certificate.name)
  throw new NotAllowedError(
    `this directory belongs to site ${store.site}, which has other members (${names.join(', ')}${others.length > 3 ? ', …' : ''}): it stays with them. Join with another directory (--dir)`,
  )
}

/** Remembers durably that the directory is to become the identity's. */
export async function planSiteChange(dir: Directory, change: SiteChange): Promise<void> {
  const { identity, entries, inviter, addresses } = change
  await writeSecretFile(
    dir.joining,
    encode({
      identity: { ...identity, entries: [...identity.entries] },
      entries: [...entries],
      inviter,
      addresses: [...addresses],
    }),
  )
}

/** Finishes a site change that was planned, from wherever it stopped; does nothing if none was. The store must not be open. */
export async function finishSiteChange(
  dir: Directory,
  options: { readonly clock: Clock; readonly random: Random },
): Promise<void> {
  if (!existsSync(dir.joining)) return
  const { identity, entries, inviter, addresses } = decodeChange(await readFile(dir.joining), dir.joining)
  const store = await namingHolder(dir, () => storeOf(dir, identity, entries, options))
  try {
    await store.members.add(entries)
    await rememberAddresses(store, inviter, addresses)
  } finally {
    await store.close()
  }
  await writeIdentity(dir.path, identity)
  await forgetJoinKey(dir)
  await rm(dir.joining)
  await syncDirectory(dir.path)
}

/** Opens the directory's store as one of the identity's site, whatever it was before. */
async function storeOf(
  dir: Directory,
  identity: Identity,
  members: readonly Uint8Array[],
  options: { readonly clock: Clock; readonly random: Random },
): Promise<Store> {
  const { site } = identity
  const storeOptions = (): StoreOptions => ({ ...options, engine: levelEngine(dir.store), signer: signerOf(identity) })
  if (!holdsStore(dir.path)) return createStore(storeOptions(), { site, members })
  const store = await openStore(storeOptions())
  // A restored directory that comes back to its site keeps the policy, too.
  if (store.site === site) return store
  await store.close()
  return moveStore(storeOptions(), { site, members })
}

function decodeChange(bytes: Uint8Array, path: string): SiteChange {
  try {
    return decode(bytes) as SiteChange
  } catch (cause) {
    throw new DamagedError(`${path} is damaged: remove it and join again with a new invite`, { cause })
  }
}
