import { actorPrefixOf, DamagedError, HedgerowError, utcDay, type NodeId, type TimeUs } from '../../model/index.ts'
import type { SharedContent, SharedEntry } from '../documents.ts'
import {
  decodeEntry,
  parseKey,
  wholeRecord,
  type AmendmentEntry,
  type EntryField,
  type EntryKey,
} from './amendment-entry.ts'

/** The surviving entries of one record by field, `*` for the whole record. Order means nothing. */
export type RecordEntries = ReadonlyMap<EntryField, readonly AmendmentEntry[]>

export interface AmendmentSet {
  readonly byTime: ReadonlyMap<TimeUs, RecordEntries>
  /** Entries that are kept and not understood: damaged, forged or of a later release. */
  readonly damaged: number
  /** Why, for the first of them. */
  readonly reason?: string
}

const parsed = new WeakMap<SharedContent, AmendmentSet>()

/**
 * Reads an amendments document of one UTC day. An entry that cannot be read, that belongs to another day, or whose
 * author is not the one that signed it is left out and counted: it stays in the document and never stops a read.
 * Remembered for as long as the content is.
 */
export function readAmendments(content: SharedContent, day: string): AmendmentSet {
  const known = parsed.get(content)
  if (known !== undefined) return known
  const byTime = new Map<TimeUs, Map<EntryField, readonly AmendmentEntry[]>>()
  let damaged = 0
  let reason: string | undefined
  for (const [key, values] of content) {
    const read = readKey(key, values, day)
    damaged += read.damaged
    reason ??= read.reason
    if (read.entries.length === 0) continue
    const known = byTime.get(read.time)
    if (known === undefined) byTime.set(read.time, new Map([[read.field, read.entries]]))
    else known.set(read.field, read.entries)
  }
  const set = { byTime, damaged, ...(reason !== undefined && { reason }) }
  parsed.set(content, set)
  return set
}

interface ReadKey {
  readonly time: TimeUs
  readonly field: EntryField
  readonly entries: readonly AmendmentEntry[]
  readonly damaged: number
  readonly reason?: string | undefined
}

/** A content that grew by an edit shares the values of all other keys with the one before: they are decoded once. */
const readKeys = new WeakMap<readonly SharedEntry[], ReadKey>()

function readKey(key: string, values: readonly SharedEntry[], day: string): ReadKey {
  let read = readKeys.get(values)
  if (read === undefined) readKeys.set(values, (read = decodeKey(key, values, day)))
  return read
}

function decodeKey(key: string, values: readonly SharedEntry[], day: string): ReadKey {
  const entries: AmendmentEntry[] = []
  let parsed: EntryKey = { time: 0, field: wholeRecord }
  let damaged = 0
  let reason: string | undefined
  for (const { actor, value } of values) {
    try {
      parsed = parseKey(key)
      if (utcDay(parsed.time) !== day) throw new DamagedError('the key is of another day')
      if (!(value instanceof Uint8Array)) throw new DamagedError('an entry is bytes')
      const entry = decodeEntry(value)
      const { by, removed } = entry.amendment
      if (!actor.startsWith(prefixOf(by)))
        throw new DamagedError(`it names ${by} as its author and was signed by another node`)
      if (parsed.field === wholeRecord && removed !== true) throw new DamagedError('a whole record can only be removed')
      entries.push(entry)
    } catch (error) {
      if (!(error instanceof HedgerowError)) throw error
      damaged++
      reason ??= `${key}: ${error.message}`
    }
  }
  return { ...parsed, entries, damaged, reason }
}

const prefixes = new Map<NodeId, string>()
/** Nodes of a site are hundreds; the bound is against entries with made-up authors. */
const maxPrefixes = 10_000

function prefixOf(node: NodeId): string {
  let prefix = prefixes.get(node)
  if (prefix === undefined) {
    prefix = actorPrefixOf(node)
    if (prefixes.size >= maxPrefixes) prefixes.clear()
    prefixes.set(node, prefix)
  }
  return prefix
}
