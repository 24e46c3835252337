/**
 * Every key of the store's LevelDB. Parts are joined by NUL, which no id holds, so that `<letter>\0<id>\0` is a range of
 * its own. All keys are of the Basic Multilingual Plane: byte order and JavaScript's order agree.
 */
import type { DocumentId, SensorId } from '../model/index.ts'

const hex = (n: number): string => n.toString(16).padStart(8, '0')

export const keys = {
  /** What the store is: format version, site. */
  meta: 'meta',
  /** The last order given to an edit of a multi-writer document; journals carry their own. */
  order: 'order',
  /** State of a document: tips with signatures, heads, counts. */
  document: (id: DocumentId): string => `d\0${id}`,
  /** One change of a document that is not sealed; `n` counts from 1 in order of arrival, which is causal order. */
  change: (id: DocumentId, n: number): string => `c\0${id}\0${hex(n)}`,
  /** Seal of a journal. */
  seal: (id: DocumentId): string => `s\0${id}`,
  /** Part of a sealed journal's chunk, from 0. */
  part: (id: DocumentId, index: number): string => `p\0${id}\0${hex(index)}`,
  /** Part of a chunk whose transfer was interrupted, under its own hash. Derived: may be dropped at any time. */
  staged: (id: DocumentId, hash: string): string => `P\0${id}\0${hash}`,
  /** Index row (derived): readings of a sensor in a UTC month in a journal. */
  index: (sensor: SensorId, month: string, id: DocumentId): string => `i\0${sensor}\0${month}\0${id}`,
  /** Index row (derived): a sensor has amendments of a day in a document. */
  amended: (sensor: SensorId, day: string, id: DocumentId): string => `a\0${sensor}\0${day}\0${id}`,
  /** Rows of the fingerprint tree (derived). */
  fingerprint: (row: string): string => `f\0${row}`,
  /** Member entry by its SHA-256. */
  member: (hash: string): string => `m\0${hash}`,
  /** Time up to which this node has appended readings of a sensor: the mark against duplicates. */
  appended: (sensor: SensorId): string => `w\0${sensor}`,
  /** A whole file that was imported. */
  imported: (mark: string): string => `I\0${mark}`,
  /** Small state of other parts. */
  side: (name: string): string => `x\0${name}`,
} as const

/** The range of all keys that begin with `prefix` and a NUL. */
export function under(prefix: string): { readonly gte: string; readonly lt: string } {
  return { gte: `${prefix}\0`, lt: `${prefix}\u0001` }
}
