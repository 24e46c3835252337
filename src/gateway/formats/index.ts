/** Files and streams: tables and NDJSON into readings, records into CSV. */
export { readCsv, type CsvOptions } from './csv.ts'
export { formatRecordsCsv, recordColumns } from './csv-output.ts'
export type { CsvItem, NdjsonItem, ReadCounts, RowFault, UntimedReading } from './items.ts'
export { formatLimits } from './limits.ts'
export { parseReading, readNdjson, type NdjsonOptions } from './ndjson.ts'
export { numberText } from './numbers.ts'
export { defaultProfile, parseProfile, type CsvProfile, type FieldMapping } from './profile.ts'
