/** What the files of the peer part share: the parts handed in, and the tasks under way. */
import type { Clock, NodeId, Random } from '../model/index.ts'
import type { Store } from '../store/index.ts'
import type { Evidence } from './evidence.ts'
import type { Network } from './network/types.ts'

/** Fixed messages with fields beside them. Never payloads or secrets. */
export type PeerLog = (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void

export interface PeerContext {
  readonly store: Store
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly log: PeerLog
  readonly evidence: Evidence
  readonly tasks: Tasks
}

/** Work in the background: none is lost, all ends at `stop`, and what fails is logged. */
export class Tasks {
  readonly #log: PeerLog
  readonly #running = new Set<Promise<void>>()
  readonly #abort = new AbortController()

  constructor(log: PeerLog) {
    this.#log = log
  }

  /** Aborted when the peer stops. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Starts a task whose failure harms nothing else. Expected ends (`signal` aborted) are not logged. */
  run(what: string, task: () => Promise<void>, signal: AbortSignal = this.signal): void {
    if (this.signal.aborted) return
    const running = task()
      .catch((error: unknown) => {
        if (!signal.aborted && !this.signal.aborted) this.#log('warn', `${what} failed`, { reason: reasonOf(error) })
      })
      .finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  async stop(reason: Error): Promise<void> {
    this.#abort.abort(reason)
    while (this.#running.size > 0) await Promise.all(this.#running)
  }
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** A signal that aborts with any of `signals` or after `ms` of the clock. */
export function deadline(clock: Clock, ms: number, what: string, ...signals: readonly AbortSignal[]): Deadline {
  const abort = new AbortController()
  const timer = clock.setTimer(() => abort.abort(new Error(`${what} took more than ${ms} ms`)), ms)
  return {
    signal: AbortSignal.any([abort.signal, ...signals]),
    [Symbol.dispose]: () => timer.cancel(),
  }
}

export interface Deadline extends Disposable {
  readonly signal: AbortSignal
}

/** The parts of a session that others ask for. */
export interface Admitted {
  readonly node: NodeId
  /** Aborted with the connection. */
  readonly signal: AbortSignal
}
