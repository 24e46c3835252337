import { chmodSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { InvalidInputError, LimitError } from '../../model/index.ts'
import type { Operations } from '../operations.ts'
import { packError } from './wire-errors.ts'
import { encodeFrame, encodeItem, readFrames, wireLimits, type ServerMessage, type WireItem } from './wire.ts'
import type { SocketPlace } from './socket-place.ts'

export interface ControlServer extends AsyncDisposable {
  /** Ends all requests and removes the socket. Idempotent. */
  close(): Promise<void>
}

/**
 * Answers a node's operations on a unix socket that only the node's user may open. The caller holds the store's lock,
 * so a socket file that is already there was left by a crash and is replaced.
 */
export async function serveControl(
  operations: Operations,
  place: SocketPlace,
  onFault: (error: unknown) => void,
): Promise<ControlServer> {
  const sessions = new Set<Session>()
  const server = createServer((socket) => {
    const session = new Session(operations, socket)
    sessions.add(session)
    session
      .run()
      .catch((error: unknown) => {
        if (!isDisconnect(error)) onFault(error)
      })
      .finally(() => sessions.delete(session))
  })
  const path = place.claim()
  await listen(server, path)
  server.on('error', onFault)
  const close = async (): Promise<void> => {
    for (const session of sessions) session.stop()
    if (!server.listening) return
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
    })
    place.release()
  }
  return { close, [Symbol.asyncDispose]: close }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // The socket file is made inside listen(): nobody else may connect even for a moment.
    const mask = process.umask(0o177)
    try {
      server.listen(path, () => {
        server.off('error', reject)
        chmodSync(path, 0o600)
        resolve()
      })
    } finally {
      process.umask(mask)
    }
  })
}

interface Request {
  readonly abort: AbortController
  credit: number
  wake: (() => void) | undefined
}

/** One connection: its requests run side by side; when it breaks, all of them are aborted. */
class Session {
  readonly #operations: Operations
  readonly #socket: Socket
  readonly #requests = new Map<number, Request>()

  constructor(operations: Operations, socket: Socket) {
    this.#operations = operations
    this.#socket = socket
  }

  stop(): void {
    this.#socket.destroy()
  }

  async run(): Promise<void> {
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    this.#socket.once('close', () => resolve())
    try {
      for await (const message of readFrames(this.#socket)) this.#take(message)
    } finally {
      for (const { abort, wake } of this.#requests.values()) {
        abort.abort(new InvalidInputError('the control connection was closed'))
        wake?.()
      }
      this.#socket.destroy()
      await closed
    }
  }

  #take(message: Record<string, unknown>): void {
    const id = message['id'] as number
    const request = this.#requests.get(id)
    if (message['cancel'] === true) {
      request?.abort.abort(new InvalidInputError('cancelled'))
      request?.wake?.()
    } else if (typeof message['credit'] === 'number') {
      if (request === undefined) return
      request.credit += message['credit']
      request.wake?.()
    } else {
      if (request !== undefined) throw new InvalidInputError(`control request ${id} is still running`)
      if (this.#requests.size >= wireLimits.requests)
        throw new LimitError(`more than ${wireLimits.requests} requests at once on one control connection`)
      void this.#answer(id, String(message['operation']), message['input'])
    }
  }

  async #answer(id: number, operation: string, input: unknown): Promise<void> {
    const request: Request = { abort: new AbortController(), credit: wireLimits.windowChunks, wake: undefined }
    this.#requests.set(id, request)
    const context = { signal: request.abort.signal }
    try {
      const { calls, streams } = this.#operations
      if (Object.hasOwn(calls, operation)) {
        const call = calls[operation as keyof typeof calls] as (i: unknown, c: typeof context) => Promise<unknown>
        await this.#send({ id, output: await call(input, context) })
      } else if (Object.hasOwn(streams, operation)) {
        const stream = streams[operation as keyof typeof streams] as (
          i: unknown,
          c: typeof context,
        ) => AsyncIterable<unknown>
        await this.#stream(id, request, stream(input, context))
      } else
        throw new InvalidInputError(`this node does not know ${JSON.stringify(operation)}: is it an older release?`)
    } catch (error) {
      await this.#send({ id, error: packError(error) })
    } finally {
      this.#requests.delete(id)
    }
  }

  async #stream(id: number, request: Request, items: AsyncIterable<unknown>): Promise<void> {
    const { signal } = request.abort
    let chunk: WireItem[] = []
    let bytes = 0
    const send = async (): Promise<void> => {
      while (request.credit === 0 && !signal.aborted)
        await new Promise<void>((resolve) => {
          request.wake = resolve
        })
      request.wake = undefined
      signal.throwIfAborted()
      request.credit--
      await this.#send({ id, items: chunk })
      chunk = []
      bytes = 0
    }
    let lastSent = performance.now()
    for await (const item of items) {
      signal.throwIfAborted()
      const encoded = encodeItem(item)
      chunk.push(encoded)
      bytes += encoded.length
      // Slow streams (progress) are passed on as they come, fast ones in chunks.
      const now = performance.now()
      if (chunk.length < wireLimits.chunkItems && bytes < wireLimits.chunkBytes && now - lastSent < 50) continue
      await send()
      lastSent = now
    }
    if (chunk.length > 0) await send()
    await this.#send({ id, end: true })
  }

  async #send(message: ServerMessage): Promise<void> {
    const socket = this.#socket
    if (socket.destroyed) return
    if (socket.write(encodeFrame(message))) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off('drain', done)
        socket.off('close', done)
        resolve()
      }
      socket.on('drain', done)
      socket.on('close', done)
    })
  }
}

/** A client that went away is no fault of anybody. */
function isDisconnect(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ABORT_ERR'
}
