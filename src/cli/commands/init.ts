import type { Command } from 'commander'
import { initDirectory } from '../../gateway/index.ts'
import { systemClock, systemRandom } from '../../model/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { named } from '../values.ts'

export interface InitOptions {
  readonly site?: string
  readonly name?: string
}

export function addInit(root: Command, runner: Runner): void {
  const command = root
    .command('init')
    .description('found a site: make this node its first admin')
    .option('--site <name>', "the site's name, for people")
    .option('--name <name>', "this gateway's name, for people (else the machine's)")
    .action(action(runner, init))
  examples(command, 'hedgerow init --site "Miller farm" --name barn')
}

async function init(context: Context, options: InitOptions): Promise<void> {
  const { output } = context
  const dir = context.newDir()
  const identity = await found(dir, options)
  const siteName = options.site === undefined ? {} : { siteName: options.site }
  if (output.json)
    await output.object({ dir, node: identity.node, site: identity.site, name: identity.name, ...siteName })
  else {
    output.note(`founded site ${named(identity.site, options.site)} in ${dir}`)
    output.note(`this node is ${identity.node} (${identity.name}), the only admin of the site`)
    output.note('save its identity: hedgerow identity export FILE, and keep the file elsewhere')
    output.note('start it: hedgerow run')
  }
}

/** Founds a site in a directory. */
export function found(dir: string, { site, name }: InitOptions): ReturnType<typeof initDirectory> {
  return initDirectory(dir, {
    ...(name === undefined ? {} : { name }),
    ...(site === undefined ? {} : { siteName: site }),
    clock: systemClock,
    random: systemRandom,
  })
}
