import { DiskFullError, limits, type Clock } from '../model/index.ts'
import type { StoreOptions } from './types.ts'

/** How long a look at the disk's free space holds. */
const freeSpaceMs = 1_000

/** Refuses what would fill the disk: intake and what peers send. Reads, restore, backup and shutdown do not ask. */
export class DiskWatch {
  readonly #clock: Clock
  readonly #freeBytes: StoreOptions['freeBytes']
  #full: DiskFullError | undefined
  #lookedMs = -Infinity

  constructor(clock: Clock, freeBytes: StoreOptions['freeBytes']) {
    this.#clock = clock
    this.#freeBytes = freeBytes
  }

  /** Throws `DiskFullError` below the low-water mark. */
  async check(): Promise<void> {
    if (this.#freeBytes !== undefined && this.#clock.monotonicMs() - this.#lookedMs >= freeSpaceMs) {
      this.#lookedMs = this.#clock.monotonicMs()
      const free = await this.#freeBytes()
      this.#full =
        free >= limits.diskLowBytes
          ? undefined
          : new DiskFullError(
              `the disk has ${Math.floor(free / 1_048_576)} MiB free; intake stops below ${limits.diskLowBytes / 1_048_576} MiB: make room, reads and backups go on`,
            )
    }
    if (this.#full !== undefined) throw this.#full
  }
}
