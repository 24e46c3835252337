import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { wireLimits } from './wire.ts'

/** Where a running node's control socket is. */
export interface SocketPlace {
  /** Gives a free path, removing what a crash left there. Only the holder of the store's lock may call it. */
  claim(): string
  release(): void
  /** The path to connect to; `undefined`: no node has put one there. */
  find(): string | undefined
}

/**
 * The socket is `node.sock` in the directory. Where that path is longer than a socket's may be, it stands in a private
 * folder of the system's temporary one, and `node.sock.path` says where.
 */
export function socketPlace(dir: string): SocketPlace {
  const direct = join(resolve(dir), 'node.sock')
  const pointer = `${direct}.path`
  const fits = Buffer.byteLength(direct) <= wireLimits.pathBytes
  const readPointer = (): string | undefined => {
    try {
      return readFileSync(pointer, 'utf8').trim()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }
  const clear = (): void => {
    rmSync(direct, { force: true })
    const far = readPointer()
    // Only a folder of our own making: the pointer file may be a stranger's if the directory was copied.
    if (far !== undefined && /[/\\]hedgerow-[A-Za-z0-9]{6}[/\\]node\.sock$/.test(far))
      rmSync(dirname(far), { recursive: true, force: true })
    rmSync(pointer, { force: true })
  }
  return {
    claim() {
      clear()
      if (fits) return direct
      const path = join(mkdtempSync(join(tmpdir(), 'hedgerow-')), 'node.sock')
      writeFileSync(pointer, `${path}\n`, { mode: 0o600 })
      return path
    },
    release: clear,
    find: () => (fits ? direct : readPointer()),
  }
}
