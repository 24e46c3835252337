import type { RowFault } from '../gateway/index.ts'
import type { Output } from './output.ts'
import { counted } from './values.ts'

/** Faults that are listed one by one; the rest is counted. */
const listed = 20

/** Says which rows of an input were refused, and why. */
export class FaultList {
  readonly #output: Output
  readonly #source: string
  #count = 0

  constructor(output: Output, source: string) {
    this.#output = output
    this.#source = source
  }

  add({ row, column, message }: RowFault): void {
    if (++this.#count > listed) return
    const place = column === undefined ? '' : `, column ${column}`
    const fault = { source: this.#source, row, ...(column === undefined ? {} : { column }), message }
    if (this.#output.json) this.#output.errorObject({ fault })
    else this.#output.error(`${this.#source}: row ${row}${place}: ${message}`)
  }

  /** Says how many were not listed; gives the number of all. */
  end(): number {
    const more = this.#count - listed
    if (more <= 0) return this.#count
    if (this.#output.json) this.#output.errorObject({ moreFaults: { source: this.#source, rows: more } })
    else this.#output.error(`${this.#source}: and ${counted(more, 'more row', 'more rows')}`)
    return this.#count
  }
}
