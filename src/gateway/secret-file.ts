import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes a file for its owner only: durable when this resolves, and whole or not there at all after a crash. */
export async function writeSecretFile(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`
  await rm(temporary, { force: true })
  {
    await using file = await open(temporary, 'wx', 0o600)
    await file.writeFile(bytes)
    await file.sync()
  }
  await rename(temporary, path)
  await syncDirectory(dirname(path))
}

/** Makes renames and removals in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}
