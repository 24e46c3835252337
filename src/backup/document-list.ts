/**
 * The list of documents a backup names, and the root over the documents it gives back. List pieces are parts like others,
 * cut where the ids say so, so that backups of the same history share them. A piece is a row of framed CBOR entries
 * `[id, form, tips, heads, seal, parts of the record, offset, length]`.
 */
import { createHash } from 'node:crypto'
import { parseDocumentId, type ActorId, type ChangeHash, type DocumentId } from '../model/index.ts'
import type { SignedTip } from '../store/index.ts'
import { partIdBytes, partIdOf, type PartId } from './box.ts'
import { asBytes, asInteger, asList, asNames, asText, decodeCbor, encode, frameLength } from './cbor.ts'

/**
 * How a backup holds a document. `gone`: no longer there. `sealed`: its seal, and the parts of its chunk under the names
 * the seal gives. `whole`: all its changes. `changes`: those behind the state in the parent backup.
 */
export const forms = ['gone', 'sealed', 'whole', 'changes'] as const
export type Form = (typeof forms)[number]

/** What has to come back of a document. */
export interface DocumentFacts {
  readonly id: DocumentId
  /** Sorted by actor. */
  readonly tips: readonly SignedTip[]
  /** Sorted. */
  readonly heads: readonly ChangeHash[]
  /** SHA-256 (hex) of the seal's statement. */
  readonly seal?: string
}

/** Where a record lies: `length` bytes from `offset` in the parts joined. */
export interface RecordPlace {
  readonly parts: readonly PartId[]
  readonly offset: number
  readonly length: number
}

export interface ListEntry extends DocumentFacts {
  readonly form: Form
  readonly record: RecordPlace
}

export const noRecord: RecordPlace = { parts: [], offset: 0, length: 0 }

const hexBytes = (hex: string): Buffer => Buffer.from(hex, 'hex')

export function encodeEntry({ id, form, tips, heads, seal, record }: ListEntry): Buffer {
  const bytes = encode([
    id,
    forms.indexOf(form),
    tips.map((tip) => [hexBytes(tip.actor), tip.seq, hexBytes(tip.hash), tip.records, tip.bytes, tip.signature]),
    Buffer.concat(heads.map(hexBytes)),
    seal === undefined ? null : hexBytes(seal),
    Buffer.concat(record.parts.map(partIdBytes)),
    record.offset,
    record.length,
  ])
  return Buffer.concat([frameLength(bytes.length), bytes])
}

/** Reads an entry (without its frame). Throws `DamagedError`. */
export function decodeEntry(bytes: Uint8Array): ListEntry {
  const [id, form, tips, heads, seal, parts, offset, length] = asList(decodeCbor(bytes), 8)
  const text = asText(id)
  parseDocumentId(text)
  return {
    id: text as DocumentId,
    form: forms[asInteger(form)] ?? 'gone',
    tips: asList(tips).map((tip): SignedTip => {
      const [actor, seq, hash, records, size, signature] = asList(tip, 6)
      return {
        actor: asBytes(actor, 24).toString('hex') as ActorId,
        seq: asInteger(seq),
        hash: asBytes(hash, 32).toString('hex') as ChangeHash,
        records: asInteger(records),
        bytes: asInteger(size),
        signature: asBytes(signature, 64),
      }
    }),
    heads: asNames(heads).map((head) => head.toString('hex') as ChangeHash),
    ...(seal === null ? {} : { seal: asBytes(seal, 32).toString('hex') }),
    record: { parts: asNames(parts).map(partIdOf), offset: asInteger(offset), length: asInteger(length) },
  }
}

/** Whether two hold the same of a document. Signatures follow from the rest. */
export function sameFacts(a: DocumentFacts, b: DocumentFacts): boolean {
  return (
    a.seal === b.seal &&
    a.heads.join() === b.heads.join() &&
    a.tips.length === b.tips.length &&
    a.tips.every((tip, i) => tip.actor === b.tips[i]?.actor && tip.seq === b.tips[i].seq && tip.hash === b.tips[i].hash)
  )
}

export function recordsOf({ tips }: DocumentFacts): number {
  return tips.reduce((sum, { records }) => sum + records, 0)
}

/** The root and totals of documents, added in id order. */
export class RootHash {
  readonly #hash = createHash('sha256').update('hedgerow backup root 1')
  documents = 0
  records = 0
  bytes = 0

  add(facts: DocumentFacts): void {
    const { id, tips, heads, seal } = facts
    const item = encode([
      id,
      tips.map(({ actor, seq, hash, records }) => [hexBytes(actor), seq, hexBytes(hash), records]),
      Buffer.concat(heads.map(hexBytes)),
      seal === undefined ? null : hexBytes(seal),
    ])
    this.#hash.update(frameLength(item.length)).update(item)
    this.documents++
    this.records += recordsOf(facts)
    for (const tip of tips) this.bytes += tip.bytes
  }

  /** Hex. Call once. */
  digest(): string {
    return this.#hash.digest('hex')
  }
}
