/** Gateways for the end-to-end tests: a directory, the command line on it, and the node that runs there. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import {
  ndjson,
  plainEnvironment,
  run,
  runOk,
  startProcess,
  until,
  waitMs,
  type Ended,
  type Started,
} from './e2e-process.ts'

const entry = join(import.meta.dirname, '../../bin/hedgerow.js')

export interface GatewayOptions {
  readonly dir: string
  /** What stands before the command, such as `ip netns exec …`. */
  readonly prefix?: readonly string[]
  /** The program; the clone's own command line when left out. */
  readonly hedgerow?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Arguments of `run`. */
  readonly runArgs?: readonly string[]
}

export interface StatusJson {
  readonly node: string
  readonly site: string
  readonly records: number
  readonly documents: number
  readonly digest: string
  readonly content?: string
  readonly atRisk: number
  readonly peers: readonly { readonly node: string; readonly connected: boolean }[]
}

export interface CommandOptions {
  readonly input?: string
  readonly limitMs?: number
}

export class Gateway implements AsyncDisposable {
  readonly dir: string
  readonly #command: readonly string[]
  readonly #env: NodeJS.ProcessEnv
  readonly #runArgs: readonly string[]
  #process: Started | undefined

  constructor({ dir, prefix = [], hedgerow = [process.execPath, entry], env, runArgs = [] }: GatewayOptions) {
    this.dir = dir
    this.#command = [...prefix, ...hedgerow]
    this.#env = env ?? plainEnvironment()
    this.#runArgs = runArgs
  }

  /** The running node's process. */
  get process(): Started {
    assert.ok(this.#process !== undefined, `no node runs in ${this.dir}`)
    return this.#process
  }

  /** The command line of a command on this directory, and where to run it. */
  command(args: readonly string[]): readonly string[] {
    return [...this.#command, '--dir', this.dir, ...args]
  }

  start(args: readonly string[]): Started {
    return startProcess(this.command(args), { env: this.#env })
  }

  /** Runs a command, whatever its exit code. */
  attempt(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
    return run(this.command(args), { env: this.#env, ...options })
  }

  /** Runs a command that has to succeed; gives what it printed. */
  hedgerow(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    return runOk(this.command(args), { env: this.#env, ...options })
  }

  /** Runs a command with --json that has to succeed; gives its objects. */
  async json<T = Record<string, unknown>>(args: readonly string[], options: CommandOptions = {}): Promise<T[]> {
    return ndjson<T>(await this.hedgerow([...args, '--json'], options))
  }

  async one<T = Record<string, unknown>>(args: readonly string[], options: CommandOptions = {}): Promise<T> {
    const [only, ...others] = await this.json<T>(args, options)
    assert.ok(only !== undefined && others.length === 0, `${args.join(' ')} printed no single object`)
    return only
  }

  status(...flags: string[]): Promise<StatusJson> {
    return this.one<StatusJson>(['status', ...flags], { limitMs: 4 * waitMs })
  }

  /** Makes an invite here, which has to run, and lets the other gateway join with it. */
  async letIn(other: Gateway, name: string): Promise<void> {
    const { code } = await this.one<{ code: string }>(['invite'])
    await other.hedgerow(['join', code, '--name', name])
  }

  /** Starts the node; resolves with its addresses when it says that it runs. */
  async run(...more: string[]): Promise<readonly string[]> {
    const started = this.start(['run', '--json', ...this.#runArgs, ...more])
    this.#process = started
    const printed = await until(
      `the node in ${this.dir} to say that it runs`,
      () => (started.running() ? started.stdout() : `it ended: ${started.stderr()}`),
      (text) => text.includes('\n') || !started.running(),
      { everyMs: 20 },
    )
    assert.ok(started.running(), printed)
    return ndjson<{ addresses: string[] }>(printed)[0]?.addresses ?? []
  }

  /** Stops the node in order; it has to end with exit code 0. */
  async stop(): Promise<void> {
    const { code, stderr } = await this.process.end('SIGTERM')
    assert.equal(code, 0, stderr)
  }

  async kill(): Promise<void> {
    await this.process.end('SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.[Symbol.asyncDispose]()
  }
}

/** Waits until all show one digest; gives it. */
export async function oneDigest(gateways: readonly Gateway[], limitMs: number = 2 * waitMs): Promise<string> {
  const statuses = await until(
    'one digest on every gateway',
    async () => {
      const all = await Promise.all(gateways.map((gateway) => gateway.status()))
      return all.map(({ digest, records, documents, peers }) => ({
        digest,
        records,
        documents,
        connected: peers.filter((p) => p.connected).length,
      }))
    },
    (all) => all.every(({ digest }) => digest === all[0]?.digest),
    { limitMs, everyMs: 300 },
  )
  return statuses[0]?.digest ?? ''
}

/** The arguments of a query for everything. */
export const wholeTime: readonly string[] = ['--from', '1970-01-01T00:00:00Z', '--to', '2199-12-31T00:00:00Z']

/** Everything that a gateway shows, as CSV. */
export function everything(gateway: Gateway): Promise<string> {
  return gateway.hedgerow(['query', '**', ...wholeTime, '--format', 'csv'], { limitMs: 4 * waitMs })
}
