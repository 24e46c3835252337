import { CommanderError } from 'commander'
import { HedgerowError } from '../model/index.ts'
import type { Runner } from './command.ts'
import { createContext } from './context.ts'
import { exitCodeOf, exitCodes } from './exit-codes.ts'
import { Output } from './output.ts'
import { program } from './program.ts'
import { Interrupted, type Surroundings } from './surroundings.ts'

/** Runs one command line to its end; gives the exit code. */
export async function runCommandLine(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const { signal } = surroundings
  let exitCode: number = exitCodes.ok
  let output: Output | undefined
  const runner: Runner = {
    async run(command, code) {
      const context = createContext(command, surroundings)
      output = context.output
      exitCode = (await code(context)) ?? exitCodes.ok
    },
  }
  // A wrong command line is told before its options are known.
  const json = argv.includes('--json')
  try {
    await program(runner, { ...surroundings, json }).parseAsync([...argv], { from: 'user' })
  } catch (error) {
    // Whatever a command says of being interrupted, that is the reason.
    const reason: unknown = signal.aborted ? signal.reason : error
    if (reason instanceof Interrupted) return reason.exitCode
    exitCode = exitCodeOf(error)
    const told = output ?? new Output({ json, quiet: false, ...surroundings })
    if (!(error instanceof CommanderError)) report(error, told)
    // Without --json, commander has said what is wrong with the command line itself.
    else if (json && exitCode !== exitCodes.ok)
      told.errorObject({ error: { code: 'USAGE', message: usageText(error) } })
  }
  return exitCode
}

function report(error: unknown, output: Output): void {
  const known = error instanceof HedgerowError
  const message = error instanceof Error ? error.message : String(error)
  if (output.json) output.errorObject({ error: { code: known ? error.code : 'UNEXPECTED', message } })
  else output.error(message)
  // A fault of ours needs its place; a condition we know is said in full by its message.
  if (!known && error instanceof Error && (error as NodeJS.ErrnoException).syscall === undefined)
    output.trace(error.stack ?? '')
}

function usageText({ code, message }: CommanderError): string {
  return code === 'commander.help' ? 'a command is missing: see hedgerow --help' : message.replace(/^error: /, '')
}
