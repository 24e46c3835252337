/** Keeps the entries used last while their weights fit a limit. */
export class Lru<V> {
  readonly #entries = new Map<string, { readonly value: V; readonly weight: number }>()
  readonly #limit: number
  readonly #evicted: (value: V) => void
  #weight = 0

  /** `evicted` is called with every value that leaves, replaced ones too. */
  constructor(limit: number, evicted: (value: V) => void = () => undefined) {
    this.#limit = limit
    this.#evicted = evicted
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry.value
  }

  /** A single value heavier than the limit is kept until the next one comes. */
  set(key: string, value: V, weight: number): void {
    const before = this.#entries.get(key)
    if (before !== undefined) this.#remove(key, before, before.value !== value)
    for (const [oldest, entry] of this.#entries) {
      if (this.#weight + weight <= this.#limit) break
      this.#remove(oldest, entry, true)
    }
    this.#entries.set(key, { value, weight })
    this.#weight += weight
  }

  delete(key: string): void {
    const entry = this.#entries.get(key)
    if (entry !== undefined) this.#remove(key, entry, true)
  }

  clear(): void {
    for (const [key, entry] of this.#entries) this.#remove(key, entry, true)
  }

  #remove(key: string, entry: { readonly value: V; readonly weight: number }, evict: boolean): void {
    this.#entries.delete(key)
    this.#weight -= entry.weight
    if (evict) this.#evicted(entry.value)
  }
}
