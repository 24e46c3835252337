/** Real processes for the end-to-end tests: started, watched and ended by id, every wait bounded. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Writable } from 'node:stream'

export interface ProcessOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Starts a process group of its own, as a terminal does: signals go to all of it. */
  readonly group?: boolean
}

export interface Ended {
  /** Exit code; −1 after a signal. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface Started extends AsyncDisposable {
  readonly pid: number
  readonly stdin: Writable
  stdout(): string
  stderr(): string
  /** Whether it has not ended yet. */
  running(): boolean
  signal(name: NodeJS.Signals): void
  /** Waits for the end; throws, naming `what` was waited for, when it takes longer. */
  ended(what: string, limitMs?: number): Promise<Ended>
  /** Sends a signal and waits for the end. */
  end(name: NodeJS.Signals, limitMs?: number): Promise<Ended>
}

/** Longest wait for anything that has no limit of its own, ms: the machine may be busy. */
export const waitMs = 60_000

const living = new Set<Started>()
// Nothing outlives the tests, whatever way they end; mocha itself turns SIGINT into an exit.
process.once('SIGTERM', () => process.exit(143))
process.on('exit', () => {
  for (const each of living) each.signal('SIGKILL')
})

/** Environment without what npm, mocha or a user's Hedgerow put into it. */
export function plainEnvironment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const keptOfNpm = /^npm_config_(registry|cache|userconfig)$/i
  const foreign = /^(HEDGEROW_|npm_|NODE_(OPTIONS|PATH|ENV|V8_COVERAGE|CHANNEL_.*)$|MOCHA|INIT_CWD$|FORCE_COLOR$)/i
  const kept = Object.entries(process.env).filter(([name]) => keptOfNpm.test(name) || !foreign.test(name))
  // Debian keeps administrators' programs where a user's PATH does not look.
  return { ...Object.fromEntries(kept), PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, ...more }
}

/** Starts a process. */
export function startProcess(command: readonly string[], options: ProcessOptions = {}): Started {
  const [program, ...args] = command
  if (program === undefined) throw new Error('no program')
  const { cwd, env = plainEnvironment(), group = false } = options
  const child = spawn(program, args, { cwd, env, stdio: 'pipe', detached: group })
  const title = command.join(' ')
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)]
  // A reader that ended shows in its exit code, not here.
  child.stdin.on('error', () => undefined)
  const closed: Promise<unknown> = once(child, 'close')
  closed.then(
    () => living.delete(started),
    () => living.delete(started),
  )
  const running = (): boolean => child.exitCode === null && child.signalCode === null && child.pid !== undefined
  const ended = async (what: string, limitMs = waitMs): Promise<Ended> => {
    await within(`${what} (${title})`, closed, limitMs, () => `stdout: ${tail(stdout())}\nstderr: ${tail(stderr())}`)
    return { code: child.exitCode ?? -1, stdout: stdout(), stderr: stderr() }
  }
  const signal = (name: NodeJS.Signals): void => {
    if (running()) send(child, name, group)
  }
  const end = (name: NodeJS.Signals, limitMs?: number): Promise<Ended> => {
    signal(name)
    return ended(`the end after ${name}`, limitMs)
  }
  const started: Started = {
    pid: child.pid ?? -1,
    stdin: child.stdin,
    stdout,
    stderr,
    running,
    signal,
    ended,
    end,
    async [Symbol.asyncDispose]() {
      if (running()) await end('SIGKILL')
      else if (group) send(child, 'SIGKILL', true)
    },
  }
  living.add(started)
  return started
}

export interface RunOptions extends ProcessOptions {
  readonly input?: string
  readonly limitMs?: number
}

/** Runs a process to its end, whatever its exit code. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
  await using started = startProcess(command, options)
  started.stdin.end(options.input ?? '')
  return await started.ended('its end', options.limitMs)
}

/** Runs a process that has to succeed; gives what it printed. */
export async function runOk(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, options)
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${tail(stderr)} ${tail(stdout)}`)
  return stdout
}

/** Asks until the answer is the one waited for; throws, with the last answer, when it takes too long. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  good: (answer: T) => boolean,
  { limitMs = waitMs, everyMs = 100 }: { readonly limitMs?: number; readonly everyMs?: number } = {},
): Promise<T> {
  const deadline = performance.now() + limitMs
  for (;;) {
    const answer = await ask()
    if (good(answer)) return answer
    if (performance.now() > deadline)
      throw new Error(`waited ${limitMs} ms for ${what}; last: ${tail(JSON.stringify(answer) ?? '')}`)
    await sleep(everyMs)
  }
}

/** Gives the value of a promise, or throws after `limitMs`, naming what was waited for. */
export async function within<T>(
  what: string,
  promise: Promise<T>,
  limitMs: number = waitMs,
  more?: () => string,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new Error(`waited ${limitMs} ms for ${what}${more === undefined ? '' : `\n${more()}`}`)),
    limitMs,
  )
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** The objects of NDJSON. */
export function ndjson<T>(text: string): T[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T)
}

function send(child: ChildProcess, name: NodeJS.Signals, group: boolean): void {
  if (!group || child.pid === undefined) {
    child.kill(name)
    return
  }
  try {
    process.kill(-child.pid, name)
  } catch (error) {
    // Nobody is left of the group.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString('utf8')
}

function tail(text: string): string {
  return text.length > 2_000 ? `…${text.slice(-2_000)}` : text
}
