/**
 * The token of everything that one read of a record showed: the base64url of the first 16 bytes of SHA-256 over a
 * canonical text of all reading values with their nodes and all surviving entries. A read that was limited to some
 * fields names them after a `~`: its token speaks of those only.
 */
import { hash } from 'node:crypto'
import { InvalidInputError, parseFieldName, type FieldName } from '../../model/index.ts'
import { wholeRecord } from './amendment-entry.ts'
import { entryIdentity } from './field-state.ts'
import type { RecordInput } from './record-view.ts'
import { compareText, exactKey } from './value-key.ts'

const tokenBytes = 16

export function seenToken(input: RecordInput, fields?: ReadonlySet<FieldName>): string {
  const parts = new Set<string>()
  for (const { reading, nodes } of input.readings)
    for (const { field, value, quality = 'good', unit } of reading.fields)
      if (fields === undefined || fields.has(field))
        parts.add(JSON.stringify([field, 'reading', nodes[0], exactKey(value), quality, unit ?? null]))
  if (input.entries !== undefined)
    for (const [field, entries] of input.entries)
      if (fields === undefined || field === wholeRecord || fields.has(field))
        for (const entry of entries) parts.add(JSON.stringify([field, 'entry', entryIdentity(entry)]))
  const text = JSON.stringify([input.sensor, input.time, ...[...parts].sort(compareText)])
  const token = hash('sha256', text, 'buffer').subarray(0, tokenBytes).toString('base64url')
  return fields === undefined ? token : `${token}~${[...fields].sort(compareText).join(',')}`
}

/** The fields that a token speaks of; `undefined`: all. */
export function tokenFields(token: string): ReadonlySet<FieldName> | undefined {
  const match = /^[A-Za-z0-9_-]{22}(?:~([A-Za-z0-9_.,-]+))?$/.exec(token)
  if (match === null) throw new InvalidInputError('the `seen` token is not one that a read returned')
  return match[1] === undefined ? undefined : new Set(match[1].split(',').map(parseFieldName))
}
