/** One gateway of the demo: a directory, a process that runs it, and its answers. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { openClient, type NodeClient, type NodeStatus } from '../../src/gateway/index.ts'
import { freePort, Relay } from './relay.ts'

const cli = fileURLToPath(new URL('../../bin/hedgerow.js', import.meta.url))

/** Runs one command of the CLI in a process of its own; throws with what it said if it fails. */
export async function hedgerow(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const child = spawn(process.execPath, [cli, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`hedgerow ${args.join(' ')} ended with ${code}:\n${err || out}`)
  return out
}

export class Gateway {
  readonly name: string
  readonly dir: string
  readonly relay: Relay
  readonly #logs: string
  readonly #port: number
  #process: ChildProcess | undefined
  #client: NodeClient | undefined

  private constructor(name: string, folder: string, port: number, relay: Relay) {
    this.name = name
    this.dir = `${folder}/${name}`
    this.#logs = `${folder}/${name}.log`
    this.#port = port
    this.relay = relay
    mkdirSync(folder, { recursive: true })
  }

  static async make(name: string, folder: string): Promise<Gateway> {
    const port = await freePort()
    return new Gateway(name, folder, port, await Relay.open(port))
  }

  /** Where it really listens; the others are told its relay's address. */
  get direct(): string {
    return `/ip4/127.0.0.1/tcp/${this.#port}`
  }

  async start(peers: readonly string[] = []): Promise<void> {
    const args = ['run', '--json', '--dir', this.dir, '--listen', this.direct, '--announce', this.relay.address]
    const child = spawn(process.execPath, [cli, ...args, '--no-mdns', ...peers.flatMap((peer) => ['--peer', peer])], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#process = child
    const log = createWriteStream(this.#logs, { flags: 'a' })
    child.stderr.pipe(log)
    // The first line on stdout says that it runs.
    const ended = once(child, 'exit').then(() => {
      throw new Error(`${this.name} ended at its start: see ${this.#logs}`)
    })
    await Promise.race([once(child.stdout, 'data'), ended])
    ended.catch(() => undefined)
    child.stdout.resume()
    this.#client = await openClient(this.dir)
  }

  get client(): NodeClient {
    if (this.#client === undefined) throw new Error(`${this.name} does not run`)
    return this.#client
  }

  status(deep = false): Promise<NodeStatus> {
    return this.client.call('status', { deep })
  }

  /** Power off: no farewell. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  async destroy(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true })
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child !== undefined && child.exitCode === null) {
      child.kill(signal)
      await once(child, 'exit')
    }
    const client = this.#client
    this.#client = undefined
    // Its other end may be gone already.
    await Promise.allSettled([client?.close()])
  }
}

/** Asks until the answer is yes; throws after `limitMs`, saying what it waited for. */
export async function until(what: string, limitMs: number, ask: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + limitMs
  while (!(await ask())) {
    if (performance.now() > end) throw new Error(`waited ${limitMs / 1000} s for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
