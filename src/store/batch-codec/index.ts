/**
 * The batch codec, version 1: the readings of one flush as one bytes value, columns under a dictionary of series.
 * Exact for every value; small above all for 60 readings of one sensor; its decoder is bounded before it allocates.
 *
 * The bytes in order (docs/batch-codec.md has every detail):
 *
 * | part | what |
 * |---|---|
 * | version | 1 byte: 1 |
 * | flags | 1 byte: several sensors 1, several tables 2, a stream per column 4, raw bytes 8, raw bytes zstd-compressed 16 |
 * | readings | varint |
 * | sensors | number of sensors, lengths of their names |
 * | tables | number of tables; for each its columns: field, unit, and a byte of type, mode, quality and presence |
 * | keys | parameters of: which reading is in which table; for each table sensors, times, presence |
 * | columns | for each: parameters of its qualities and values |
 * | lengths | of the streams, of the raw bytes before compression |
 * | streams | range-coded: names, tables, sensors, times and presence; then values |
 * | raw bytes | byte planes, exceptions and texts of the columns, as they are or one zstd frame |
 */
export { encodeBatch } from './encode.ts'
export { summarizeBatch, type BatchSummary, type SensorSpan } from './summary.ts'
export { decodeBatch, decodeColumns, type BatchColumn, type BatchFilter, type ColumnValues } from './decode.ts'
