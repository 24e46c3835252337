import { connect, type Socket } from 'node:net'
import { ClosedError, LockedError } from '../../model/index.ts'
import type { NodeClient } from '../operations.ts'
import type { SocketPlace } from './socket-place.ts'
import { unpackError } from './wire-errors.ts'
import { decodeItem, encodeFrame, readFrames, type ClientMessage, type WireError, type WireItem } from './wire.ts'

/** Connects to the node that runs on a directory; `undefined` if none does (a socket left by a crash counts as none). */
export async function connectControl(place: SocketPlace): Promise<NodeClient | undefined> {
  const path = place.find()
  if (path === undefined) return undefined
  const socket = await dial(path)
  return socket === undefined ? undefined : new RemoteClient(socket)
}

function dial(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      resolve(socket)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.destroy()
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ENOTSOCK') resolve(undefined)
      else if (error.code === 'EACCES' || error.code === 'EPERM')
        reject(
          new LockedError(
            `the node's socket ${path} belongs to another user: run the command as the user that runs the node`,
            {
              cause: error,
            },
          ),
        )
      else reject(error)
    })
  })
}

interface Pending {
  message(message: Record<string, unknown>): void
  fail(error: Error): void
}

class RemoteClient implements NodeClient {
  readonly remote = true
  readonly #socket: Socket
  readonly #pending = new Map<number, Pending>()
  readonly #reader: Promise<void>
  readonly gone: Promise<Error>
  readonly #leave: (error: Error) => void
  #nextId = 1
  #closed: Error | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    const { promise, resolve } = Promise.withResolvers<Error>()
    this.gone = promise
    this.#leave = resolve
    this.#reader = this.#read()
  }

  async #read(): Promise<void> {
    let reason: unknown
    try {
      for await (const message of readFrames(this.#socket)) this.#pending.get(message['id'] as number)?.message(message)
    } catch (error) {
      reason = error
    }
    this.#closed ??= new ClosedError('the running node closed the connection before it answered: was it stopped?', {
      cause: reason,
    })
    for (const pending of this.#pending.values()) pending.fail(this.#closed)
    this.#leave(this.#closed)
  }

  #send(message: ClientMessage): void {
    if (this.#closed !== undefined) throw this.#closed
    this.#socket.write(encodeFrame(message))
  }

  async call(name: string, input: unknown, { signal }: { signal?: AbortSignal } = {}): Promise<never> {
    signal?.throwIfAborted()
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const cancel = (): void => {
      if (this.#closed === undefined) this.#send({ id, cancel: true })
    }
    this.#pending.set(id, {
      message: (message) => {
        if (message['error'] === undefined) resolve(message['output'])
        else reject(unpackError(message['error'] as WireError))
      },
      fail: reject,
    })
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      this.#send({ id, operation: name, input })
      return (await promise) as never
    } finally {
      signal?.removeEventListener('abort', cancel)
      this.#pending.delete(id)
    }
  }

  async *stream(name: string, input: unknown, { signal }: { signal?: AbortSignal } = {}): AsyncGenerator<never> {
    signal?.throwIfAborted()
    const id = this.#nextId++
    const chunks: (readonly WireItem[])[] = []
    let ended = false
    let failure: Error | undefined
    let wake: (() => void) | undefined
    const fail = (error: Error): void => {
      failure ??= error
      wake?.()
    }
    const cancel = (): void => fail(signal?.reason instanceof Error ? signal.reason : new ClosedError('cancelled'))
    this.#pending.set(id, {
      message: (message) => {
        if (message['items'] !== undefined) chunks.push(message['items'] as WireItem[])
        else if (message['error'] !== undefined) failure ??= unpackError(message['error'] as WireError)
        else ended = true
        wake?.()
      },
      fail,
    })
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      this.#send({ id, operation: name, input })
      for (;;) {
        const chunk = chunks.shift()
        if (chunk !== undefined) {
          for (const item of chunk) yield decodeItem(item) as never
          if (!ended && this.#closed === undefined) this.#send({ id, credit: 1 })
        } else if (failure !== undefined) throw failure
        else if (ended) return
        else
          await new Promise<void>((resolve) => {
            wake = resolve
          })
      }
    } finally {
      signal?.removeEventListener('abort', cancel)
      this.#pending.delete(id)
      if (!ended && this.#closed === undefined) this.#send({ id, cancel: true })
    }
  }

  async close(): Promise<void> {
    this.#closed ??= new ClosedError('this connection to the node was closed')
    this.#socket.destroy()
    await this.#reader
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
