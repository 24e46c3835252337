import { existsSync } from 'node:fs'
import { relative } from 'node:path'
import type { Command } from 'commander'
import { holdsStore, type WhoAmI } from '../../gateway/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import type { ExitCode } from '../exit-codes.ts'
import { found, type InitOptions } from './init.ts'
import { named } from '../values.ts'
import { runNode, runOptions, type RunOptions } from './run.ts'

export function addStart(root: Command, runner: Runner): void {
  const command = runOptions(
    root
      .command('start')
      .description('run the node; where there is none yet, found a site first (npm start)')
      .option('--site <name>', "the site's name, for people")
      .option('--name <name>', "this gateway's name, for people"),
  ).action(action(runner, start))
  examples(command, 'hedgerow start --site "Miller farm" --name barn')
}

async function start(context: Context, options: InitOptions & RunOptions): Promise<ExitCode> {
  const dir = context.newDir()
  // A directory that was restored, or that is joining, has what it takes to say what it lacks.
  if (!holdsStore(dir)) await found(dir, options)
  return runNode(context, dir, options, (who) => welcome(context, dir, who))
}

async function welcome({ output }: Context, dir: string, who: WhoAmI): Promise<void> {
  const { node, site, siteName, name, addresses, exported } = who
  if (output.json) {
    await output.object({ node, site, siteName, name, dir, addresses })
    return
  }
  const hedgerow = existsSync('package.json') && existsSync('bin/hedgerow.js') ? 'npx hedgerow' : 'hedgerow'
  const here = relative('', dir) === 'hedgerow-data' ? hedgerow : `${hedgerow} --dir ${dir}`
  const lines = [
    `node      ${named(node ?? '', name)}`,
    `site      ${named(site, siteName)}`,
    ...addresses.map((address, i) => `${i === 0 ? 'addresses' : '         '} ${address}`),
    `data      ${dir}`,
    '',
    'To let another gateway in, run here, in a second terminal:',
    `  ${here} invite`,
    'and on the other gateway, with the code it prints:',
    '  hedgerow join CODE && hedgerow run',
    ...(exported
      ? []
      : [
          '',
          'Save this identity: without it nobody can invite once this machine is lost.',
          `  ${here} identity export identity.backup`,
        ]),
    '',
    'Ctrl-C stops the node.',
  ]
  for (const line of lines) output.note(line)
}
