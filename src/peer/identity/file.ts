import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DamagedError, NotAllowedError } from '../../model/index.ts'
import { decodeIdentity, encodeIdentity, identityLimits } from './codec.ts'
import type { Identity } from './key.ts'

/** The file of the data directory with the node's key. Never part of a backup. */
export const identityFileName = 'identity.key'

/**
 * Reads the identity of a data directory; `undefined` if it has none. Throws `NotAllowedError` if others than its owner
 * may read or write the file, `DamagedError` if it is not what was written.
 */
export async function readIdentity(directory: string): Promise<Identity | undefined> {
  const path = join(directory, identityFileName)
  await using file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (file === undefined) return undefined
  const { mode, size } = await file.stat()
  if ((mode & 0o077) !== 0)
    throw new NotAllowedError(
      `${path} holds this node's secret key, and others may open it (mode ${(mode & 0o777).toString(8)}): chmod 600 ${path}`,
    )
  if (size > identityLimits.textBytes) throw new DamagedError(`${path} is damaged: it has ${size} bytes`)
  return decodeIdentity(await file.readFile('utf8'), path)
}

/** Writes the identity of a data directory: whole or not at all, durable when it resolves, readable by its owner only. */
export async function writeIdentity(directory: string, identity: Identity): Promise<void> {
  const path = join(directory, identityFileName)
  const temporary = `${path}.tmp`
  // Made anew each time: the mode counts only for a file that did not exist.
  await rm(temporary, { force: true })
  try {
    await using file = await open(temporary, 'wx', 0o600)
    await file.writeFile(encodeIdentity(identity))
    await file.sync()
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await rename(temporary, path)
  await using parent = await open(directory, 'r')
  await parent.sync()
}
