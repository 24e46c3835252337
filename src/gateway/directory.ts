/** A node's directory: what lies where, and who holds it. */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { mkdir, statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Level } from 'level'
import { limits, LockedError, NotFoundError, StorageError } from '../model/index.ts'
import type { Engine } from '../store/index.ts'

/** Paths inside a node's directory. */
export interface Directory {
  /** Absolute. */
  readonly path: string
  readonly identity: string
  /** LevelDB. */
  readonly store: string
  /** Bytes that are given back to the disk when it is full, so that shutdown and prune can go on. */
  readonly reserve: string
  /** A change of site that was begun: see site-change.ts. */
  readonly joining: string
  /** The key of an attempt to join whose answer has not come: see join-key.ts. */
  readonly joiningKey: string
  /** A store that is being founded: it becomes `store` when all is there. */
  readonly founding: string
  /** Process id of the holder of the store, for the message to the next one. */
  readonly holder: string
}

export function directory(path: string): Directory {
  const absolute = resolve(path)
  return {
    path: absolute,
    identity: join(absolute, 'identity.key'),
    store: join(absolute, 'store'),
    reserve: join(absolute, 'reserve'),
    joining: join(absolute, 'joining'),
    joiningKey: join(absolute, 'joining.key'),
    founding: join(absolute, 'store.founding'),
    holder: join(absolute, 'holder.pid'),
  }
}

/** Whether a store lies there, whatever its state. */
export function holdsStore(path: string): boolean {
  const { store } = directory(path)
  return existsSync(join(store, 'CURRENT'))
}

export function holdsIdentity(path: string): boolean {
  return existsSync(directory(path).identity)
}

/** Makes the directory, for its owner only. */
export async function makeDirectory(path: string): Promise<Directory> {
  const dir = directory(path)
  try {
    await makeTree(dir.path)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const reason = code === 'EEXIST' ? 'a file of that name is there' : message
    throw new StorageError(`the directory ${dir.path} cannot be made: ${reason}`, { cause })
  }
  return dir
}

/** As `mkdir -p`. Node's own hides the reason on a read-only disk, and never ends in /proc. */
async function makeTree(path: string): Promise<void> {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return
  if (!existsSync(dirname(path))) await makeTree(dirname(path))
  await mkdir(path, { mode: 0o700 })
}

/** Throws `NotFoundError` with the two ways out unless the directory holds a store. */
export function requireStore(path: string): Directory {
  if (!holdsStore(path))
    throw new NotFoundError(
      `there is no store in ${resolve(path)}: found a site with "hedgerow init", or join one with "hedgerow join CODE" (a code comes from "hedgerow invite" on one of its gateways)`,
    )
  return directory(path)
}

/** Gives the LevelDB engine of a path, not yet opened. */
export function levelEngine(path: string): Engine {
  return new Level<string, Uint8Array>(path, {
    keyEncoding: 'utf8',
    valueEncoding: 'view',
    compression: true,
    writeBufferSize: 8_388_608,
  }) as unknown as Engine
}

/** Runs `open`; where the store is locked, says by whom. */
export async function namingHolder<T>(dir: Directory, open: () => Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    if (!(error instanceof LockedError)) throw error
    const pid = holderOf(dir)
    throw new LockedError(
      `${dir.path} is in use by ${pid === undefined ? 'another process' : `process ${pid}`}: stop it, or leave the directory to it`,
      { cause: error },
    )
  }
}

/** The process that said it holds the store, if it still lives. */
function holderOf(dir: Directory): number | undefined {
  try {
    const pid = Number(readFileSync(dir.holder, 'utf8'))
    if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
    process.kill(pid, 0)
    return pid
  } catch {
    // Not written yet, removed a moment ago, or the process is gone: then nobody can be named.
    return undefined
  }
}

/** Notes this process as the holder of the store; gives the way to take it back. */
export function noteHolder(dir: Directory): () => void {
  const file = openSync(dir.holder, 'w', 0o600)
  try {
    writeSync(file, `${process.pid}\n`)
  } finally {
    closeSync(file)
  }
  return () => rmSync(dir.holder, { force: true })
}

/** Free bytes of the disk under a path, for this user. */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}

/**
 * Keeps `limits.diskReserveBytes` aside while there is room. When the disk is full the file is removed, so that the engine
 * can still be opened and closed; it comes back once there is room again.
 */
export async function keepReserve(dir: Directory): Promise<void> {
  const free = await freeBytes(dir.path)
  const exists = existsSync(dir.reserve)
  if (free < limits.diskReserveBytes) {
    if (exists) rmSync(dir.reserve)
  } else if (!exists && free > limits.diskLowBytes + limits.diskReserveBytes) {
    // Written, not truncated to size: a sparse file would reserve nothing.
    const file = openSync(dir.reserve, 'w', 0o600)
    try {
      const block = Buffer.alloc(1_048_576, 1)
      for (let written = 0; written < limits.diskReserveBytes; written += block.length) writeSync(file, block)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
  }
}

/** Whether two paths lie on one file system; `undefined` if one of them cannot be looked at. */
export function sameFileSystem(a: string, b: string): boolean | undefined {
  try {
    return statSync(a).dev === statSync(b).dev
  } catch {
    // An unmounted vault is no fault of the node that remembers it.
    return undefined
  }
}
