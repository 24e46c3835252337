/**
 * Records and list entries share parts. Where a part ends is decided by the ids in it: a change to one document gives a
 * new form to its own part only, and later backups share the others.
 */
import { createHash } from 'node:crypto'
import type { DocumentId } from '../model/index.ts'
import type { PartId } from './box.ts'
import { backupLimits } from './constants.ts'
import { encodeEntry, noRecord, type ListEntry, type RecordPlace } from './document-list.ts'

export type AddPart = (content: Uint8Array) => Promise<PartId>

/** An id ends a part of sufficient size in one of this many cases. */
const endsOneIn = 8

function endsPart(id: DocumentId): boolean {
  return (createHash('sha256').update(id).digest()[0] as number) % endsOneIn === 0
}

/** Gathers items into parts. Calls `placed` for each part's items when it is complete, in order. */
class PartGroup<T> {
  readonly #add: AddPart
  readonly #placed: (item: T, place: RecordPlace) => Promise<void>
  #pieces: Uint8Array[] = []
  #bytes = 0
  #waiting: { readonly item: T; readonly offset: number; readonly length: number }[] = []

  constructor(add: AddPart, placed: (item: T, place: RecordPlace) => Promise<void>) {
    this.#add = add
    this.#placed = placed
  }

  async push(id: DocumentId, item: T, pieces: readonly Uint8Array[]): Promise<void> {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
    if (this.#bytes > 0 && this.#bytes + length > backupLimits.groupMaxBytes) await this.end()
    if (length > backupLimits.groupMaxBytes) {
      await this.#placed(item, { parts: await this.#large(pieces), offset: 0, length })
      return
    }
    this.#waiting.push({ item, offset: this.#bytes, length })
    this.#pieces.push(...pieces)
    this.#bytes += length
    if (this.#bytes >= backupLimits.groupMinBytes && endsPart(id)) await this.end()
  }

  async end(): Promise<void> {
    const waiting = this.#waiting
    const parts = this.#bytes === 0 ? [] : [await this.#add(Buffer.concat(this.#pieces))]
    this.#waiting = []
    this.#pieces = []
    this.#bytes = 0
    for (const { item, offset, length } of waiting)
      await this.#placed(item, length === 0 ? noRecord : { parts, offset, length })
  }

  /** A record with parts of its own, cut by length. */
  async #large(pieces: readonly Uint8Array[]): Promise<PartId[]> {
    const parts: PartId[] = []
    let waiting: Uint8Array[] = []
    let room: number = backupLimits.groupMaxBytes
    for (const piece of pieces)
      for (let at = 0; at < piece.length;) {
        const slice = piece.subarray(at, at + room)
        waiting.push(slice)
        at += slice.length
        room -= slice.length
        if (room > 0) continue
        parts.push(await this.#add(Buffer.concat(waiting)))
        waiting = []
        room = backupLimits.groupMaxBytes
      }
    if (waiting.length > 0) parts.push(await this.#add(Buffer.concat(waiting)))
    return parts
  }
}

/** Writes records and the entries that name them. Documents come in id order. */
export class ListWriter {
  readonly #records: PartGroup<Omit<ListEntry, 'record'>>
  readonly #entries: PartGroup<undefined>
  /** Parts with the entries, in order; complete after `end`. */
  readonly pieces: PartId[] = []

  constructor(add: AddPart) {
    this.#entries = new PartGroup<undefined>(
      async (content) => {
        const id = await add(content)
        this.pieces.push(id)
        return id
      },
      async () => undefined,
    )
    this.#records = new PartGroup(add, async (entry, record) =>
      this.#entries.push(entry.id, undefined, [encodeEntry({ ...entry, record })]),
    )
  }

  push(entry: Omit<ListEntry, 'record'>, record: readonly Uint8Array[]): Promise<void> {
    return this.#records.push(entry.id, entry, record)
  }

  async end(): Promise<void> {
    await this.#records.end()
    await this.#entries.end()
  }
}
