import { DamagedError } from '../model/index.ts'

/** One file of a vault is missing or not what was written. */
export class VaultFileError extends DamagedError {
  /** The file's name in the vault. */
  readonly file: string
  /** What is wrong with it: `is missing`, `is truncated`, …. */
  readonly what: string

  constructor(file: string, what: string, options: { readonly location: string; readonly cause?: unknown }) {
    super(`${file} in vault ${options.location} ${what}`, { cause: options.cause })
    this.file = file
    this.what = what
  }
}
