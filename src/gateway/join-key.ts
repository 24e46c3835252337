/**
 * The key with which a directory without one asks to join. It is on disk before the inviting node hears of it: an invite is
 * good for one key, so where the answer is lost, the same directory must ask again with the same one.
 */
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { decode, encode } from 'cborg'
import { DamagedError, type Random, type SiteId } from '../model/index.ts'
import { createNodeKey, type NodeKey } from '../peer/index.ts'
import type { Directory } from './directory.ts'
import { writeSecretFile } from './secret-file.ts'

/** Gives the key that an earlier attempt to join this site left, else a new one. */
export async function joinKey(dir: Directory, site: SiteId, random: Random): Promise<NodeKey> {
  const kept = existsSync(dir.joiningKey) ? decodeKey(await readFile(dir.joiningKey), dir.joiningKey) : undefined
  if (kept?.site === site) return kept.key
  const { node, publicKey, privateSeed } = createNodeKey(random)
  const key = { node, publicKey, privateSeed }
  await writeSecretFile(dir.joiningKey, encode({ site, key }))
  return key
}

export async function forgetJoinKey(dir: Directory): Promise<void> {
  await rm(dir.joiningKey, { force: true })
}

function decodeKey(bytes: Uint8Array, path: string): { readonly site: SiteId; readonly key: NodeKey } {
  try {
    return decode(bytes) as { site: SiteId; key: NodeKey }
  } catch (cause) {
    throw new DamagedError(`${path} is damaged: remove it and join again with a new invite`, { cause })
  }
}
