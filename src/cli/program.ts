import { Command } from 'commander'
import type { Runner } from './command.ts'
import { commands } from './commands/index.ts'
import type { Surroundings } from './surroundings.ts'
import { version } from './version.ts'

/** Where the words of the command line itself go: help, and what is wrong with it, which with `json` is told elsewhere. */
export interface ProgramOptions extends Pick<Surroundings, 'stdout' | 'stderr'> {
  readonly json: boolean
}

/** Puts the command line together. */
export function program(runner: Runner, { stdout, stderr, json }: ProgramOptions): Command {
  const root = new Command('hedgerow')
    .description('Keeps sensor records alive without a server: one node per gateway, no one in charge.')
    .version(version, '-V, --version')
    .option('--dir <dir>', "the node's directory (else HEDGEROW_DIR, ./hedgerow-data, /var/lib/hedgerow)")
    .option('--json', 'one JSON object, or NDJSON for sequences')
    .option('-q, --quiet', 'data and errors only')
    .option('-y, --yes', 'answer questions with yes')
    .showHelpAfterError('(run it with --help for its options and an example)')
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true, subcommandTerm: (command) => command.name() })
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => json || stderr.write(text),
      ...helpWidths(stdout, stderr),
    })
    .exitOverride()
  for (const add of commands) add(root, runner)
  return root
}

/** Help is laid out for the terminal it goes to, and for 80 columns elsewhere. */
function helpWidths(
  stdout: Surroundings['stdout'],
  stderr: Surroundings['stderr'],
): { readonly getOutHelpWidth: () => number; readonly getErrHelpWidth: () => number } {
  return { getOutHelpWidth: () => stdout.columns ?? 80, getErrHelpWidth: () => stderr.columns ?? 80 }
}
