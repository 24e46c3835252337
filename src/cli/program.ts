import { Command } from 'commander'
import type { Runner } from './command.ts'
import { commands } from './commands/index.ts'
import { version } from './version.ts'

/** Puts the command line together. */
export function program(runner: Runner): Command {
  const root = new Command('hedgerow')
    .description('Keeps sensor records alive without a server: one node per gateway, no one in charge.')
    .version(version, '-V, --version')
    .option('--dir <dir>', "the node's directory (else HEDGEROW_DIR, ./hedgerow-data, /var/lib/hedgerow)")
    .option('--json', 'one JSON object, or NDJSON for sequences')
    .option('-q, --quiet', 'data and errors only')
    .option('-y, --yes', 'answer questions with yes')
    .showHelpAfterError('(run it with --help for its options and an example)')
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
  for (const add of commands) add(root, runner)
  return root
}
