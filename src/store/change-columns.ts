/**
 * Counts the rows that the columns of a change claim, without decoding them. Columns are run-length coded: some tens of
 * bytes can claim millions of operations, and Automerge would build them all before anybody could count
 * (format: https://automerge.org/automerge-binary-format-spec/, "Operation columns").
 */
import { RefusedError } from '../model/index.ts'
import { readSigned, readUnsigned, type Cursor } from './leb128.ts'

/** Rows of one column: a put may overwrite several concurrent values, which have a row each in the columns of predecessors. */
const maxRows = 16_000
/** Columns of a change; the format has some fifteen. */
const maxColumns = 64

export const deflated = 0x08
export const columnType = {
  groupCount: 0,
  actor: 1,
  uint: 2,
  delta: 3,
  boolean: 4,
  text: 5,
  valueMeta: 6,
  valueRaw: 7,
} as const

/** Reads the column section at `cursor`; throws `RefusedError` where a column claims too many rows or is broken. */
export function checkColumns(bytes: Uint8Array, cursor: Cursor): void {
  const count = readUnsigned(bytes, cursor)
  if (count > maxColumns) throw new RefusedError(`a change of ${count} columns`)
  const columns: { readonly type: number; readonly length: number }[] = []
  for (let i = 0; i < count; i++) {
    const specification = readUnsigned(bytes, cursor)
    const length = readUnsigned(bytes, cursor)
    if ((specification & deflated) !== 0) throw new RefusedError('a change has a compressed column')
    columns.push({ type: specification & 7, length })
  }
  for (const { type, length } of columns) {
    const end = cursor.at + length
    if (end > bytes.length) throw new RefusedError('a change is cut short')
    if (type !== columnType.valueRaw) checkRows(bytes.subarray(cursor.at, end), type)
    cursor.at = end
  }
}

/** Throws `RefusedError` where one column, not compressed, claims too many rows or is broken. */
export function checkRows(column: Uint8Array, type: number): void {
  const cursor = { at: 0 }
  let rows = 0
  while (cursor.at < column.length) {
    if (type === columnType.boolean) rows += readUnsigned(column, cursor)
    else rows += readRun(column, cursor, type)
    if (rows > maxRows) throw new RefusedError(`a change claims more than ${maxRows} operations`)
  }
}

/** Reads one run: a repeated value, literal values, or absent ones. Gives its rows. */
function readRun(column: Uint8Array, cursor: Cursor, type: number): number {
  const length = readSigned(column, cursor)
  if (length === 0) return readUnsigned(column, cursor)
  const values = length > 0 ? 1 : -length
  if (values > column.length) throw new RefusedError('a change is cut short')
  for (let i = 0; i < values; i++) {
    if (type === columnType.text) {
      const bytes = readUnsigned(column, cursor)
      cursor.at += bytes
    } else if (type === columnType.delta) readSigned(column, cursor)
    else readUnsigned(column, cursor)
  }
  return Math.abs(length)
}
