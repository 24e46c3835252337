/** Hands on values as fast as they are taken: of those that came meanwhile, only the latest. For progress. */
export class LatestValue<T> implements AsyncIterable<T> {
  #latest: { readonly value: T } | undefined
  #ended = false
  #wake: (() => void) | undefined

  put(value: T): void {
    this.#latest = { value }
    this.#wake?.()
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const latest = this.#latest
      this.#latest = undefined
      if (latest !== undefined) yield latest.value
      else if (this.#ended) return
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
    }
  }
}
