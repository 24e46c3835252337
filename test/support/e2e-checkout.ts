/** Fresh copies of the repository, and the environment of a machine that has only its own Node. */
import { delimiter, join } from 'node:path'
import { plainEnvironment, runOk } from './e2e-process.ts'

const repository = join(import.meta.dirname, '../..')

/** Clones the repository to `to`; where the working tree differs from what is committed, copies the files of the tree instead. */
export async function checkOut(to: string): Promise<void> {
  const changes = await runOk(['git', '-C', repository, 'status', '--porcelain'])
  if (changes === '') {
    await runOk(['git', 'clone', '--quiet', '--no-hardlinks', repository, to])
    return
  }
  await runOk(['mkdir', '-p', to])
  // Files that are tracked but gone from the tree are left out, as the commit to come would.
  const copy =
    'git ls-files -coz --exclude-standard | while IFS= read -r -d "" f; do [ -e "$f" ] && printf "%s\\0" "$f"; done | tar -c --null -T - | tar -x -C "$0"'
  await runOk(['bash', '-c', copy, to], { cwd: repository })
}

/** The environment of a shell outside of any npm script: what `node` and `npm` mean there is the machine's own. */
export function machineEnvironment(first: readonly string[] = []): NodeJS.ProcessEnv {
  const plain = plainEnvironment()
  const own = (plain['PATH'] ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'))
  return { ...plain, PATH: [...first, ...own].join(delimiter) }
}
