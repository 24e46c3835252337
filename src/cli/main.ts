import { CommanderError } from 'commander'
import { HedgerowError } from '../model/index.ts'
import type { Runner } from './command.ts'
import { createContext } from './context.ts'
import { exitCodeOf, exitCodes } from './exit-codes.ts'
import { Output } from './output.ts'
import { program } from './program.ts'

/** Runs a command line and ends the process with its exit code: the only place that does. */
export function main(argv: readonly string[]): void {
  run(argv).then(
    async (code) => {
      // A pipe whose reader is slow still holds the end of the output.
      await Promise.all([written(process.stdout), written(process.stderr)])
      process.exit(code)
    },
    (error: unknown) => {
      process.stderr.write(`hedgerow: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
      process.exit(exitCodes.failed)
    },
  )
}

/** Resolves when everything written to a stream has been taken, or nobody takes it any more. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableLength === 0 || stream.destroyed) resolve()
    else {
      stream.once('close', resolve)
      stream.write('', () => resolve())
    }
  })
}

async function run(argv: readonly string[]): Promise<number> {
  const signals = onSignals()
  let exitCode: number = exitCodes.ok
  let output: Output | undefined
  const runner: Runner = {
    async run(command, code) {
      const context = createContext(command, signals.signal)
      output = context.output
      exitCode = (await code(context)) ?? exitCodes.ok
    },
  }
  // The timers of a node do not keep the process up: a command that waits for one must not end unfinished.
  const alive = setInterval(() => undefined, 3_600_000)
  try {
    await program(runner).parseAsync([...argv], { from: 'user' })
  } catch (error) {
    // Whatever a command says of being interrupted, that is the reason.
    if (signals.signal.aborted) return signals.exitCode()
    exitCode = exitCodeOf(error)
    // Commander has said what is wrong with the command line itself.
    if (!(error instanceof CommanderError)) report(error, output ?? new Output({ json: false, quiet: false }))
  } finally {
    clearInterval(alive)
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
    process.stderr.write(`${error.stack ?? ''}\n`)
}

interface Signals {
  readonly signal: AbortSignal
  exitCode(): number
}

/** Ms within which the same signal again is the same one: a terminal and a parent process may both deliver it. */
const sameSignalMs = 300

/** First SIGINT or SIGTERM: end in order. Second: at once. */
function onSignals(): Signals {
  const abort = new AbortController()
  let first: { name: NodeJS.Signals; at: number } | undefined
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => {
      const now = performance.now()
      if (first !== undefined) {
        if (first.name !== name || now - first.at > sameSignalMs) process.exit(exitCodes.failed)
        return
      }
      first = { name, at: now }
      abort.abort(new Interrupted(name))
    })
  return { signal: abort.signal, exitCode: () => (first?.name === 'SIGINT' ? 130 : 143) }
}

class Interrupted extends Error {
  constructor(name: string) {
    super(`ended by ${name}`)
  }
}
