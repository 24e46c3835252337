/** Engines that fail as disks do: at a chosen write, at a power cut, or by a flipped bit. */
import { MemoryLevel } from 'memory-level'
import type { Engine } from '../../src/store/index.ts'

const encodings = { keyEncoding: 'utf8', valueEncoding: 'view' } as const
type RawOperation = { readonly type: 'put' | 'del'; readonly key: string; readonly value?: Uint8Array }
type Entries = readonly (readonly [key: string, value: Uint8Array])[]

export function newEngine(): Engine {
  return new MemoryLevel(encodings) as unknown as Engine
}

/** Error of a write as classic-level gives it. */
export function diskError(reason: string): Error {
  return Object.assign(new Error('Batch failed'), { code: 'LEVEL_IO_ERROR', cause: new Error(`IO error: ${reason}`) })
}

export const diskFull = (): Error => diskError('/data/000005.log: No space left on device')
export const fsyncFailed = (): Error => diskError('/data/000005.log: Input/output error')

/** Passes everything on to an engine, except for its batches: these go through `batch`, numbered from 1. */
function withBatches(
  engine: Engine,
  batch: (n: number, operations: readonly RawOperation[], sync: boolean, write: () => Promise<void>) => Promise<void>,
): Engine {
  let n = 0
  return new Proxy(engine, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (name === 'batch')
        return (operations: readonly RawOperation[], options: { sync?: boolean }) =>
          batch(++n, operations, options.sync === true, () => target.batch(operations as never, options as never))
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value
    },
  })
}

export interface WriteFault {
  readonly error: Error
  /** The batch reached the disk all the same: only the answer was bad. */
  readonly written?: boolean
}

/** Fails the batches for which `fault` gives one. */
export function failingEngine(engine: Engine, fault: (n: number) => WriteFault | undefined): Engine {
  return withBatches(engine, async (n, _operations, _sync, write) => {
    const found = fault(n)
    if (found === undefined || found.written === true) await write()
    if (found !== undefined) throw found.error
  })
}

/** An engine whose batches wait while it is held, as on a slow disk. */
export function slowEngine(engine: Engine): { readonly engine: Engine; hold(): void; release(): void } {
  let gate = Promise.withResolvers<void>()
  gate.resolve()
  return {
    engine: withBatches(engine, async (_n, _operations, _sync, write) => {
      await gate.promise
      await write()
    }),
    hold() {
      gate = Promise.withResolvers<void>()
    },
    release() {
      gate.resolve()
    },
  }
}

/** An engine whose power can be cut: what was written after the last synced batch may be lost. */
export interface CuttableEngine {
  readonly engine: Engine
  /** Batches so far. */
  readonly batches: number
  /** No batch is written from now on. */
  cut(): void
  /** What a new start finds: everything up to the last finished synced batch, and the first `unsynced` batches after it. */
  found(unsynced: number): Promise<Engine>
}

export function cuttableEngine(options: { readonly cutAt?: number } = {}): CuttableEngine {
  const written: (readonly RawOperation[])[] = []
  let durable = 0
  let cut = false
  const engine = withBatches(newEngine(), async (n, operations, sync, write) => {
    if (n === options.cutAt) cut = true
    // A batch that was being written when the power went may be found whole.
    written.push(operations.map((operation) => ({ ...operation })))
    if (cut) throw fsyncFailed()
    const at = written.length
    await write()
    if (sync) durable = Math.max(durable, at)
  })
  return {
    engine,
    get batches() {
      return written.length
    },
    cut() {
      cut = true
    },
    async found(unsynced) {
      const fresh = newEngine()
      await fresh.open()
      for (const operations of written.slice(0, durable + unsynced))
        await fresh.batch(operations as never, encodings as never)
      await fresh.close()
      return fresh
    },
  }
}

/** All that an open engine holds. */
export async function entriesOf(engine: Engine): Promise<Entries> {
  return (await engine.iterator(encodings as never).all()) as unknown as Entries
}

/** A closed engine that holds these entries. */
export async function engineOf(entries: Entries): Promise<Engine> {
  const engine = newEngine()
  await engine.open()
  await engine.batch(
    entries.map(([key, value]) => ({ type: 'put', key, value: Uint8Array.from(value) })) as never,
    encodings as never,
  )
  await engine.close()
  return engine
}

export function flipped(value: Uint8Array, bit: number): Uint8Array {
  const damaged = Uint8Array.from(value)
  damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7))
  return damaged
}

/** Flips one bit of the stored value of a key, in an open engine. */
export async function flipBit(engine: Engine, key: string, bit: number): Promise<void> {
  const value: Uint8Array | undefined = await engine.get(key as never, encodings as never)
  if (value === undefined) throw new Error(`nothing is stored at ${JSON.stringify(key)}`)
  await engine.put(key as never, flipped(value, bit % (value.length * 8)) as never, encodings as never)
}

/** Keys that an open engine holds, all or those that begin with a letter of `src/store/keys.ts`. */
export async function memoryKeys(engine: Engine, letter?: string): Promise<string[]> {
  const keys = (await engine.keys(encodings as never).all()) as unknown as string[]
  return letter === undefined ? keys : keys.filter((key) => key.startsWith(`${letter}\0`))
}
