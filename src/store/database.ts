/**
 * LevelDB with what it lacks: every value carries a checksum over key and value (reads of LevelDB verify none), writes of
 * concurrent callers share one fsync, errors are the project's own, and one failed write is recovered from by reading the
 * disk again.
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

/** A stored value whose checksum does not fit. */
export class DamagedValueError extends DamagedError {
  readonly key: string

  constructor(key: string) {
    super(`the stored value of ${JSON.stringify(key)} is damaged: its checksum does not fit`)
    this.key = key
  }
}

type EngineSnapshot = ReturnType<Engine['snapshot']>
const encodings = { keyEncoding: 'utf8', valueEncoding: 'view' } as const

interface ReadOptions {
  readonly snapshot?: EngineSnapshot | undefined
  /** Does not wait for a recovery. */
  readonly recovery?: boolean
}

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
  #reload: ((disk: Reader, cause: Error) => Promise<void>) | undefined
  #recovering: Promise<void> | undefined
  /** Whether a write succeeded since the engine was opened: two failures in a row are not recovered from. */
  #proven = true

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

  /** Calls once when a write failed and nothing is written any more. */
  onFailure(listener: (error: Error) => void): () => void {
    this.#failureListeners.add(listener)
    return () => this.#failureListeners.delete(listener)
  }

  /**
   * Sets what reads the disk again after a failed write, before any other read or write: the failed batch may be there or
   * not. Without it a failed write is final.
   */
  onReopened(reload: (disk: Reader, cause: Error) => Promise<void>): void {
    this.#reload = reload
  }

  /** Resolves when no recovery is under way: `snapshot` can be called then. */
  async ready(): Promise<void> {
    await this.#recovering
  }

  /**
   * Writes all operations or none. With `sync` (the default) resolves after fsync. Calls that wait at the same time become
   * one batch. After a failed write the engine is opened anew, once, and the writes that waited go on; where that fails,
   * or the error may come from fsync, every later write is refused: what the disk holds is not known any more.
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
        this.#proven = true
      } catch (error) {
        const failure = this.#failure ?? failureOf(error)
        const recover = this.#failure === undefined && this.#proven && !maybeFsync(error) && this.#reload !== undefined
        if (recover) this.#recovering = this.#recover(failure)
        else this.#fail(failure)
        for (const { reject } of group) reject(failure)
        await this.#recovering
        this.#recovering = undefined
      }
    }
    this.#writing = undefined
  }

  /** Opens the engine anew: reads wait for it, and what is read after it is what the disk holds. */
  async #recover(failure: StorageError): Promise<void> {
    this.#proven = false
    try {
      await this.#engine.close()
      await this.#engine.open()
      await this.#reload?.(this.#disk, failure)
    } catch (error) {
      this.#fail(failureOf(error))
    }
  }

  #fail(failure: StorageError): void {
    if (this.#failure !== undefined) return
    this.#failure = failure
    for (const listener of this.#failureListeners) listener(failure)
  }

  get(key: string, snapshot?: EngineSnapshot): Promise<Uint8Array | undefined> {
    return this.#get(key, { snapshot })
  }

  entries(range: Range, snapshot?: EngineSnapshot): AsyncIterable<readonly [string, Uint8Array]> {
    return this.#entries(range, { snapshot })
  }

  keys(range: Range, snapshot?: EngineSnapshot): AsyncIterable<string> {
    return this.#keys(range, { snapshot })
  }

  /** Reads that do not wait for a recovery: they are part of it. */
  readonly #disk: Reader = {
    get: (key) => this.#get(key, { recovery: true }),
    entries: (range) => this.#entries(range, { recovery: true }),
    keys: (range) => this.#keys(range, { recovery: true }),
  }

  async #get(key: string, { snapshot, recovery }: ReadOptions): Promise<Uint8Array | undefined> {
    if (this.#recovering !== undefined && recovery !== true) await this.#recovering
    let stored: Uint8Array | undefined
    try {
      stored = await this.#engine.get(key as never, { ...encodings, snapshot } as never)
    } catch (error) {
      throw this.#readError(error)
    }
    return stored === undefined ? undefined : checked(key, stored)
  }

  async *#entries(
    range: Range,
    { snapshot, recovery }: ReadOptions,
  ): AsyncGenerator<readonly [key: string, value: Uint8Array]> {
    if (this.#recovering !== undefined && recovery !== true) await this.#recovering
    try {
      const items = this.#engine.iterator({ ...encodings, ...range, snapshot } as never)
      for await (const [key, value] of items as unknown as AsyncIterable<[string, Uint8Array]>)
        yield [key, checked(key, value)]
    } catch (error) {
      throw this.#readError(error)
    }
  }

  async *#keys(range: Range, { snapshot, recovery }: ReadOptions): AsyncGenerator<string> {
    if (this.#recovering !== undefined && recovery !== true) await this.#recovering
    try {
      yield* this.#engine.keys({ ...encodings, ...range, snapshot } as never) as unknown as AsyncIterable<string>
    } catch (error) {
      throw this.#readError(error)
    }
  }

  #readError(error: unknown): Error {
    const { code, cause } = error as { code?: string; cause?: { code?: string; message?: string } }
    const named = cause?.code ?? code ?? ''
    if (named === 'LEVEL_CORRUPTION')
      return new DamagedError(`the store's database is damaged (${cause?.message ?? 'corruption'})`, { cause: error })
    if (!named.endsWith('_NOT_OPEN')) return error as Error
    if (this.#closed) return new ClosedError('the store is closed', { cause: error })
    return new StorageError('the store was opened anew after a failed write: read again', { cause: error })
  }

  /** Takes one consistent moment. It must be disposed of. */
  snapshot(): Reader & AsyncDisposable {
    if (this.#closed) throw new ClosedError('the store is closed')
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

function failureOf(error: unknown): StorageError {
  return new StorageError(
    `writing to the store failed (${reasonOf(error)}): nothing of this write was acknowledged; check the disk and start again`,
    { cause: error },
  )
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string } }
  return cause?.message ?? message ?? String(error)
}

/**
 * Whether fsync may have raised it, or a disk that does not take writes at all: the kernel then forgets which pages it did
 * not write, and reading the disk again proves nothing.
 */
function maybeFsync(error: unknown): boolean {
  const code = (error as { code?: string }).code ?? ''
  return /\bEIO\b|Input\/output error|\bfsync\b|\bfdatasync\b|\bEROFS\b|Read-only file system/i.test(
    `${code} ${(error as { message?: string }).message ?? ''} ${reasonOf(error)}`,
  )
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
    throw new DamagedValueError(key)
  return stored.subarray(4)
}
