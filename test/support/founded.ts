import { join } from 'node:path'
import { initDirectory } from '../../src/gateway/index.ts'
import { systemClock, systemRandom } from '../../src/model/index.ts'
import { temporaryDirectory } from './temp-dir.ts'

export interface Founded extends AsyncDisposable {
  /** A folder for files beside the node's directory `<path>/node`. */
  readonly path: string
  /** Arguments that name the node's directory. */
  readonly at: readonly string[]
}

/** A directory with a site founded in it. */
export async function founded(name?: string): Promise<Founded> {
  const dir = await temporaryDirectory()
  const node = join(dir.path, 'node')
  await initDirectory(node, { clock: systemClock, random: systemRandom, ...(name === undefined ? {} : { name }) })
  return { path: dir.path, at: ['--dir', node], [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() }
}
