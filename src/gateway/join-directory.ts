import { existsSync } from 'node:fs'
import { readdir, rmdir } from 'node:fs/promises'
import { InvalidInputError, NotAllowedError } from '../model/index.ts'
import { decodeInvite, readIdentity, type NodeKey } from '../peer/index.ts'
import { openStore, type Store } from '../store/index.ts'
import type { AnswerParts } from './answers.ts'
import { connectControl } from './control/client.ts'
import { socketPlace } from './control/socket-place.ts'
import { holdsStore, levelEngine, makeDirectory, namingHolder, type Directory } from './directory.ts'
import { defaultName } from './found-site.ts'
import { redeem, type Joined, type JoinOptions } from './join-site.ts'
import { forgetJoinKey, joinKey } from './join-key.ts'
import type { JoinResult } from './operations.ts'
import { finishSiteChange, planSiteChange, requireAlone } from './site-change.ts'
import { whenFree } from './when-free.ts'

/** Lets a running node join another site: its peer stops, its store becomes the new site's, and it runs again. */
export async function joinRunningSite(
  parts: AnswerParts,
  code: string,
  name: string | undefined,
  signal: AbortSignal,
): Promise<JoinResult> {
  const { environment } = parts
  const node = await parts.current()
  const { store, identity, dir } = node
  if (dir === undefined || identity === undefined) throw new NotAllowedError('this node cannot change its site')
  const taken = await requireMayJoin(store, identity.node, code)
  const joined = await redeem(code, name ?? identity.name, { ...environment, signal }, identity)
  await planSiteChange(dir, joined)
  await parts.moveSite((place) => finishSiteChange(place, environment))
  return resultOf(joined, taken)
}

export interface JoinDirectoryOptions extends Omit<JoinOptions, 'network'> {
  readonly name?: string
}

/**
 * Lets a directory join a site: an empty one gets a key and a store; one whose site has no other member gives that site up and
 * takes its records along; a restored one without an identity gets a new one. Asks the node that runs there, if one does.
 */
export async function joinDirectory(path: string, code: string, options: JoinDirectoryOptions): Promise<JoinResult> {
  const { name, ...environment } = options
  const { site } = decodeInvite(code)
  const running = holdsStore(path) ? await connectControl(socketPlace(path)) : undefined
  if (running !== undefined) {
    await using client = running
    return await client.call('join', { code, ...(name === undefined ? {} : { name }) }, { signal: options.signal })
  }
  const existed = existsSync(path)
  const dir = await makeDirectory(path)
  const { key, taken, before } = await whenFree(path, async () => {
    await finishSiteChange(dir, environment)
    return lookAt(dir, code, environment)
  })
  let joined: Joined
  try {
    const own = key ?? (await joinKey(dir, site, options.random))
    joined = await redeem(code, name ?? before ?? defaultName(), environment, own)
  } catch (error) {
    // Refused for good: no retry will need the key. Otherwise the invite may be this key's already.
    if (error instanceof NotAllowedError || error instanceof InvalidInputError) await forgetJoinKey(dir)
    if (!existed && (await readdir(dir.path)).length === 0) await rmdir(dir.path)
    throw error
  }
  await planSiteChange(dir, joined)
  await finishSiteChange(dir, environment)
  return resultOf(joined, taken)
}

/** What a directory holds before it joins: the key to go on with, its name, and the records it takes along. */
async function lookAt(
  dir: Directory,
  code: string,
  environment: JoinOptions,
): Promise<{ readonly key?: NodeKey; readonly before?: string; readonly taken: number }> {
  const identity = await readIdentity(dir.path)
  if (!holdsStore(dir.path)) {
    // Left by a store that is gone: its own site will want it back.
    if (identity !== undefined)
      throw new NotAllowedError(
        `${dir.path} holds an identity but no store: move ${dir.identity} away before joining with a new one`,
      )
    return { taken: 0 }
  }
  const store = await namingHolder(dir, () => openStore({ ...environment, engine: levelEngine(dir.store) }))
  try {
    const taken = await requireMayJoin(store, identity?.node, code)
    return identity === undefined ? { taken } : { key: identity, before: identity.name, taken }
  } finally {
    await store.close()
  }
}

/** Throws unless the store may go to the invite's site; gives the records it takes along. */
async function requireMayJoin(store: Store, self: string | undefined, code: string): Promise<number> {
  const { site, role } = decodeInvite(code)
  if (site === store.site) {
    if (self !== undefined) throw new NotAllowedError(`this directory belongs to site ${site} already`)
    return 0
  }
  requireAlone(store, self)
  const { records } = await store.totals()
  if (role === 'reader' && records > 0)
    throw new NotAllowedError(
      `this directory holds ${records} records, and the invite is for a reader, whose records the site does not take: ask for an invite with the role writer, or join with another --dir`,
    )
  return records
}

function resultOf(joined: Joined, taken: number): JoinResult {
  const { identity, inviter, inviterName, coming } = joined
  return { site: identity.site, node: identity.node, via: inviter, viaName: inviterName, coming, taken }
}
