import { styleText } from 'node:util'
import { toJson } from './json.ts'
import type { Surroundings } from './surroundings.ts'

export interface OutputOptions extends Pick<Surroundings, 'stdout' | 'stderr'> {
  readonly json: boolean
  readonly quiet: boolean
}

/** Where a command's words go: data to stdout, all else to stderr. */
export class Output {
  readonly json: boolean
  readonly quiet: boolean
  readonly #stdout: Surroundings['stdout']
  readonly #stderr: Surroundings['stderr']
  /** Set once the reader of stdout has gone (`| head`): what is still written is dropped. */
  #readerGone = false

  constructor({ json, quiet, stdout, stderr }: OutputOptions) {
    this.json = json
    this.quiet = quiet
    this.#stdout = stdout
    this.#stderr = stderr
    stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      this.#readerGone = true
    })
  }

  get readerGone(): boolean {
    return this.#readerGone
  }

  /** Characters of a line on the terminal; `undefined` if stdout is none. */
  get columns(): number | undefined {
    return this.#stdout.isTTY === true ? (this.#stdout.columns ?? 80) : undefined
  }

  /** Whether progress bars may be drawn. */
  get drawsProgress(): boolean {
    return this.#stderr.isTTY === true && !this.quiet && !this.json
  }

  get progressStream(): NodeJS.WritableStream {
    return this.#stderr
  }

  /** Writes text to stdout as it is; resolves when the reader has room. */
  async data(text: string): Promise<void> {
    if (this.#readerGone || this.#stdout.write(text)) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#stdout.off('drain', done)
        this.#stdout.off('close', done)
        this.#stdout.off('error', done)
        resolve()
      }
      this.#stdout.on('drain', done)
      this.#stdout.on('close', done)
      this.#stdout.on('error', done)
    })
  }

  line(text: string): Promise<void> {
    return this.data(`${text}\n`)
  }

  /** One object of `--json`, on a line. */
  object(value: unknown): Promise<void> {
    return this.line(toJson(value))
  }

  /** Says what happened, unless `--quiet`. */
  note(text: string): void {
    if (!this.quiet) this.#stderr.write(`${text}\n`)
  }

  warn(text: string): void {
    this.#stderr.write(`${this.#paint('yellow', 'warning:')} ${text}\n`)
  }

  error(text: string): void {
    this.#stderr.write(`${this.#paint('red', 'error:')} ${text}\n`)
  }

  /** Where in the code an unexpected error came from, or a line of a running node's log. */
  trace(text: string): void {
    this.#stderr.write(`${text}\n`)
  }

  /** An error as one JSON object on stderr, for `--json`. */
  errorObject(value: unknown): void {
    this.#stderr.write(`${toJson(value)}\n`)
  }

  /** Colours on a terminal that wants them (`NO_COLOR`, `FORCE_COLOR`). */
  #paint(style: 'yellow' | 'red', text: string): string {
    return styleText(style, text, { stream: this.#stderr, validateStream: true })
  }
}
