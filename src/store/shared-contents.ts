/**
 * Multi-writer documents in memory: a few open handles, kept up to date change by change, and the root map each of them
 * shows. A handle carries this run's actor of the document, so that edits go through it.
 */
import { DamagedError, makeActorId, type ActorId, type DocumentId, type NodeId, type Random } from '../model/index.ts'
import { decodeChange, load, newHandle, type Handle } from './automerge.ts'
import type { Reader } from './database.ts'
import type { SharedContent, SharedEntry } from './documents.ts'
import { readChanges } from './journal-contents.ts'
import { Lru } from './lru.ts'
import { KeyedMutex } from './mutex.ts'
import type { DocumentRow } from './rows.ts'

/** Open handles; each costs some times its document's size in WASM memory. */
const openHandles = 16
/** Actors remembered for documents whose handle was closed; a forgotten one costs 22 bytes more in its document. */
const rememberedActors = 10_000

interface Open {
  readonly handle: Handle
  /** The state it shows: number and heads, since a refill may number other changes. */
  changes: number
  heads: string
  content: SharedContent
  /** From its making or finding to the end of the task: an eviction leaves the freeing to that. */
  inUse: boolean
  evicted: boolean
}

export class SharedContents {
  readonly #open = new Lru<Open>(openHandles, (open) => {
    open.evicted = true
    if (!open.inUse) open.handle.free()
  })
  readonly #actors = new Lru<ActorId>(rememberedActors)
  readonly #locks = new KeyedMutex()
  readonly #node: NodeId | undefined
  readonly #random: Random
  readonly #keepActors: boolean

  constructor(options: { node: NodeId | undefined; random: Random; keepActors: boolean }) {
    this.#node = options.node
    this.#random = options.random
    this.#keepActors = options.keepActors
  }

  /** Gives the root map of the state that `row` describes. Throws `DamagedError`. */
  content(reader: Reader, id: DocumentId, row: DocumentRow): Promise<SharedContent> {
    return this.#locks.run(id, async () => {
      const open = this.#open.get(id)
      // A reader of an earlier moment, or of one before a refill, leaves the newest state open.
      if (open !== undefined && open.changes >= row.changes && !shows(open, row)) return readOnce(reader, id, row)
      return this.#use(reader, id, row, ({ content }) => content)
    })
  }

  /**
   * Puts root keys in one change on top of the state that `row` describes (the newest). Gives the change's chunk, `undefined`
   * where all of it stood there already. The caller makes it durable, or calls `drop`.
   */
  put(
    reader: Reader,
    id: DocumentId,
    row: DocumentRow,
    puts: ReadonlyMap<string, Uint8Array | string | number | boolean>,
    order: number,
  ): Promise<Uint8Array | undefined> {
    return this.#locks.run(id, () =>
      this.#use(reader, id, row, (open) => {
        for (const [key, value] of puts) open.handle.put('_root', key, value, datatypeOf(value))
        // Without an operation there is no change, and the last one is an older one.
        if (open.handle.commit(undefined, order) === null) return undefined
        const chunk = open.handle.getLastLocalChange()
        if (chunk === null) throw new DamagedError(`document ${id}: Automerge gave no change`)
        open.changes++
        open.heads = headsOf(open.handle.getHeads())
        open.content = updated(open.handle, open.content, puts.keys())
        return chunk
      }),
    )
  }

  /** Forgets a document's handle and its actor: after a failed write, or when its bytes were replaced. */
  drop(id: DocumentId): Promise<void> {
    return this.#locks.run(id, async () => {
      this.#open.delete(id)
      this.#actors.delete(id)
    })
  }

  /** Frees all handles. */
  close(): void {
    this.#open.clear()
  }

  /**
   * Runs a task on a handle that shows the state of `row`. Meanwhile other documents may push it out of the cache: it is
   * freed when the task is done.
   */
  async #use<T>(reader: Reader, id: DocumentId, row: DocumentRow, task: (open: Open) => T): Promise<T> {
    const open = (await this.#advanced(reader, id, row)) ?? (await openShared(reader, id, row, this.#actor(id)))
    try {
      if (!open.evicted) this.#open.set(id, open, 1)
      return task(open)
    } finally {
      this.#release(open)
    }
  }

  /** The cached handle, in use and brought up to `row`; `undefined` if there is none, or if it does not lead there. */
  async #advanced(reader: Reader, id: DocumentId, row: DocumentRow): Promise<Open | undefined> {
    const open = this.#open.get(id)
    if (open === undefined) return undefined
    open.inUse = true
    try {
      if (!shows(open, row)) await bringUpTo(open, reader, id, row)
      return open
    } catch (error) {
      this.#open.delete(id)
      open.evicted = true
      this.#release(open)
      if (!(error instanceof DamagedError)) throw error
      return undefined
    }
  }

  #release(open: Open): void {
    open.inUse = false
    if (open.evicted) open.handle.free()
  }

  #actor(id: DocumentId): ActorId | undefined {
    if (this.#node === undefined) return undefined
    const known = this.#actors.get(id)
    if (known !== undefined) return known
    const actor = makeActorId(this.#node, this.#keepActors ? new Uint8Array(8) : this.#random.bytes(8))
    this.#actors.set(id, actor, 1)
    return actor
  }
}

function shows(open: Open, row: DocumentRow): boolean {
  return open.changes === row.changes && open.heads === headsOf(row.heads)
}

function headsOf(heads: readonly string[]): string {
  return heads.toSorted().join()
}

/** Loads the changes that an open handle lacks. */
async function bringUpTo(open: Open, reader: Reader, id: DocumentId, row: DocumentRow): Promise<void> {
  const chunks = await readChanges(reader, id, open.changes + 1, row.changes)
  load(open.handle, chunks, row.heads)
  const touched = new Set(chunks.flatMap((chunk) => decodeChange(chunk).ops.map((op) => ('key' in op ? op.key : ''))))
  open.changes = row.changes
  open.heads = headsOf(row.heads)
  open.content = updated(open.handle, open.content, touched)
}

async function openShared(reader: Reader, id: DocumentId, row: DocumentRow, actor?: ActorId): Promise<Open> {
  const chunks = await readChanges(reader, id, 1, row.changes)
  const handle = newHandle(actor)
  try {
    if (chunks.length > 0) load(handle, chunks, row.heads)
    return {
      handle,
      changes: row.changes,
      heads: headsOf(row.heads),
      content: updated(handle, new Map(), handle.keys('_root')),
      inUse: true,
      evicted: false,
    }
  } catch (error) {
    handle.free()
    throw error
  }
}

async function readOnce(reader: Reader, id: DocumentId, row: DocumentRow): Promise<SharedContent> {
  const { handle, content } = await openShared(reader, id, row)
  handle.free()
  return content
}

/** Copies the map with these keys read anew: who holds an earlier content keeps it as it was. */
function updated(handle: Handle, before: SharedContent, changed: Iterable<string>): SharedContent {
  const content = new Map(before)
  for (const key of changed) {
    // Conflicts come in the order of their operation ids, Automerge's winner last.
    const entries = handle.getAll('_root', key).map(([, value, operation]): SharedEntry => {
      const actor = String(operation).split('@')[1] as ActorId
      return { actor, value: value as SharedEntry['value'] }
    })
    if (entries.length > 0) content.set(key, entries)
  }
  return content
}

function datatypeOf(value: Uint8Array | string | number | boolean): 'bytes' | 'str' | 'f64' | 'int' | 'boolean' {
  if (value instanceof Uint8Array) return 'bytes'
  if (typeof value === 'string') return 'str'
  if (typeof value === 'boolean') return 'boolean'
  return Number.isSafeInteger(value) ? 'int' : 'f64'
}
