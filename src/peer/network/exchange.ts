/** What both networks do with a stream once it is open: pump messages out, hand messages in, end or reset. */
import { LimitError, NetworkError, type NodeId } from '../../model/index.ts'
import type { NetworkLog } from './log.ts'
import { networkLimits, type StreamHandler } from './types.ts'

/** One open stream as seen from one side. */
export interface Duplex {
  /** Resolves when there is room for the next message. */
  send(message: Uint8Array): Promise<void>
  /** Ends the outgoing messages. Resolves when they are on their way. */
  end(): Promise<void>
  /** The next incoming message; `undefined` after the last. Throws `NetworkError` when the stream breaks before. */
  receive(): Promise<Uint8Array | undefined>
  /** Takes no more incoming messages, without disturbing the outgoing ones. */
  ignore(): void
  /** Cuts both directions at once, on both sides. Idempotent; nothing happens to a stream that has ended. */
  reset(reason: Error): void
  /** Aborted, with the reason, when the stream is cut by either side or with its connection. */
  readonly broken: AbortSignal
}

type Source = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** Sends what `source` yields until it ends or the stream breaks, and then ends the source. */
async function pump(duplex: Duplex, source: Source, log: NetworkLog, onLast: () => void): Promise<void> {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  let stop: (() => void) | undefined
  const onBroken = (): void => stop?.()
  duplex.broken.addEventListener('abort', onBroken)
  try {
    for (;;) {
      duplex.broken.throwIfAborted()
      const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<Uint8Array>>()
      stop = () => reject(duplex.broken.reason)
      Promise.resolve(iterator.next()).then(resolve, reject)
      const step = await promise
      stop = undefined
      if (step.done === true) break
      if (step.value.length > networkLimits.messageBytes)
        throw new LimitError(
          `a message of ${step.value.length} bytes is above the limit of ${networkLimits.messageBytes}: send it in parts`,
        )
      await duplex.send(step.value)
    }
    onLast()
    await duplex.end()
  } catch (error) {
    // Not awaited: a source that waits for something else may end late or never.
    Promise.resolve(iterator.return?.()).catch((failure: unknown) => {
      log('warn', 'the source of a broken stream failed to end', { error: failure })
    })
    throw error
  } finally {
    duplex.broken.removeEventListener('abort', onBroken)
  }
}

/** The opener's side. Leaving the loop resets the stream unless both directions have ended. */
export async function* converse(
  duplex: Duplex,
  outgoing: Source,
  signal: AbortSignal,
  log: NetworkLog,
): AsyncIterable<Uint8Array> {
  const abort = (): void => duplex.reset(new NetworkError('the stream was aborted', { cause: signal.reason }))
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })

  let handedOver = false
  let failure: { readonly error: unknown } | undefined
  const sending = pump(duplex, outgoing, log, () => {
    handedOver = true
  }).catch((error: unknown) => {
    // What the source threw is the caller's own error; a broken stream shows when receiving.
    if (!duplex.broken.aborted) failure = { error }
    duplex.reset(new NetworkError('the sender of a stream failed', { cause: error }))
  })
  let ended = false
  try {
    for (;;) {
      const message = await duplex.receive()
      if (message === undefined) break
      yield message
    }
    // All was handed over and the other side is content: the last bytes are only being flushed.
    if (handedOver) await sending
    ended = handedOver && !duplex.broken.aborted
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw failure === undefined ? error : failure.error
  } finally {
    signal.removeEventListener('abort', abort)
    if (!ended) duplex.reset(new NetworkError('the stream was left before its end'))
  }
}

/** The answering side. Never rejects: a handler that throws costs its stream. */
export async function answer(
  duplex: Duplex,
  protocol: string,
  from: NodeId,
  handler: StreamHandler,
  log: NetworkLog,
): Promise<void> {
  try {
    const outgoing = handler(from, incomingOf(duplex), { signal: duplex.broken })
    await pump(duplex, outgoing, log, () => undefined)
    duplex.ignore()
  } catch (error) {
    if (!duplex.broken.aborted) log('warn', 'a stream was reset because its handler failed', { protocol, from, error })
    duplex.reset(new NetworkError(`the handler of ${protocol} failed`, { cause: error }))
  }
}

async function* incomingOf(duplex: Duplex): AsyncGenerator<Uint8Array> {
  for (;;) {
    const message = await duplex.receive()
    if (message === undefined) return
    yield message
  }
}
