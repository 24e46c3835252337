/**
 * Counts what a saved document claims before Automerge builds it: its columns are run-length coded and deflated, so a few
 * kilobytes, signed by a member, could ask for any amount of memory
 * (format: https://automerge.org/automerge-binary-format-spec/, "Document chunk").
 */
import { inflateRawSync } from 'node:zlib'
import { DamagedError, limits, RefusedError } from '../model/index.ts'
import { checkRows, columnType, deflated } from './change-columns.ts'
import { readUnsigned, type Cursor } from './leb128.ts'

const documentType = 0
/** Actors, heads and columns that a journal's chunk may have: it has one actor, one head and some thirty columns. */
const maxEntries = 64
const headBytes = 32

interface Column {
  readonly specification: number
  readonly length: number
}

/** Throws `DamagedError` unless the chunk of a sealed journal is small enough to be opened. */
export function checkSealedChunk(chunk: Uint8Array): void {
  try {
    if (chunk[8] !== documentType) throw new RefusedError(`chunk type ${chunk[8]} is no saved document`)
    const cursor: Cursor = { at: 9 }
    readUnsigned(chunk, cursor)
    for (let left = readCount(chunk, cursor); left > 0; left--) {
      const length = readUnsigned(chunk, cursor)
      cursor.at += length
    }
    const heads = readCount(chunk, cursor)
    cursor.at += heads * headBytes
    const columns = [...readColumns(chunk, cursor), ...readColumns(chunk, cursor)]
    for (const { specification, length } of columns) {
      const bytes = chunk.subarray(cursor.at, cursor.at + length)
      if (bytes.length !== length) throw new RefusedError('a saved document is cut short')
      const plain = (specification & deflated) === 0 ? bytes : inflate(bytes)
      if ((specification & 7) !== columnType.valueRaw) checkRows(plain, specification & 7)
      cursor.at += length
    }
  } catch (error) {
    if (error instanceof RefusedError) throw new DamagedError(`the journal's chunk: ${error.message}`, { cause: error })
    throw error
  }
}

function readColumns(chunk: Uint8Array, cursor: Cursor): Column[] {
  return Array.from({ length: readCount(chunk, cursor) }, () => {
    const specification = readUnsigned(chunk, cursor)
    return { specification, length: readUnsigned(chunk, cursor) }
  })
}

function readCount(chunk: Uint8Array, cursor: Cursor): number {
  const count = readUnsigned(chunk, cursor)
  if (count > maxEntries) throw new RefusedError(`a list of ${count}`)
  return count
}

function inflate(bytes: Uint8Array): Uint8Array {
  try {
    return inflateRawSync(bytes, { maxOutputLength: limits.sealedBytes })
  } catch (cause) {
    throw new RefusedError('a compressed column is broken or too large', { cause })
  }
}
