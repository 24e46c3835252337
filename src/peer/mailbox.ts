import { LimitError } from '../model/index.ts'

/** Lets one loop sleep until something happened. Wakes that come while it is awake are not lost. */
export class Wake {
  #woken = false
  #resolve: (() => void) | undefined

  wake(): void {
    this.#woken = true
    this.#resolve?.()
  }

  /** Resolves at the next wake, at once if there was one since the last call. */
  async wait(): Promise<void> {
    if (!this.#woken) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#resolve = resolve
      await promise
      this.#resolve = undefined
    }
    this.#woken = false
  }
}

/** Messages from one task to one reader, in order, at most `limit` waiting. */
export class Mailbox<T> implements AsyncIterable<T> {
  readonly #limit: number
  readonly #items: T[] = []
  readonly #wake = new Wake()
  #closed = false
  #error: Error | undefined

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Throws `LimitError` when full. After `close` nothing is taken. */
  put(item: T): void {
    if (this.#closed) return
    if (this.#items.length >= this.#limit) throw new LimitError(`more than ${this.#limit} messages wait for a peer`)
    this.#items.push(item)
    this.#wake.wake()
  }

  /** Ends the reader after what waits, or at once with an error. Idempotent: the first counts. */
  close(error?: Error): void {
    if (this.#closed) return
    this.#closed = true
    this.#error = error
    if (error !== undefined) this.#items.length = 0
    this.#wake.wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const item = this.#items.shift()
      if (item !== undefined) yield item
      else if (this.#error !== undefined) throw this.#error
      else if (this.#closed) return
      else await this.#wake.wait()
    }
  }
}

/** Closes a mailbox when a signal aborts; gives what undoes it. */
export function closeOnAbort(mailbox: Mailbox<unknown>, signal: AbortSignal): Disposable {
  const close = (): void => mailbox.close()
  if (signal.aborted) close()
  else signal.addEventListener('abort', close, { once: true })
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', close) }
}
