/**
 * Every limit of the data model and of the documents, with its unit and its reason. Beyond a limit the
 * input is refused with a `LimitError` or `InvalidInputError` that names it; nothing is cut silently.
 */
export const limits = {
  /** Characters of a sensor name. Fits a LevelDB key and a terminal. */
  sensorChars: 200,
  /** Characters of a field name. */
  fieldChars: 64,
  /** Fields of one record. The widest public rigs have some tens. */
  fieldsPerRecord: 256,
  /** UTF-8 bytes of one string value: an amendment that carries it has to fit `amendmentBytes`. */
  stringBytes: 1024,
  /** Bytes of one record, all names and values added up: one flush has to fit `batchBytes`. */
  recordBytes: 65_536,
  /** Characters of a note, of a reason, of a unit and of a label. */
  noteChars: 500,
  unitChars: 32,
  labelChars: 200,
  /** First and last time of a record, µs since the epoch: 1970-01-01 and 2200-01-01. */
  timeMinUs: 0,
  timeMaxUs: 7_258_118_400_000_000,

  /** Groups of a site: each costs every node an open journal. */
  groups: 64,
  groupChars: 32,

  /** Readings that trigger a flush before its lane's interval is over. */
  flushReadings: 600,
  /** Readings that one flush may take along: bounds the time between two flushes. */
  batchReadings: 5_000,
  /** Estimated bytes of readings that one flush may take along. */
  flushBytes: 1_048_576,
  /** Encoded bytes of one batch, before and after decompression: bounds a decoder's memory. */
  batchBytes: 2_097_152,
  batchRawBytes: 16_777_216,
  /** Series in one batch's dictionary. */
  batchSeries: 65_536,
  /** Readings that may wait for their flush; `append` waits for room beyond it. */
  queuedReadings: 100_000,

  /** A journal is rotated at the first of these. Loading 8,192 changes takes some 25 ms. */
  journalChanges: 8_192,
  journalBytes: 4_194_304,
  journalAgeMs: 86_400_000,
  /** A journal that a crash left open is sealed alone after this long without a peer to ask. */
  sealAloneMs: 86_400_000,
  /** Bytes of a part of a sealed journal: the unit of verification and of resumption. */
  sealPartBytes: 65_536,
  /** Bytes of a sealed journal. Columns and names come on top of the batches. */
  sealedBytes: 16_777_216,

  /** Keys of a multi-writer document, puts of one change, bytes of one entry. */
  documentKeys: 50_000,
  changePuts: 1_000,
  entryBytes: 4_096,
  /** Actors of one document: a run of a node that edits it is one. Bounds what a node tells of its state. */
  documentActors: 4_096,
  /** Bytes of one change of any kind. */
  changeBytes: 5_242_880,
  /** Bytes that one document's changes may come to in a transfer. */
  documentBytes: 67_108_864,
  /** A multi-writer document is settled after this long without a change. */
  settleMs: 600_000,

  /** A remote order further ahead than this does not move our clock. */
  orderAheadUs: 300_000_000,

  /** Bytes of decoded documents kept in memory for reads. */
  cacheBytes: 67_108_864,
  /** Intake stops below this many free bytes; the reserve file makes room for shutdown and prune. */
  diskLowBytes: 67_108_864,
  diskReserveBytes: 8_388_608,

  /** Entries of the members set and bytes of one entry. */
  members: 10_000,
  memberBytes: 65_536,
  /** Characters of a node's or site's name. */
  nameChars: 64,
} as const
