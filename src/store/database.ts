/**
 * LevelDB with what it lacks: every value carries a checksum over key and value (reads of LevelDB verify none), writes of
 * concurrent callers share one fsync, and errors are the project's own.
 */
import { crc32 } from 'node:zlib'
import { ClosedError, DamagedError, LockedError, StorageError } from '../model/index.ts'
import type { Engine } from './types.ts'

export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string }

export interface Range {
  readonly gte?: string
  readonly gt?: string
  readonly lt?: string
  readonly lte?: string
  readonly reverse?: boolean
  readonly limit?: number
}

/** Reads of one consistent moment, or of the present. Throws `DamagedError` where a checksum does not fit. */
export interface Reader {
  get(key: string): Promise<Uint8Array | undefined>
  entries(range: Range): AsyncIterable<readonly [key: string, value: Uint8Array]>
  keys(range: Range): AsyncIterable<string>
}

type EngineSnapshot = ReturnType<Engine['snapshot']>
const encodings = { keyEncoding: 'utf8', valueEncoding: 'view' } as const

interface Waiting {
  readonly operations: readonly Operation[]
  readonly sync: boolean
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Bytes of values that one engine batch takes along; what waits beyond it goes into the next. */
const groupBytes = 8_388_608

export class Database implements Reader, AsyncDisposable {
  readonly #engine: Engine
  #waiting: Waiting[] = []
  #writing: Promise<void> | undefined
  #failure: StorageError | undefined
  #closed = false
  readonly #failureListeners = new Set<(error: Error) => void>()

  private constructor(engine: Engine) {
    this.#engine = engine
  }

  /** Opens the engine. Throws `LockedError` if another process has it, `DamagedError` if it cannot be read. */
  static async open(engine: Engine): Promise<Database> {
    try {
      await engine.open()
    } catch (error) {
      const cause = (error as { cause?: { code?: string; message?: string } }).cause
      if (cause?.code === 'LEVEL_LOCKED')
        throw new LockedError('the store is in use by another process: stop it, or talk to the running node', {
          cause: error,
        })
      if (cause?.code === 'LEVEL_CORRUPTION')
        throw new DamagedError(
          `the store's database is damaged (${cause.message ?? 'corruption'}): keep the directory, restore a backup into a fresh one or join again`,
          { cause: error },
        )
      throw new StorageError(`the store cannot be opened: ${cause?.message ?? (error as Error).message}`, {
        cause: error,
      })
    }
    return new Database(engine)
  }

  /** Calls once when a write failed. */
  onFailure(listener: (error: Error) => void): () => void {
    this.#failureListeners.add(listener)
    return () => this.#failureListeners.delete(listener)
  }

  /**
   * Writes all operations or none. With `sync` (the default) resolves after fsync. Calls that wait at the same time become
   * one batch. After a failed write every later one is refused: the engine's memory may be ahead of the disk.
   */
  write(operations: readonly Operation[], options: { readonly sync?: boolean } = {}): Promise<void> {
    if (this.#closed) return Promise.reject(new ClosedError('the store is closed'))
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (operations.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operations, sync: options.sync ?? true, resolve, reject })
      this.#writing ??= this.#drain()
    })
  }

  async #drain(): Promise<void> {
    // One turn later, so that callers of the same turn share the batch.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const group: Waiting[] = []
      let bytes = 0
      while (this.#waiting.length > 0 && bytes < groupBytes) {
        const next = this.#waiting.shift() as Waiting
        for (const operation of next.operations) if (operation.type === 'put') bytes += operation.value.length
        group.push(next)
      }
      try {
        if (this.#failure !== undefined) throw this.#failure
        await this.#engine.batch(
          group.flatMap(({ operations }) =>
            operations.map((operation) =>
              operation.type === 'put'
                ? { ...operation, value: withChecksum(operation.key, operation.value) }
                : operation,
            ),
          ) as never,
          { ...encodings, sync: group.some(({ sync }) => sync) } as never,
        )
        for (const { resolve } of group) resolve()
      } catch (error) {
        this.#fail(error)
        for (const { reject } of group) reject(this.#failure as StorageError)
      }
    }
    this.#writing = undefined
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return
    const cause = error as { message?: string; cause?: { message?: string } }
    this.#failure = new StorageError(
      `writing to the store failed (${cause.cause?.message ?? cause.message}): nothing of this write was acknowledged; check the disk and start again`,
      { cause: error },
    )
    for (const listener of this.#failureListeners) listener(this.#failure)
  }

  async get(key: string, snapshot?: EngineSnapshot): Promise<Uint8Array | undefined> {
    const stored = (await this.#engine.get(key as never, { ...encodings, snapshot } as never)) as Uint8Array | undefined
    return stored === undefined ? undefined : checked(key, stored)
  }

  async *entries(range: Range, snapshot?: EngineSnapshot): AsyncIterable<readonly [string, Uint8Array]> {
    const iterator = this.#engine.iterator({ ...encodings, ...range, snapshot } as never) as unknown as AsyncIterable<
      [string, Uint8Array]
    >
    for await (const [key, value] of iterator) yield [key, checked(key, value)]
  }

  keys(range: Range, snapshot?: EngineSnapshot): AsyncIterable<string> {
    return this.#engine.keys({ ...encodings, ...range, snapshot } as never) as unknown as AsyncIterable<string>
  }

  /** Takes one consistent moment. It must be disposed of. */
  snapshot(): Reader & AsyncDisposable {
    const snapshot = this.#engine.snapshot()
    return {
      get: (key) => this.get(key, snapshot),
      entries: (range) => this.entries(range, snapshot),
      keys: (range) => this.keys(range, snapshot),
      [Symbol.asyncDispose]: () => snapshot.close(),
    }
  }

  /** Compacts the whole key space where the engine can. */
  async compact(): Promise<void> {
    const engine = this.#engine as Engine & {
      compactRange?: (from: string, to: string, options: object) => Promise<void>
    }
    await engine.compactRange?.('', '\uffff', encodings)
  }

  /** Waits for what is being written and closes the engine. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#writing
    await this.#engine.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

function withChecksum(key: string, value: Uint8Array): Uint8Array {
  const stored = Buffer.allocUnsafe(value.length + 4)
  stored.writeUInt32LE(crc32(value, crc32(key)), 0)
  stored.set(value, 4)
  return stored
}

function checked(key: string, stored: Uint8Array): Uint8Array {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.length)
  if (bytes.length < 4 || bytes.readUInt32LE(0) !== crc32(bytes.subarray(4), crc32(key)))
    throw new DamagedError(`the stored value of ${JSON.stringify(key)} is damaged: its checksum does not fit`)
  return stored.subarray(4)
}
