import type { Readable, Writable } from 'node:stream'

/** A stream that may be a terminal. */
export interface Terminal {
  readonly isTTY?: boolean
  readonly columns?: number
}

/** What a command line works with besides its arguments: the process's own, or what a test puts in its place. */
export interface Surroundings {
  readonly stdin: Readable & Terminal
  readonly stdout: Writable & Terminal
  readonly stderr: Writable & Terminal
  readonly env: Readonly<Record<string, string | undefined>>
  /** Asks the command to end in order; its reason is an `Interrupted`. */
  readonly signal: AbortSignal
}

/** Why a command ends before it is done: a signal reached the process. */
export class Interrupted extends Error {
  readonly exitCode: number

  constructor(signal: NodeJS.Signals) {
    super(`ended by ${signal}`)
    this.exitCode = signal === 'SIGINT' ? 130 : 143
  }
}
