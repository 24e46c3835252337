import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { holdsStore, openClient, type NodeClient } from '../gateway/index.ts'
import { NotFoundError } from '../model/index.ts'
import type { ExitCode } from './exit-codes.ts'
import { Output } from './output.ts'
import type { Surroundings } from './surroundings.ts'

export interface GlobalOptions {
  readonly dir?: string
  readonly json?: boolean
  readonly quiet?: boolean
  readonly yes?: boolean
}

/** What every command gets: where it works, where its words go, and when it has to end. */
export interface Context {
  readonly output: Output
  readonly surroundings: Surroundings
  readonly yes: boolean
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal
  /** Named by `--dir` or HEDGEROW_DIR. */
  readonly namedDir: string | undefined
  /** The directory that holds a store; throws `NotFoundError` (exit 10) if none does. */
  readonly dir: () => string
  /** Where `init`, `join`, `start` and `restore` make one: the named directory, else ./hedgerow-data. */
  readonly newDir: () => string
  /** The node of `dir()`: the one that runs there, or else the store opened by this process. */
  readonly client: () => Promise<NodeClient>
}

/** What a command's code gives: nothing is success. */
export type CommandResult = ExitCode | undefined | void

const defaultDir = 'hedgerow-data'
const systemDir = '/var/lib/hedgerow'

export function createContext(command: Command, surroundings: Surroundings): Context {
  const options = command.optsWithGlobals<GlobalOptions>()
  const { stdout, stderr, env, signal } = surroundings
  const output = new Output({ json: options.json ?? false, quiet: options.quiet ?? false, stdout, stderr })
  const variable = env['HEDGEROW_DIR']
  const namedDir = options.dir ?? (variable === '' ? undefined : variable)
  const dir = (): string => findDir(namedDir)
  return {
    output,
    surroundings,
    yes: options.yes ?? false,
    signal,
    namedDir,
    dir,
    newDir: () => resolve(namedDir ?? (holdsStore(defaultDir) || !holdsStore(systemDir) ? defaultDir : systemDir)),
    client: () => openClient(dir(), { log: consoleLog(output) }),
  }
}

/** The first of --dir or HEDGEROW_DIR, ./hedgerow-data, /var/lib/hedgerow that holds a store; a named one only counts itself. */
function findDir(named: string | undefined): string {
  const candidates = named === undefined ? [defaultDir, systemDir] : [named]
  const found = candidates.find((path) => holdsStore(path))
  if (found !== undefined) return resolve(found)
  const places = candidates.map((path) => resolve(path)).join(' or ')
  const missing = named !== undefined && !existsSync(named) ? ' (the directory does not exist)' : ''
  throw new NotFoundError(
    `there is no store in ${places}${missing}: found a site with "hedgerow init", join one with "hedgerow join CODE" (a code comes from "hedgerow invite" on one of its gateways), or name the directory with --dir`,
  )
}

/** What a store that a command opened for itself has to say: only what a person must know. */
function consoleLog(output: Output): (level: 'info' | 'warn' | 'error', message: string, fields: object) => void {
  return (level, message, fields) => {
    if (level === 'info') return
    const details = Object.entries(fields)
      .map(([name, value]) => `${name}=${String(value)}`)
      .join(' ')
    output.warn(details === '' ? message : `${message} (${details})`)
  }
}
