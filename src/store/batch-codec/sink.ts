import { ByteWriter } from './bytes.ts'
import { RangeEncoder } from './range-coder.ts'
import { encodeSequence, planSymbols, writeSymbols } from './sequence.ts'

/** Where an encoder writes to: parameters, the present stream of range-coded sequences, and raw bytes. */
export interface Sink {
  readonly header: ByteWriter
  readonly coder: RangeEncoder
  readonly raw: ByteWriter
}

export const sink: Sink = { header: new ByteWriter(4096), coder: new RangeEncoder(), raw: new ByteWriter(65_536) }

/** Codes small numbers from 0 that have no order. */
export function putSymbols({ header, coder }: Sink, symbols: Float64Array, n: number): void {
  const plan = planSymbols(symbols, n)
  writeSymbols(header, plan)
  encodeSequence(coder, symbols, n, plan)
}
