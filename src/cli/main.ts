import { runCommandLine } from './command-line.ts'
import { exitCodes } from './exit-codes.ts'
import { Interrupted } from './surroundings.ts'

/** Runs a command line and ends the process with its exit code: the only place that does. */
export function main(argv: readonly string[]): void {
  // The timers of a node do not keep the process up: a command that waits for one must not end unfinished.
  setInterval(() => undefined, 3_600_000)
  const { stdin, stdout, stderr, env } = process
  runCommandLine(argv, { stdin, stdout, stderr, env, signal: onSignals() }).then(
    async (code) => {
      // A pipe whose reader is slow still holds the end of the output.
      await Promise.all([written(stdout), written(stderr)])
      process.exit(code)
    },
    (error: unknown) => {
      stderr.write(`hedgerow: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
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

/** Ms within which the same signal again is the same one: a terminal and a parent process may both deliver it. */
const sameSignalMs = 300

/** First SIGINT or SIGTERM: end in order. Second: at once. */
function onSignals(): AbortSignal {
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
  return abort.signal
}
