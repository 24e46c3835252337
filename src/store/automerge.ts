/** The low-level handle of Automerge: the proxies of its high-level API cost ten times as much. */
import * as A from '@automerge/automerge'
import { DamagedError, type ActorId } from '../model/index.ts'

export type Handle = ReturnType<typeof A.getBackend>
export type DecodedChange = ReturnType<typeof A.decodeChange>

/** Makes an empty document. Its WASM memory is invisible to the collector: call `free()`. */
export function newHandle(actor?: ActorId): Handle {
  return A.getBackend(A.init(actor === undefined ? {} : { actor }))
}

/**
 * Loads verified chunks (changes or a saved document) into a handle and compares its heads with what was recorded:
 * `loadIncremental` drops damaged data without an error. Throws `DamagedError`; the handle is then of no more use.
 */
export function load(handle: Handle, chunks: readonly Uint8Array[], heads: readonly string[]): void {
  try {
    handle.loadIncremental(chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks))
    const found = handle.getHeads().toSorted()
    if (found.length !== heads.length || found.some((head, i) => head !== heads[i]))
      throw new DamagedError(`the document's heads are ${found.join(', ') || 'none'}, not ${heads.join(', ')}`)
  } catch (error) {
    if (error instanceof DamagedError) throw error
    throw new DamagedError(`Automerge cannot read the document: ${(error as Error).message}`, { cause: error })
  }
}

/** Decodes one change. Costs some 40 µs. Throws `DamagedError` on anything Automerge cannot read. */
export function decodeChange(chunk: Uint8Array): DecodedChange {
  try {
    return A.decodeChange(chunk)
  } catch (error) {
    throw new DamagedError(`Automerge cannot read a change: ${(error as Error).message}`, { cause: error })
  }
}
