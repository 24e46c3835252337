/** Runs the real command line as child processes. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** The file that runs the command line. */
export const entry: string = join(import.meta.dirname, '../../bin/hedgerow.js')

export interface CliOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

export interface CliResult {
  /** Exit code; of a process ended by a signal, −1. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Longest wait for a command, for a node to start, or for what it does, ms: far more than it takes, since machines are busy. */
const waitMs = 60_000
/** Time limit of a test that runs several of them, ms. */
export const childMs = 180_000

/** Runs one command to its end. */
export async function cli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
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
  /** Sends a signal and waits for the end; gives the exit code, −1 after a kill. */
  stop(signal?: NodeJS.Signals): Promise<number>
}

/** Starts `hedgerow run` (or `start`) on loopback; resolves when it says that it runs. */
export async function runNode(
  args: readonly string[],
  options: CliOptions = {},
  command = 'run',
): Promise<RunningNode> {
  const child = start([command, '--json', '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', ...args], options)
  const stderr = collect(child.stderr)
  const closed = once(child, 'close') as Promise<[number | null]>
  const timer = setTimeout(() => child.kill('SIGKILL'), waitMs)
  const line = await Promise.race([firstLine(child), closed.then(() => undefined)])
  clearTimeout(timer)
  if (line === undefined) throw new Error(`hedgerow ${command} ended before it said that it runs: ${stderr()}`)
  const { node, site, addresses } = JSON.parse(line) as { node: string; site: string; addresses: string[] }
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    const [code] = await closed
    return code ?? -1
  }
  return {
    pid: child.pid as number,
    node,
    site,
    addresses,
    stderr,
    stop,
    [Symbol.asyncDispose]: async () => void (await stop('SIGKILL')),
  }
}

/** Asks until the answer is the one waited for. */
export async function until<T>(what: string, ask: () => Promise<T>, good: (answer: T) => boolean): Promise<T> {
  const deadline = performance.now() + waitMs
  for (;;) {
    const answer = await ask()
    if (good(answer)) return answer
    if (performance.now() > deadline) throw new Error(`waited too long for ${what}; now: ${JSON.stringify(answer)}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

function start(args: readonly string[], { cwd, env }: CliOptions): ChildProcess {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HEDGEROW_')))
  return spawn(process.execPath, [entry, ...args], { cwd, env: { ...inherited, ...env }, stdio: 'pipe' })
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
