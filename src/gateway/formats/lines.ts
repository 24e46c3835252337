import { TextDecoder } from 'node:util'
import { InvalidInputError } from '../../model/index.ts'
import { formatLimits } from './limits.ts'

/** One line of text, its `\n` taken off (a `\r` before it still there), or why it is none. */
export type TextLine =
  | { readonly row: number; readonly bytes: number; readonly text: string }
  | { readonly row: number; readonly bytes: number; readonly fault: string }

const newline = 0x0a

/**
 * Splits bytes into lines, one batch for each chunk of input that ends any. Memory is bounded: a line longer than
 * `formatLimits.rowBytes` becomes a fault and its bytes are dropped as they come, and so does a line whose bytes are not text
 * in the encoding. A byte order mark is taken off the first line.
 */
export async function* readLines(
  input: AsyncIterable<Uint8Array>,
  options: { readonly encoding?: string; readonly file: string },
): AsyncIterable<TextLine[]> {
  const encoding = new TextDecoder(options.encoding ?? 'utf-8').encoding
  // A byte 0x0A in UTF-16 need not be a line's end, so UTF-16 is made UTF-8 first.
  const wide = encoding.startsWith('utf-16')
  const splitter = new LineSplitter(wide ? 'utf-8' : encoding)
  for await (const chunk of wide ? transcode(input, encoding, options.file) : input) {
    const lines = splitter.push(chunk)
    if (lines.length > 0) yield lines
  }
  const last = splitter.end()
  if (last.length > 0) yield last
}

async function* transcode(input: AsyncIterable<Uint8Array>, encoding: string, file: string): AsyncIterable<Uint8Array> {
  const decoder = new TextDecoder(encoding, { fatal: true })
  try {
    for await (const chunk of input) yield Buffer.from(decoder.decode(chunk, { stream: true }))
    yield Buffer.from(decoder.decode())
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    throw new InvalidInputError(`${file} is not ${encoding} text: name its encoding in a profile (encoding: …)`, {
      cause,
    })
  }
}

class LineSplitter {
  readonly #decoder: TextDecoder
  /** Pieces of the line that has not ended yet; dropped once it is too long. */
  #pieces: Uint8Array[] = []
  #bytes = 0
  #row = 1

  constructor(encoding: string) {
    this.#decoder = new TextDecoder(encoding, { fatal: true, ignoreBOM: true })
  }

  push(chunk: Uint8Array): TextLine[] {
    const lines: TextLine[] = []
    let start = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      lines.push(this.#line(chunk.subarray(start, end)))
      start = end + 1
    }
    this.#keep(chunk.subarray(start))
    return lines
  }

  /** What stands after the last line's end, if anything does. */
  end(): TextLine[] {
    return this.#bytes === 0 ? [] : [this.#line(new Uint8Array())]
  }

  #keep(piece: Uint8Array): void {
    if (piece.length === 0) return
    this.#bytes += piece.length
    if (this.#bytes > formatLimits.rowBytes) this.#pieces = []
    // A copy: the caller may reuse the chunk, and a short piece must not keep a large chunk alive.
    else this.#pieces.push(Buffer.from(piece))
  }

  #line(last: Uint8Array): TextLine {
    const bytes = this.#bytes + last.length
    const whole = this.#pieces.length === 0 ? last : Buffer.concat([...this.#pieces, last])
    this.#pieces = []
    this.#bytes = 0
    const row = this.#row++
    if (bytes > formatLimits.rowBytes)
      return {
        row,
        bytes,
        fault: `the line has ${bytes} bytes; a row may have ${formatLimits.rowBytes} at most`,
      }
    try {
      const text = this.#decoder.decode(whole)
      return { row, bytes, text: row === 1 && text.startsWith('\ufeff') ? text.slice(1) : text }
    } catch (cause) {
      if (!(cause instanceof TypeError)) throw cause
      return {
        row,
        bytes,
        fault: `the line is not ${this.#decoder.encoding} text: name the encoding in a profile, such as encoding: latin1`,
      }
    }
  }
}
