import type { Clock } from '../../model/index.ts'

/** A clock that stands still until told to run. Everything a timer sets off finishes before time moves on. */
export interface VirtualClock extends Clock {
  /** Runs all timers that become due within `ms`, in order of time, then of insertion, and ends exactly `ms` later. */
  runFor(ms: number): Promise<void>
  /** Runs timer by timer until `done` says so; `false` when `limitMs` have passed before that. */
  runUntil(done: () => boolean, limitMs: number): Promise<boolean>
  /** Finishes what is under way without moving time. */
  settle(): Promise<void>
  /** Timers that are waiting. */
  readonly pending: number
}

/** Rounds of the event loop that one moment may take: code that never stops scheduling is a fault, not a load. */
const roundsPerMoment = 100_000

interface Entry {
  readonly dueUs: number
  readonly order: number
  /** `undefined` once cancelled. */
  callback: (() => void) | undefined
}

/** Makes a virtual clock that starts at this wall time, integer µs. */
export function createVirtualClock(startUs: number): VirtualClock {
  return new TimerQueue(startUs)
}

class TimerQueue implements VirtualClock {
  readonly #startUs: number
  #nowUs: number
  #order = 0
  #live = 0
  /** Binary heap by (due, order). */
  readonly #heap: Entry[] = []

  constructor(startUs: number) {
    this.#startUs = startUs
    this.#nowUs = startUs
  }

  get pending(): number {
    return this.#live
  }

  nowUs(): number {
    return this.#nowUs
  }

  monotonicMs(): number {
    return (this.#nowUs - this.#startUs) / 1000
  }

  setTimer(callback: () => void, ms: number): { cancel(): void } {
    const entry: Entry = { dueUs: this.#nowUs + Math.max(0, Math.ceil(ms * 1000)), order: this.#order++, callback }
    this.#push(entry)
    this.#live += 1
    return {
      cancel: () => {
        if (entry.callback === undefined) return
        entry.callback = undefined
        this.#live -= 1
      },
    }
  }

  sleep(ms: number, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason)
        return
      }
      const onAbort = (): void => {
        timer.cancel()
        reject(signal?.reason)
      }
      const timer = this.setTimer(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }, ms)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  async runFor(ms: number): Promise<void> {
    await this.#run(() => false, ms)
  }

  runUntil(done: () => boolean, limitMs: number): Promise<boolean> {
    return this.#run(done, limitMs)
  }

  /**
   * One turn of the event loop finishes all promises; another is needed for each `setImmediate` that they use. Real
   * timers and I/O are not waited for: simulated code must not use any.
   */
  async settle(): Promise<void> {
    for (let round = 0; round < roundsPerMoment; round++) {
      await new Promise<void>((resolve) => setImmediate(resolve))
      if (!process.getActiveResourcesInfo().includes('Immediate')) return
    }
    throw new RangeError(`the simulated program did not come to rest in ${roundsPerMoment} turns at one moment`)
  }

  async #run(done: () => boolean, ms: number): Promise<boolean> {
    const endUs = this.#nowUs + Math.ceil(ms * 1000)
    await this.settle()
    for (;;) {
      if (done()) return true
      const next = this.#heap[0]
      if (next === undefined || next.dueUs > endUs) break
      this.#pop()
      const callback = next.callback
      if (callback === undefined) continue
      next.callback = undefined
      this.#live -= 1
      this.#nowUs = Math.max(this.#nowUs, next.dueUs)
      callback()
      await this.settle()
    }
    this.#nowUs = Math.max(this.#nowUs, endUs)
    return done()
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    let at = heap.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(entry, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.dueUs < b.dueUs || (a.dueUs === b.dueUs && a.order < b.order)
}
