import type { Reading, TimeUs } from '../../model/index.ts'
import { formatLimits } from './limits.ts'

/** A row that was refused as a whole: where it stands and what was expected. */
export interface RowFault {
  /** Line of the file where the row begins, from 1. */
  readonly row: number
  /** Name of the column, or its number from 1 where it has none. */
  readonly column?: string
  readonly message: string
}

/** What was read of a file. `rows` = `readings` + `faults` + `withoutValues`. */
export interface ReadCounts {
  /** Rows of data: neither the header, nor skipped lines, nor empty rows. */
  readonly rows: number
  readonly readings: number
  readonly faults: number
  /** Rows in which nothing stands at all: passed over. */
  readonly emptyRows: number
  /** Rows with a time and no value, all being missing: passed over. */
  readonly withoutValues: number
  /** Cells of field columns that are empty or hold a missing mark, in rows that were not refused. */
  readonly missingValues: number
  /** Times whose digits beyond the microsecond were cut. */
  readonly cutTimes: number
}

export type CsvItem =
  | { readonly row: number; readonly reading: Reading }
  | { readonly fault: RowFault }
  /** The last item. */
  | { readonly counts: ReadCounts }

/** A reading that may leave its time to whoever takes it in. */
export type UntimedReading = Omit<Reading, 'time'> & { readonly time: TimeUs | undefined }

export type NdjsonItem =
  | { readonly row: number; readonly reading: UntimedReading }
  | { readonly fault: RowFault }
  /** The last item. */
  | { readonly counts: ReadCounts }

/** `ReadCounts` while they are counted. */
export type Tally = { -readonly [K in keyof ReadCounts]: number }

export function newTally(): Tally {
  return { rows: 0, readings: 0, faults: 0, emptyRows: 0, withoutValues: 0, missingValues: 0, cutTimes: 0 }
}

/** Repeats input in a message, cut to a length that fits a line. */
export function quoted(text: string): string {
  const { quotedChars } = formatLimits
  return JSON.stringify(text.length > quotedChars ? `${text.slice(0, quotedChars)}…` : text)
}
