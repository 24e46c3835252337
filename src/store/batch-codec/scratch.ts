import { limits } from '../../model/index.ts'

/**
 * Buffers that every call uses again: the codec is synchronous, so no two calls overlap. One column has at most
 * `limits.batchReadings` values.
 */
export const scratch: {
  readonly a: Float64Array
  readonly b: Float64Array
  readonly c: Float64Array
  readonly d: Float64Array
  readonly patches: Int32Array
} = {
  a: new Float64Array(limits.batchReadings),
  b: new Float64Array(limits.batchReadings),
  c: new Float64Array(limits.batchReadings),
  d: new Float64Array(limits.batchReadings),
  patches: new Int32Array(limits.batchReadings),
}
