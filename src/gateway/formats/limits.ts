/** Limits of what is read from files and streams, with their units and reasons. */
export const formatLimits = {
  /** Bytes of one row of a CSV file (its line breaks inside quotes included) or one line of NDJSON: four times the largest record. */
  rowBytes: 262_144,
  /** Columns of a table: four times the fields of one record. */
  columns: 1_024,
  /** Characters of a profile. The longest real ones have some thousands. */
  profileChars: 65_536,
  /** Characters of a cell that a message repeats. */
  quotedChars: 60,
  /** Distinct sensor names remembered while a file is read, so that each is checked once. */
  sensorNames: 4_096,
  /** Characters of text handed on at once by the CSV output. */
  outputChars: 65_536,
} as const
