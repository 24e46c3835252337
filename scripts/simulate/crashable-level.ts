/**
 * A disk for simulations, and the engine on it: memory-level, which forgets at a power cut what LevelDB would forget. A
 * synced batch makes itself and every batch before it durable (they share one log); an unsynced one is durable with the
 * next synced one. The disk can also come up in an earlier state, as a memory card does that lied about its last writes.
 */
import { MemoryLevel } from 'memory-level'
import { InvalidInputError, StorageError, type Clock, type Random } from '../../src/model/index.ts'
import type { Engine } from '../../src/store/index.ts'

export interface DiskOptions {
  readonly clock: Clock
  readonly random: Random
  /** Least and greatest time of one synced batch, ms. */
  readonly syncMs: readonly [min: number, max: number]
}

type Operation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }

/** Synced batches that can be taken back one by one; older ones are folded together, so that memory stays bounded. */
const rememberedBatches = 50_000

/** What lasts when a process ends. At most one engine is on it at a time. */
export class SimulatedDisk {
  readonly #options: DiskOptions
  /** Everything that is older than `#synced`, by the key's bytes as latin1. */
  readonly #base = new Map<string, Operation & { readonly type: 'put' }>()
  #baseMs = -Infinity
  #synced: { readonly atMs: number; readonly operations: readonly Operation[] }[] = []
  /** Written, not yet durable. */
  #unsynced: (readonly Operation[])[] = []
  #process: Process | undefined

  constructor(options: DiskOptions) {
    this.#options = options
  }

  /**
   * Makes the engine of a new process on what is there, not yet opened. Throws `StorageError` while another one is in use.
   * An engine may be closed and opened again, until the power is cut.
   */
  engine(): Engine {
    if (this.#process?.isUsing === true) throw new StorageError('the disk is in use: close or crash its engine first')
    const process = new Process(this)
    this.#process = process
    return new CrashableLevel(process) as unknown as Engine
  }

  /** Cuts the power: the engine on the disk fails from now on, and what was not synced is gone. */
  crash(): void {
    this.#process?.cut(this.#options.random.uniform() < 0.5)
    this.#unsynced = []
  }

  /**
   * Cuts the power, and lets the disk come up as it was at `toMs` of its clock. Throws `InvalidInputError` if that is further
   * back than it remembers.
   */
  rollback(toMs: number): void {
    if (toMs < this.#baseMs)
      throw new InvalidInputError(`the disk remembers its states from ${this.#baseMs} ms on, not that of ${toMs} ms`)
    this.crash()
    this.#synced = this.#synced.filter(({ atMs }) => atMs <= toMs)
  }

  /** All rows as a process that starts now finds them. */
  rows(): Operation[] {
    const rows = new Map<string, Operation & { readonly type: 'put' }>(this.#base)
    for (const { operations } of this.#synced) apply(rows, operations)
    for (const operations of this.#unsynced) apply(rows, operations)
    return [...rows.values()]
  }

  /** Takes a batch of the living process. */
  write(operations: readonly Operation[], sync: boolean): void {
    this.#unsynced.push(operations)
    if (!sync) return
    const atMs = this.#options.clock.monotonicMs()
    for (const batch of this.#unsynced) this.#synced.push({ atMs, operations: batch })
    this.#unsynced = []
    if (this.#synced.length <= rememberedBatches) return
    for (const { atMs, operations } of this.#synced.splice(0, rememberedBatches / 2)) {
      apply(this.#base, operations)
      this.#baseMs = atMs
    }
  }

  /** Takes as long as an fsync. Rejects when `signal` does. */
  sync(signal: AbortSignal): Promise<void> {
    const [min, max] = this.#options.syncMs
    return this.#options.clock.sleep(min + (max - min) * this.#options.random.uniform(), { signal })
  }
}

function apply(rows: Map<string, Operation & { readonly type: 'put' }>, operations: readonly Operation[]): void {
  for (const operation of operations) {
    const key = Buffer.from(operation.key).toString('latin1')
    if (operation.type === 'put') rows.set(key, operation)
    else rows.delete(key)
  }
}

/** The writes of one engine, one after the other, until the power is cut. */
class Process {
  readonly disk: SimulatedDisk
  readonly #power = new AbortController()
  #closed = false
  #last: Promise<void> = Promise.resolve()
  #syncing: readonly Operation[] | undefined

  constructor(disk: SimulatedDisk) {
    this.disk = disk
  }

  get isUsing(): boolean {
    return !this.#closed && !this.#power.signal.aborted
  }

  open(): void {
    this.#power.signal.throwIfAborted()
    this.#closed = false
  }

  async close(): Promise<void> {
    await this.#last
    this.#closed = true
  }

  /** `landed`: the batch that was being synced had reached the disk, although nobody was told. */
  cut(landed: boolean): void {
    if (!this.isUsing) return
    if (landed && this.#syncing !== undefined) this.disk.write(this.#syncing, true)
    this.#power.abort(new StorageError('the power was cut'))
  }

  /** Resolves when the batch is on the disk; `commit` then makes it readable. */
  write(operations: readonly Operation[], sync: boolean, commit: () => Promise<void>): Promise<void> {
    const done = this.#last.then(async () => {
      const { signal } = this.#power
      signal.throwIfAborted()
      if (sync) {
        this.#syncing = operations
        await this.disk.sync(signal)
        this.#syncing = undefined
      }
      this.disk.write(operations, sync)
      await commit()
    })
    this.#last = done.catch(() => undefined)
    return done
  }
}

/** The hooks of abstract-level that its types keep to themselves. Keys and values are bytes here. */
interface Hooks {
  _open(options: object): Promise<void>
  _close(): Promise<void>
  _batch(operations: readonly Operation[], options: { readonly sync?: boolean }): Promise<void>
}

const HookedMemoryLevel = MemoryLevel as unknown as new (options: object) => MemoryLevel<string, Uint8Array> & Hooks

class CrashableLevel extends HookedMemoryLevel {
  readonly #process: Process

  constructor(process: Process) {
    super({ keyEncoding: 'utf8', valueEncoding: 'view' })
    this.#process = process
  }

  override async _open(options: object): Promise<void> {
    this.#process.open()
    await super._open(options)
    await super._batch(this.#process.disk.rows(), {})
  }

  override async _close(): Promise<void> {
    await this.#process.close()
    await super._close()
  }

  override _batch(operations: readonly Operation[], options: { readonly sync?: boolean }): Promise<void> {
    // Copies: a program that writes into its buffer later must not write to the disk with it.
    const copies = operations.map((operation): Operation =>
      operation.type === 'put'
        ? { type: 'put', key: Buffer.from(operation.key), value: Buffer.from(operation.value) }
        : { type: 'del', key: Buffer.from(operation.key) },
    )
    return this.#process.write(copies, options.sync === true, () => super._batch(copies, options))
  }

  async _put(key: Uint8Array, value: Uint8Array, options: { readonly sync?: boolean }): Promise<void> {
    await this._batch([{ type: 'put', key, value }], options)
  }

  async _del(key: Uint8Array, options: { readonly sync?: boolean }): Promise<void> {
    await this._batch([{ type: 'del', key }], options)
  }

  _clear(): Promise<void> {
    return Promise.reject(new InvalidInputError('this engine deletes by key only'))
  }
}
