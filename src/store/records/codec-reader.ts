import { decodeBatch, summarizeBatch } from '../batch-codec/index.ts'
import type { BatchReader } from './scan.ts'

/** The batch codec as the records use it. */
export const codecReader: BatchReader = {
  decode: decodeBatch,
  spans: (bytes) => summarizeBatch(bytes).sensors,
}
