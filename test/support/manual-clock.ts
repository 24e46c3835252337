import type { Clock, Timer } from '../../src/model/index.ts'

/** A clock that stands still until it is told to go on. Wall and monotonic time are moved together or apart. */
export class ManualClock implements Clock {
  #us: number
  #ms = 0
  readonly #timers = new Set<{ readonly at: number; readonly call: () => void }>()

  constructor(startUs: number) {
    this.#us = startUs
  }

  nowUs(): number {
    return this.#us
  }

  monotonicMs(): number {
    return this.#ms
  }

  setTimer(call: () => void, ms: number): Timer {
    const timer = { at: this.#ms + ms, call }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  sleep(ms: number, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const timer = this.setTimer(resolve, ms)
      signal?.addEventListener('abort', () => {
        timer.cancel()
        reject(signal.reason as Error)
      })
    })
  }

  /** Sets the wall clock alone, as an administrator or NTP would. */
  setWall(us: number): void {
    this.#us = us
  }

  /** Lets time pass; calls the timers that are due, in order. */
  advance(ms: number): void {
    const end = this.#ms + ms
    for (;;) {
      const next = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#timers.delete(next)
      this.#us += (next.at - this.#ms) * 1000
      this.#ms = next.at
      next.call()
    }
    this.#us += (end - this.#ms) * 1000
    this.#ms = end
  }
}
