export interface Totals {
  readonly records: number
  readonly documents: number
  readonly bytes: number
}

const none: Totals = { records: 0, documents: 0, bytes: 0 }

/**
 * Running totals of all documents, kept by differences. Where a difference is not known (a row that was damaged), they are
 * counted again beside the writes that go on.
 */
export class RunningTotals {
  #now = none
  #inFlight = 0
  #idle: (() => void) | undefined
  /** Closed while a recount waits for the moment in which no write is between disk and totals. */
  #gate: Promise<void> | undefined
  #counting: Promise<void> = Promise.resolve()

  reset(): void {
    this.#now = none
  }

  add(difference: Totals): void {
    this.#now = sum(this.#now, difference, 1)
  }

  /** Waits for a recount that is under way; one that fails is its caller's to report. */
  async value(): Promise<Totals> {
    await this.#counting.catch(() => undefined)
    return this.#now
  }

  /** Runs a write together with its `add`. */
  async writing(write: () => Promise<void>): Promise<void> {
    while (this.#gate !== undefined) await this.#gate
    this.#inFlight++
    try {
      await write()
    } finally {
      if (--this.#inFlight === 0) this.#idle?.()
    }
  }

  /** Counts again. `count` fixes its moment when it is called, before it first waits. */
  recount(count: () => Promise<Totals>): Promise<void> {
    const before = this.#counting.catch(() => undefined)
    this.#counting = before.then(async () => {
      const gate = Promise.withResolvers<void>()
      this.#gate = gate.promise
      try {
        if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
      } finally {
        this.#idle = undefined
      }
      const start = this.#now
      const counting = count()
      this.#gate = undefined
      gate.resolve()
      const counted = await counting
      this.#now = sum(counted, sum(this.#now, start, -1), 1)
    })
    return this.#counting
  }
}

export function sum(a: Totals, b: Totals, sign: 1 | -1): Totals {
  return {
    records: a.records + sign * b.records,
    documents: a.documents + sign * b.documents,
    bytes: a.bytes + sign * b.bytes,
  }
}
