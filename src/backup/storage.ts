/**
 * Where a vault's files lie: a directory, later a bucket. Small on purpose: files are written once, whole, under a name
 * that is theirs alone, and never changed. `test/contracts/vault.ts` has the promises as tests.
 */
import { InvalidInputError } from '../model/index.ts'

export interface StoredFile {
  readonly name: string
  readonly bytes: number
}

export interface VaultStorage {
  /** For messages: the directory, the URL. */
  readonly location: string
  /** Makes the place ready to be written to. Only `initVault` calls it: a missing place is otherwise an unmounted disk. */
  prepare(): Promise<void>
  /**
   * Writes a file that does not exist yet: whole, durable and visible when this resolves, or not there at all. Gives
   * `false`, changing nothing, if the name is taken.
   */
  put(name: string, bytes: Uint8Array): Promise<boolean>
  /** The whole file, `undefined` if there is none. Throws `DamagedError` if it has more than `maxBytes`. */
  get(name: string, maxBytes: number): Promise<Uint8Array | undefined>
  /** Bytes `[offset, offset + length)`, fewer where the file ends before; `undefined` if there is no file. */
  getRange(name: string, offset: number, length: number): Promise<Uint8Array | undefined>
  /** Files whose names begin with `prefix`, in name order. Unfinished writes are not among them. */
  list(prefix: string): AsyncIterable<StoredFile>
  /** Gives `false` if there was none. */
  delete(name: string): Promise<boolean>
  stat(name: string): Promise<StoredFile | undefined>
  /** Free bytes; `undefined` where the place cannot tell. */
  freeBytes(): Promise<number | undefined>
}

const nameForm = /^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)?(\/[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)?)*$/

/** Throws `InvalidInputError` unless the name is one every kind of storage can keep. */
export function checkFileName(name: string): string {
  if (name.length > 200 || !nameForm.test(name))
    throw new InvalidInputError(`${JSON.stringify(name.slice(0, 200))} is not a name of a file in a vault`)
  return name
}
