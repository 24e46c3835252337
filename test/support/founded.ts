import { join } from 'node:path'
import { cliOk } from './cli.ts'
import { temporaryDirectory } from './temp-dir.ts'

export interface Founded extends AsyncDisposable {
  /** A folder for files beside the node's directory `<path>/node`. */
  readonly path: string
  /** Arguments that name the node's directory. */
  readonly at: readonly string[]
}

/** A directory with a site founded by the command line. */
export async function founded(...options: readonly string[]): Promise<Founded> {
  const dir = await temporaryDirectory()
  const at = ['--dir', join(dir.path, 'node')]
  await cliOk(['init', ...at, ...options])
  return { path: dir.path, at, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() }
}
