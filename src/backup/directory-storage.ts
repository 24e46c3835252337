/** A vault's files in a directory: temp file, fsync, link or rename, fsync of the directory. */
import { randomUUID } from 'node:crypto'
import { constants, type Dirent } from 'node:fs'
import { link, mkdir, open, readdir, rename, rm, stat, statfs, type FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { DamagedError, DiskFullError, StorageError } from '../model/index.ts'
import { checkFileName, type StoredFile, type VaultStorage } from './storage.ts'

/** Unfinished writes. Not a vault's file: never listed. */
const temporary = 'tmp'
/** What systems put into the root of a disk. */
const foreign = new Set(['lost+found', 'System Volume Information', temporary])
/** An unfinished write is removed when it is this much older than one that begins, by the vault's own file times. */
const staleMs = 86_400_000

/** Gives the files of a vault in a directory. Touches nothing yet. */
export function openDirectoryStorage(directory: string): VaultStorage {
  return new DirectoryStorage(resolve(directory))
}

class DirectoryStorage implements VaultStorage {
  readonly location: string
  /** Device and inode of the root when it was first written to: another one later means that the disk was unmounted. */
  #root: string | undefined
  readonly #made = new Set<string>()
  #cleaned = false

  constructor(location: string) {
    this.location = location
  }

  prepare(): Promise<void> {
    return this.#explaining('create', '', async () => {
      await mkdir(this.location, { recursive: true })
      await syncDirectory(dirname(this.location))
    })
  }

  async put(name: string, bytes: Uint8Array): Promise<boolean> {
    const path = this.#path(name)
    return this.#explaining('write', name, async () => {
      await this.#checkRoot()
      if ((await this.stat(name)) !== undefined) return false
      await this.#makeDirectory(dirname(path))
      const temp = join(this.location, temporary, randomUUID())
      await this.#makeDirectory(dirname(temp))
      try {
        {
          await using file = await open(temp, 'wx', 0o600)
          await file.writeFile(bytes)
          await file.sync()
          await this.#clean(file)
        }
        const created = await publish(temp, path)
        if (created) await syncDirectory(dirname(path))
        return created
      } finally {
        await rm(temp, { force: true })
      }
    })
  }

  async get(name: string, maxBytes: number): Promise<Uint8Array | undefined> {
    return this.#reading(name, async (file) => {
      const { size } = await file.stat()
      if (size > maxBytes)
        throw new DamagedError(
          `${name} in vault ${this.location} has ${size} bytes: no such file of a vault is that long`,
        )
      return readFully(file, 0, size)
    })
  }

  async getRange(name: string, offset: number, length: number): Promise<Uint8Array | undefined> {
    return this.#reading(name, (file) => readFully(file, offset, length))
  }

  async *list(prefix: string): AsyncIterable<StoredFile> {
    // Down to the folder the prefix names, then every file below it.
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
    for await (const name of this.#walk(folder)) {
      if (!name.startsWith(prefix)) continue
      const file = await this.stat(name)
      if (file !== undefined) yield file
    }
  }

  async *#walk(folder: string): AsyncIterable<string> {
    let entries: Dirent[] = []
    try {
      entries = await readdir(join(this.location, folder), { withFileTypes: true })
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return
      throw this.#explained('list', folder, error)
    }
    // A folder sorts as its name with the slash that follows.
    const names = entries
      .filter(({ name }) => !name.startsWith('.') && !(folder === '' && foreign.has(name)))
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .sort()
    for (const name of names) {
      if (name.endsWith('/')) yield* this.#walk(folder + name)
      else yield folder + name
    }
  }

  async delete(name: string): Promise<boolean> {
    const path = this.#path(name)
    return this.#explaining('delete', name, async () => {
      if ((await this.stat(name)) === undefined) return false
      await rm(path)
      await syncDirectory(dirname(path))
      return true
    })
  }

  async stat(name: string): Promise<StoredFile | undefined> {
    try {
      return { name, bytes: (await stat(join(this.location, name))).size }
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
      throw this.#explained('read', name, error)
    }
  }

  freeBytes(): Promise<number> {
    return this.#explaining('read', '', async () => {
      const { bavail, bsize } = await statfs(this.location)
      return bavail * bsize
    })
  }

  #path(name: string): string {
    return join(this.location, checkFileName(name))
  }

  async #checkRoot(): Promise<void> {
    const { dev, ino } = await stat(this.location)
    const root = `${dev}:${ino}`
    this.#root ??= root
    if (this.#root !== root)
      throw new StorageError(
        `the disk of vault ${this.location} was unmounted or replaced: mount it and run the backup again`,
      )
  }

  async #makeDirectory(path: string): Promise<void> {
    if (this.#made.has(path)) return
    const first = await mkdir(path, { recursive: true })
    if (first !== undefined)
      for (let at = path; at.length >= dirname(first).length; at = dirname(at)) {
        await syncDirectory(at)
        if (at === dirname(first)) break
      }
    this.#made.add(path)
  }

  /** Removes what writes left that never finished, once. */
  async #clean(newest: FileHandle): Promise<void> {
    if (this.#cleaned) return
    this.#cleaned = true
    const { mtimeMs } = await newest.stat()
    const folder = join(this.location, temporary)
    for (const name of await readdir(folder)) {
      const path = join(folder, name)
      const file = await stat(path).catch((error: unknown) => {
        if (codeOf(error) === 'ENOENT') return undefined
        throw error
      })
      if (file !== undefined && mtimeMs - file.mtimeMs > staleMs) await rm(path, { force: true })
    }
  }

  async #reading(name: string, read: (file: FileHandle) => Promise<Uint8Array>): Promise<Uint8Array | undefined> {
    const path = this.#path(name)
    try {
      await using file = await open(path, 'r')
      return await read(file)
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
      throw this.#explained('read', name, error)
    }
  }

  async #explaining<T>(what: string, name: string, task: () => Promise<T>): Promise<T> {
    try {
      return await task()
    } catch (error) {
      throw this.#explained(what, name, error)
    }
  }

  /** Errors of the system, named; others as they are. */
  #explained(what: string, name: string, error: unknown): unknown {
    const code = codeOf(error)
    if (code === undefined || !/^E[A-Z]+$/.test(code)) return error
    const place = name === '' ? `vault ${this.location}` : `${name} in vault ${this.location}`
    if (code === 'ENOSPC' || code === 'EDQUOT')
      return new DiskFullError(`cannot ${what} ${place}: its disk is full. Free some space or use another vault`, {
        cause: error,
      })
    return new StorageError(`cannot ${what} ${place} (${code}): is its disk mounted, healthy and ours to use?`, {
      cause: error,
    })
  }
}

/** Gives the temp file its name, unless that is taken. Where there are no links (FAT), between a look and a rename. */
async function publish(temp: string, path: string): Promise<boolean> {
  try {
    await link(temp, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(codeOf(error) ?? '')) throw error
  }
  await rename(temp, path)
  return true
}

async function readFully(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, constants.O_RDONLY)
  try {
    await directory.sync()
  } catch (error) {
    // Some file systems cannot sync a directory; they keep no journal of their own either.
    if (codeOf(error) !== 'EINVAL' && codeOf(error) !== 'ENOTSUP') throw error
  }
}

function codeOf(error: unknown): string | undefined {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' ? code : undefined
}
