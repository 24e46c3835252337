import type { NetworkLog } from './log.ts'

/** Listeners of one event. One that throws is logged; the others are still called. */
export class Listeners<Arguments extends readonly unknown[]> {
  readonly #listeners = new Set<{ readonly call: (...args: Arguments) => void }>()
  readonly #log: NetworkLog

  constructor(log: NetworkLog) {
    this.#log = log
  }

  get size(): number {
    return this.#listeners.size
  }

  add(listener: (...args: Arguments) => void): () => void {
    const entry = { call: listener }
    this.#listeners.add(entry)
    return () => {
      this.#listeners.delete(entry)
    }
  }

  emit(...args: Arguments): void {
    for (const { call } of this.#listeners)
      try {
        call(...args)
      } catch (error) {
        this.#log('error', 'a network listener failed', { error })
      }
  }

  clear(): void {
    this.#listeners.clear()
  }
}
