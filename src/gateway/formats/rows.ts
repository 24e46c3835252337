import { CsvError, parse } from 'csv-parse/sync'
import { formatLimits } from './limits.ts'
import type { TextLine } from './lines.ts'

/** How the cells of a row are told apart. */
export interface RowForm {
  /** One character, or `whitespace`: any run of spaces and tabs. */
  readonly delimiter: string
  /** Encloses cells that hold delimiters or line breaks; doubled inside them. */
  readonly quote: string | undefined
}

/** One row, or why it is none. `column` counts from 0. */
export type Row =
  | { readonly row: number; readonly cells: readonly string[] }
  | { readonly row: number; readonly fault: string; readonly column?: number }

/**
 * Puts lines together into rows (RFC 4180): a quoted cell may span lines. A quote that is not closed within
 * `formatLimits.rowBytes`, or by the end of the file, costs only the row it opens in: the lines after it are read anew.
 */
export class RowAssembler {
  readonly #form: RowForm
  /** Lines of a row whose quote is still open. */
  #open: (TextLine & { text: string })[] = []
  #openBytes = 0

  constructor(form: RowForm) {
    this.#form = form
  }

  push(line: TextLine): Row[] {
    if ('fault' in line) return [...this.#giveUp(), { row: line.row, fault: line.fault }]
    const { quote } = this.#form
    if (this.#open.length === 0 && (quote === undefined || !line.text.includes(quote)))
      return [{ row: line.row, cells: this.#split(withoutReturn(line.text)) }]
    return this.#quoted(line, quote as string)
  }

  end(): Row[] {
    const rows: Row[] = []
    while (this.#open.length > 0) rows.push(...this.#giveUp())
    return rows
  }

  #quoted(line: TextLine & { text: string }, quote: string): Row[] {
    const open = endsInsideQuotes(line.text, this.#open.length > 0, this.#form.delimiter, quote)
    this.#open.push(line)
    this.#openBytes += line.bytes + 1
    if (open) return this.#openBytes > formatLimits.rowBytes ? this.#giveUp() : []
    const lines = this.#open
    this.#open = []
    this.#openBytes = 0
    return [this.#parse(lines, quote)]
  }

  #giveUp(): Row[] {
    const [first, ...rest] = this.#open
    if (first === undefined) return []
    this.#open = []
    this.#openBytes = 0
    // None of the rest can open a quote that it does not close, or it would have closed this one; but for the last.
    return [
      {
        row: first.row,
        fault: `a quote that opens in this row is not closed within ${formatLimits.rowBytes} bytes or by the end of the file`,
      },
      ...rest.flatMap((line) => this.push(line)),
    ]
  }

  #split(text: string): string[] {
    if (this.#form.delimiter !== 'whitespace') return text.split(this.#form.delimiter)
    // Not \s: a no-break space may be a thousands mark.
    return text.replace(/^[ \t]+|[ \t]+$/g, '').split(/[ \t]+/)
  }

  #parse(lines: readonly { readonly row: number; readonly text: string }[], quote: string): Row {
    const row = lines[0]?.row ?? 0
    const lastRow = row + lines.length - 1
    const span = lastRow > row ? ` (rows ${row} to ${lastRow} are one by their quotes)` : ''
    try {
      const records = parse(withoutReturn(lines.map((line) => line.text).join('\n')), {
        delimiter: this.#form.delimiter,
        quote,
        escape: quote,
        record_delimiter: '\n',
        relax_column_count: true,
      })
      const cells = records[0]
      if (cells === undefined || records.length > 1) return { row, fault: `the quotes do not match${span}` }
      return { row, cells }
    } catch (error) {
      if (!(error instanceof CsvError)) throw error
      const fault = `a quote stands inside a cell: enclose the cell in quotes and double the quotes in it${span}`
      return typeof error['column'] === 'number' ? { row, fault, column: error['column'] } : { row, fault }
    }
  }
}

/** A quote opens only at the start of a cell; inside, two are one literal quote. */
function endsInsideQuotes(text: string, startsInside: boolean, delimiter: string, quote: string): boolean {
  let inside = startsInside
  let next = text.indexOf(quote)
  while (next >= 0) {
    let from = next + 1
    if (!inside) inside = next === 0 || text[next - 1] === delimiter
    else if (text[from] === quote) from++
    else inside = false
    next = text.indexOf(quote, from)
  }
  return inside
}

function withoutReturn(text: string): string {
  return text.endsWith('\r') ? text.slice(0, -1) : text
}
