import { limits, type Clock } from '../model/index.ts'

/**
 * Hybrid logical clock in µs (Kulkarni et al. 2014, with the logical part folded into the microseconds): never repeats,
 * never falls behind what was seen, and is moved only by remote orders that a wall clock could show.
 */
export class OrderClock {
  readonly #clock: Clock
  #last: number

  constructor(clock: Clock, seed: number) {
    this.#clock = clock
    this.#last = seed
  }

  /** Gives an order greater than all given or seen before. */
  next(): number {
    this.#last = Math.max(this.#last + 1, this.#clock.nowUs())
    return this.#last
  }

  /** Takes over an order that this node gave in an earlier run, however far ahead of the wall clock it is. */
  seed(order: number): void {
    this.#last = Math.max(this.#last, order)
  }

  observe(order: number): void {
    if (order > this.#last && order <= this.#clock.nowUs() + limits.orderAheadUs) this.#last = order
  }

  get last(): number {
    return this.#last
  }
}
