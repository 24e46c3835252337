import { append600 } from './append.ts'
import { catchup } from './catchup.ts'
import { diskBytes } from './disk-bytes.ts'

/** What one benchmark measured. `baseline` is the same work done the plain way, in the same run. */
export interface BenchResult {
  readonly value: number
  readonly unit: string
  readonly baseline: number
  readonly baselineWhat: string
  readonly [detail: string]: number | string
}

export const benches: Readonly<Record<string, () => Promise<BenchResult>>> = {
  'append-600': append600,
  'disk-bytes': diskBytes,
  catchup,
}
