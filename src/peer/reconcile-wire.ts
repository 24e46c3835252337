/**
 * Messages of range reconciliation. CBOR (RFC 8949) arrays `[version, entry…]`; texts are pairs (code units to drop from the end
 * of the text before it, UTF-8 to append), since ids and bounds share long prefixes. The text before the first of a message is
 * empty, before the first of an answer the start of the span it is about. docs/protocol.md lists every field.
 */
import { decode, encode } from 'cborg'
import { RefusedError, parseDocumentId, type DocumentId } from '../model/index.ts'

/** Every limit of a reconciliation session, with its reason. */
export const reconcileLimits = {
  /** Bytes of one message: bounds what either side decodes and answers at once. */
  messageBytes: 65_536,
  /** Estimated bytes at which a message takes no further entry, and the rest waits for the next round. */
  fullBytes: 57_344,
  /** Ranges asked about in one message: bounds the reads of one answer. */
  ranges: 2_048,
  /**
   * A range with this many documents or fewer is listed instead of split. With 100 differences in 8,000 documents 32 took
   * 112 kB, 10 takes a third; fewer than some 8 cost a round trip.
   */
  listItems: 10,
  /** Ranges that one range is split into at most. */
  parts: 16,
  /** Documents that a part should hold at least: comparing a part costs about as many bytes as listing one document. */
  partItems: 6,
  /** Messages of one session: at some 1,000 differences a message enough for millions, and the end of a peer that leads us in circles. */
  rounds: 4_096,
  /** Ranges waiting to be asked about: each round adds at most what fits a message, at a depth of log16(documents). */
  pendingRanges: 65_536,
  /** Code units of a bound or id: the longest document id. */
  textChars: 300,
} as const

/** Bytes of hashes on the wire: enough that nobody finds two equal ones (2^64 attempts). */
export const wireHashBytes = 16
const version = 1

/** A range of ids by code unit: from inclusive, to exclusive or open. */
export interface Span {
  readonly from: string
  readonly to: string | undefined
}

/** Count and truncated hash of what a node holds of a span. */
export interface Print {
  readonly count: number
  readonly hash: Uint8Array
}

/** Adjoining spans with their prints, in order: one print more than bounds. */
export interface Parts {
  readonly bounds: readonly string[]
  readonly prints: readonly Print[]
}

export interface WireItem {
  readonly id: DocumentId
  /** The first `wireHashBytes` of the document's hash. */
  readonly hash: Uint8Array
}

export type Question =
  /** Is it the same with you? */
  | ({ readonly kind: 'compare'; readonly span: Span } & Parts)
  /** These are all I have, as digests of id and hash: what have you, which of mine not? */
  | { readonly kind: 'list'; readonly span: Span; readonly digests: readonly Uint8Array[] }
  /** What have you? */
  | { readonly kind: 'want'; readonly span: Span }

/** Answers come in the order of the spans asked about; what does not fit is left out and asked again. */
export type Answer =
  | { readonly kind: 'equal' }
  /** To `compare`: not equal; these are the parts. */
  | ({ readonly kind: 'parts' } & Parts)
  /** To any: all items of the span, or those before `cut`. */
  | { readonly kind: 'items'; readonly items: readonly WireItem[]; readonly cut: string | undefined }
  /** To `list`: items that are not in the list, and the positions in the list that the answering side lacks. */
  | { readonly kind: 'differences'; readonly items: readonly WireItem[]; readonly lacking: readonly number[] }

/** Collects the entries of one message up to its size. */
class MessageWriter {
  readonly #entries: unknown[] = [version]
  #bytes = 4
  #previous = ''

  /** Bytes left; the first entry always fits. */
  get room(): number {
    return reconcileLimits.fullBytes - this.#bytes
  }

  get empty(): boolean {
    return this.#entries.length === 1
  }

  encode(): Uint8Array {
    return encode(this.#entries)
  }

  /** Adds an entry unless the message would grow too large for it. */
  protected push(
    make: (texts: (texts: readonly string[]) => unknown[]) => unknown,
    previous: string = this.#previous,
  ): boolean {
    const entry = make((texts) =>
      texts.flatMap((text) => {
        const shared = sharedPrefix(previous, text)
        const dropped = previous.length - shared
        previous = text
        return [dropped, Buffer.from(text.slice(shared))]
      }),
    )
    const bytes = encode(entry).length
    if (!this.empty && bytes > this.room) return false
    this.#entries.push(entry)
    this.#bytes += bytes
    this.#previous = previous
    return true
  }
}

export class QuestionWriter extends MessageWriter {
  add(question: Question): boolean {
    const { from, to } = question.span
    const ends = to === undefined ? [] : [to]
    return this.push((texts) => {
      if (question.kind === 'list') return [1, texts([from, ...ends]), Buffer.concat(question.digests)]
      if (question.kind === 'want') return [2, texts([from, ...ends])]
      return [0, texts([from, ...question.bounds, ...ends]), ...printFields(question.prints)]
    })
  }
}

export class AnswerWriter extends MessageWriter {
  /** `from`: where the span asked about starts. */
  add(answer: Answer, from: string): boolean {
    return this.push((texts) => {
      switch (answer.kind) {
        case 'equal':
          return 0
        case 'parts':
          return [0, texts(answer.bounds), ...printFields(answer.prints)]
        case 'items': {
          const ids: string[] = answer.items.map(({ id }) => id)
          return [1, texts(answer.cut === undefined ? ids : [...ids, answer.cut]), hashes(answer.items)]
        }
        case 'differences':
          return [2, texts(answer.items.map(({ id }) => id)), hashes(answer.items), answer.lacking]
      }
    }, from)
  }
}

/** Upper bound of the bytes that an item adds to a list after the item before it. */
export function itemBytes(previous: string, id: string): number {
  return wireHashBytes + 6 + Buffer.byteLength(id.slice(sharedPrefix(previous, id)))
}

/** Decodes questions: at most `reconcileLimits.ranges` spans, ascending, disjoint. Throws `RefusedError`. */
export function decodeQuestions(message: Uint8Array): Question[] {
  const read = textReader()
  let end: string | undefined = ''
  let spans = 0
  const entries = entriesOf(message)
  if (entries.length === 0) throw refused('a message without a question')
  return entries.map((entry) => {
    const [kind, pairs, ...fields] = arrayOf(entry, 4)
    const texts = ascending(read(pairs))
    const from = texts[0]
    if (from === undefined || end === undefined || from < end) throw refused('ranges are not in order')
    const inner = texts.slice(1)
    let question: Question
    if (kind === 0) {
      const prints = printsOf(fields)
      const to = inner.length === prints.length ? inner.pop() : undefined
      if (inner.length !== prints.length - 1 || prints.length > reconcileLimits.parts)
        throw refused('bounds and fingerprints do not fit')
      question = { kind: 'compare', span: { from, to }, bounds: inner, prints }
    } else {
      if (inner.length > 1) throw refused('a range has too many bounds')
      const span = { from, to: inner[0] }
      if (kind === 1 && fields.length === 1) {
        const digests = hashesOf(fields[0])
        if (digests.length > reconcileLimits.listItems) throw refused('a list is too long')
        question = { kind: 'list', span, digests }
      } else if (kind === 2 && fields.length === 0) question = { kind: 'want', span }
      else throw refused('a question of an unknown kind')
    }
    spans += question.kind === 'compare' ? question.prints.length : 1
    if (spans > reconcileLimits.ranges) throw refused(`more than ${reconcileLimits.ranges} ranges`)
    end = question.span.to
    return question
  })
}

/**
 * Decodes answers to questions about spans that start at `froms`: at least one, at most as many as these. Whether they fit
 * the questions otherwise is for the caller to check. Throws `RefusedError`.
 */
export function decodeAnswers(message: Uint8Array, froms: readonly string[]): Answer[] {
  const read = textReader()
  const entries = entriesOf(message)
  if (entries.length === 0 || entries.length > froms.length) throw refused('answers do not fit the questions')
  return entries.map((entry, i): Answer => {
    if (entry === 0) return { kind: 'equal' }
    const [kind, pairs, ...fields] = arrayOf(entry, 4)
    const texts = ascending(read(pairs, froms[i]))
    if (kind === 0) {
      const prints = printsOf(fields)
      if (texts.length !== prints.length - 1 || prints.length > reconcileLimits.parts)
        throw refused('bounds and fingerprints do not fit')
      return { kind: 'parts', bounds: texts, prints }
    }
    const found = hashesOf(fields[0])
    if (kind === 1 && fields.length === 1) {
      const cut = texts.length === found.length + 1 ? texts.pop() : undefined
      return { kind: 'items', items: itemsOf(texts, found), cut }
    }
    if (kind === 2 && fields.length === 2) {
      const lacking = arrayOf(fields[1], reconcileLimits.listItems).map((position) =>
        integerOf(position, reconcileLimits.listItems),
      )
      if (lacking.some((position, i) => i > 0 && position <= (lacking[i - 1] as number)))
        throw refused('positions are not in order')
      return { kind: 'differences', items: itemsOf(texts, found), lacking }
    }
    throw refused('an answer of an unknown kind')
  })
}

export function refused(reason: string): RefusedError {
  return new RefusedError(`reconciliation: ${reason}; the session with this node was ended`)
}

/** Gives the length of the common prefix of two texts. */
export function sharedPrefix(a: string, b: string): number {
  let length = 0
  while (length < a.length && length < b.length && a[length] === b[length]) length++
  return length
}

function printFields(prints: readonly Print[]): unknown[] {
  return [prints.map(({ count }) => count), hashes(prints)]
}

function hashes(items: readonly { readonly hash: Uint8Array }[]): Uint8Array {
  return Buffer.concat(items.map(({ hash }) => hash))
}

function entriesOf(message: Uint8Array): unknown[] {
  if (message.length > reconcileLimits.messageBytes)
    throw refused(`a message of ${message.length} bytes, more than ${reconcileLimits.messageBytes}`)
  let value: unknown
  try {
    // Every element is at least one byte of the message, so its size bounds what is allocated and how deep it nests.
    value = decode(message, { strict: true, allowIndefinite: false, allowUndefined: false, allowBigInt: false })
  } catch (cause) {
    throw new RefusedError('reconciliation: a message is not CBOR; the session with this node was ended', { cause })
  }
  const [found, ...entries] = arrayOf(value, Infinity)
  if (found !== version) throw refused(`a message of version ${String(found).slice(0, 20)}, not ${version}`)
  return entries
}

/** Reads texts; the first of a call follows `start`, or the last of the call before. */
function textReader(): (pairs: unknown, start?: string) => string[] {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let previous = ''
  return (pairs, start = previous) => {
    previous = start
    const list = arrayOf(pairs, Infinity)
    if (list.length % 2 !== 0) throw refused('half a text')
    const texts: string[] = []
    for (let i = 0; i < list.length; i += 2) {
      const shared = previous.length - integerOf(list[i], previous.length)
      // UTF-8 has at most three bytes a code unit.
      const rest = bytesOf(list[i + 1], 3 * (reconcileLimits.textChars - shared))
      try {
        previous = previous.slice(0, shared) + decoder.decode(rest)
      } catch (cause) {
        throw new RefusedError('reconciliation: a text is not UTF-8; the session with this node was ended', { cause })
      }
      // Ids hold no surrogates: with them the two orders of texts, by code unit and by UTF-8, would differ.
      if (previous.length > reconcileLimits.textChars || /[\ud800-\udfff]/.test(previous))
        throw refused('a text is too long or no part of an id')
      texts.push(previous)
    }
    return texts
  }
}

function ascending(texts: string[]): string[] {
  for (let i = 1; i < texts.length; i++)
    if ((texts[i] as string) <= (texts[i - 1] as string)) throw refused('texts are not in order')
  return texts
}

function printsOf(fields: readonly unknown[]): Print[] {
  if (fields.length !== 2) throw refused('fingerprints without counts')
  const found = hashesOf(fields[1])
  const counts = arrayOf(fields[0], found.length)
  if (counts.length !== found.length || found.length === 0) throw refused('counts and fingerprints do not fit')
  return found.map((hash, i) => ({ count: integerOf(counts[i], Number.MAX_SAFE_INTEGER), hash }))
}

function itemsOf(ids: readonly string[], found: readonly Uint8Array[]): WireItem[] {
  if (ids.length !== found.length) throw refused('ids and hashes do not fit')
  return ids.map((id, i) => {
    try {
      parseDocumentId(id)
    } catch (cause) {
      throw new RefusedError(`reconciliation: ${(cause as Error).message}; the session with this node was ended`, {
        cause,
      })
    }
    return { id: id as DocumentId, hash: found[i] as Uint8Array }
  })
}

function hashesOf(value: unknown): Uint8Array[] {
  const bytes = bytesOf(value, reconcileLimits.messageBytes)
  if (bytes.length % wireHashBytes !== 0) throw refused('half a hash')
  return Array.from({ length: bytes.length / wireHashBytes }, (_, i) =>
    bytes.slice(i * wireHashBytes, (i + 1) * wireHashBytes),
  )
}

function arrayOf(value: unknown, maxLength: number): unknown[] {
  if (!Array.isArray(value) || value.length > maxLength) throw refused('a list is missing or too long')
  return value
}

function bytesOf(value: unknown, maxLength: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length > maxLength) throw refused('bytes are missing or too long')
  return value
}

function integerOf(value: unknown, max: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max)
    throw refused('a number is missing or out of range')
  return value
}
