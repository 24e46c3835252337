/** Runs the real command line: in this process where that is the same, as a child process where it is not. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable, Writable } from 'node:stream'
import { runCommandLine } from '../../src/cli/command-line.ts'
import { Interrupted } from '../../src/cli/surroundings.ts'

/** The file that runs the command line. */
export const entry: string = join(import.meta.dirname, '../../bin/hedgerow.js')

export interface CliOptions {
  /** Working directory: the command becomes a child process. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  /** Standard output is a terminal of this width; in this process only. */
  readonly columns?: number
}

export interface CliResult {
  /** Exit code; of a process ended by a signal, −1. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Longest wait for a command, for a node to start, or for what it does, ms: far more than it takes, since machines are busy. */
const waitMs = 60_000
const pollMs = 50
/** Time limit of a test that runs several of them, ms. */
export const childMs = 180_000

/** Runs one command to its end. */
export async function cli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  if (options.cwd !== undefined) return childCli(args, options)
  const { code, stdout, stderr } = startHere(args, options)
  return { code: await code, stdout: stdout.text(), stderr: stderr.text() }
}

/** Runs one command to its end as a child process. */
export async function childCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const child = start(args, options)
  child.stdin?.end(options.input ?? '')
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)]
  const timer = setTimeout(() => child.kill('SIGKILL'), waitMs)
  const [code] = (await once(child, 'close')) as [number | null]
  clearTimeout(timer)
  return { code: code ?? -1, stdout: stdout(), stderr: stderr() }
}

/** Runs one command that has to succeed; gives what it printed. */
export async function cliOk(args: readonly string[], options: CliOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await cli(args, options)
  if (code !== 0) throw new Error(`hedgerow ${args.join(' ')} ended with ${code}: ${stderr}`)
  return stdout
}

/** Runs one command with --json that has to succeed; gives the objects it printed. */
export async function cliJson<T = Record<string, unknown>>(
  args: readonly string[],
  options: CliOptions = {},
): Promise<T[]> {
  return (await cliOk([...args, '--json'], options))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T)
}

export interface RunningNode extends AsyncDisposable {
  readonly pid: number
  readonly node: string
  readonly site: string
  readonly addresses: readonly string[]
  stderr(): string
  /** Ends it as the signal does, and waits for the end; gives the exit code, −1 after a kill. */
  stop(signal?: NodeJS.Signals): Promise<number>
}

const loopback = ['--json', '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0']

/** Runs `hedgerow run` on loopback in this process; resolves when it says that it runs. */
export async function runNode(args: readonly string[], options: CliOptions = {}): Promise<RunningNode> {
  const { code, stdout, stderr, end } = startHere(['run', ...loopback, ...args], options)
  const line = await Promise.race([stdout.firstLine, code.then(() => undefined)])
  if (line === undefined) throw new Error(`hedgerow run ended before it said that it runs: ${stderr.text()}`)
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number> => {
    end(signal)
    return code
  }
  return {
    pid: process.pid,
    ...said(line),
    stderr: () => stderr.text(),
    stop,
    [Symbol.asyncDispose]: async () => void (await stop()),
  }
}

/** Runs `hedgerow run` (or `start`) on loopback as a child process, which can be killed. */
export async function runChild(
  args: readonly string[],
  options: CliOptions = {},
  command = 'run',
): Promise<RunningNode> {
  const child = start([command, ...loopback, ...args], options)
  const stderr = collect(child.stderr)
  const closed = once(child, 'close') as Promise<[number | null]>
  const timer = setTimeout(() => child.kill('SIGKILL'), waitMs)
  const line = await Promise.race([firstLine(child), closed.then(() => undefined)])
  clearTimeout(timer)
  if (line === undefined) throw new Error(`hedgerow ${command} ended before it said that it runs: ${stderr()}`)
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    const [code] = await closed
    return code ?? -1
  }
  return {
    pid: child.pid as number,
    ...said(line),
    stderr,
    stop,
    [Symbol.asyncDispose]: async () => void (await stop('SIGKILL')),
  }
}

function said(line: string): Pick<RunningNode, 'node' | 'site' | 'addresses'> {
  const { node, site, addresses } = JSON.parse(line) as { node: string; site: string; addresses: string[] }
  return { node, site, addresses }
}

/** Asks until the answer is the one waited for. */
export async function until<T>(what: string, ask: () => Promise<T>, good: (answer: T) => boolean): Promise<T> {
  const deadline = performance.now() + waitMs
  for (;;) {
    const answer = await ask()
    if (good(answer)) return answer
    if (performance.now() > deadline) throw new Error(`waited too long for ${what}; now: ${JSON.stringify(answer)}`)
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}

/** A stream that keeps what is written into it. */
class Kept extends Writable {
  readonly firstLine: Promise<string>
  readonly #chunks: Buffer[] = []
  readonly #onLine: (line: string) => void

  constructor(columns?: number) {
    super()
    if (columns !== undefined) Object.assign(this, { isTTY: true, columns })
    const { promise, resolve } = Promise.withResolvers<string>()
    this.firstLine = promise
    this.#onLine = resolve
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#chunks.push(chunk)
    if (chunk.includes(0x0a)) this.#onLine(this.text().slice(0, this.text().indexOf('\n')))
    done()
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8')
  }
}

interface Here {
  readonly code: Promise<number>
  readonly stdout: Kept
  readonly stderr: Kept
  readonly end: (signal: NodeJS.Signals) => void
}

/** A command line in this process; `input` left out: standard input ends at once. */
function startHere(args: readonly string[], { env, input, columns }: CliOptions): Here {
  const abort = new AbortController()
  const end = (signal: NodeJS.Signals): void => abort.abort(new Interrupted(signal))
  const [stdout, stderr] = [new Kept(columns), new Kept()]
  const code = runCommandLine(args, {
    stdin: Readable.from(input === undefined ? [] : [Buffer.from(input)]),
    stdout,
    stderr,
    env: { ...inherited(), ...env },
    signal: abort.signal,
  })
  return { code, stdout, stderr, end }
}

function inherited(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HEDGEROW_')))
}

function start(args: readonly string[], { cwd, env }: CliOptions): ChildProcess {
  return spawn(process.execPath, [entry, ...args], { cwd, env: { ...inherited(), ...env }, stdio: 'pipe' })
}

function collect(stream: ChildProcess['stdout']): () => string {
  const chunks: Buffer[] = []
  stream?.on('data', (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString('utf8')
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    if (child.stdout !== null) createInterface({ input: child.stdout }).once('line', resolve)
  })
}
