/**
 * Finds which documents two nodes hold differently, without I/O: range-based set reconciliation (Aljoscha Meyer, "Range-Based
 * Set Reconciliation", 2023; the same idea as negentropy). The initiator asks whether a range is equal; where it is not, the
 * range is split, by turns, until few documents are left in it, which are listed. Equal sets cost one short round trip, d
 * differences O(d · log n) bytes. The responder keeps nothing between messages.
 */
import { createHash } from 'node:crypto'
import { InvalidInputError, type DocumentId } from '../model/index.ts'
import type { DocumentRange, RangeFingerprint } from '../store/index.ts'
import {
  AnswerWriter,
  QuestionWriter,
  decodeAnswers,
  decodeQuestions,
  itemBytes,
  reconcileLimits,
  refused,
  sharedPrefix,
  wireHashBytes,
  type Answer,
  type Parts,
  type Print,
  type Question,
  type Span,
  type WireItem,
} from './reconcile-wire.ts'

export { reconcileLimits } from './reconcile-wire.ts'

/** What a session reads of a set: a `StoreSnapshot` is one. It must not change during the session. */
export interface ReconcileView {
  fingerprint(range: DocumentRange): Promise<RangeFingerprint>
  /** Adjoining ranges of about equal counts that make up the range. */
  split(range: DocumentRange, parts: number): Promise<readonly DocumentRange[]>
  /** In order of code units. */
  settled(range: DocumentRange, limit?: number): AsyncIterable<{ readonly id: DocumentId; readonly hash: Uint8Array }>
}

/** One document that is not the same on both sides. */
export interface Difference {
  readonly id: DocumentId
  /** Set: the other side has it (we need it), with this hash, cut to 16 bytes. */
  readonly remote?: Uint8Array
  /** Set: we have it (the other side may need it), with this hash. */
  readonly local?: Uint8Array
}

/**
 * The asking side:
 *
 *     for (let message = await session.next(); message !== undefined; message = await session.next())
 *       for await (const difference of session.receive(await exchange(message))) …
 *
 * Every difference comes once, in no promised order. Memory stays bounded whatever the other side answers.
 */
export interface ReconcileSession {
  /** The next message to send; `undefined` when everything was compared. Not before the last answer was received to its end. */
  next(): Promise<Uint8Array | undefined>
  /** Takes the answer to the last message. Throws `RefusedError` if it cannot be one; the session is then over. */
  receive(answer: Uint8Array): AsyncIterable<Difference>
}

/** Starts comparing a range (everything, unless given) of our set with a node's. */
export function startReconcile(view: ReconcileView, range: DocumentRange = {}): ReconcileSession {
  return new Session(view, { from: range.from ?? '', to: range.to })
}

/** Answers one message of an initiator. Throws `RefusedError` if it is not one. */
export async function respondReconcile(view: ReconcileView, message: Uint8Array): Promise<Uint8Array> {
  const answers = new AnswerWriter()
  for (const question of decodeQuestions(message))
    for (const { span, print } of question.kind === 'compare'
      ? spansOf(question)
      : [{ span: question.span, print: undefined }]) {
      const answer =
        print !== undefined
          ? await answerCompare(view, span, print, answers.room)
          : question.kind === 'list'
            ? await answerList(view, question, answers)
            : await itemsPage(view, span, answers.room)
      if (!answers.add(answer, span.from) || (answer.kind === 'items' && answer.cut !== undefined))
        return answers.encode()
    }
  return answers.encode()
}

async function answerCompare(view: ReconcileView, span: Span, theirs: Print, room: number): Promise<Answer> {
  const ours = await printOf(view, span)
  if (samePrint(ours, theirs)) return { kind: 'equal' }
  if (ours.count <= reconcileLimits.listItems || theirs.count === 0) return itemsPage(view, span, room)
  // The other side has few: it lists them, once it knows that we differ.
  if (theirs.count <= reconcileLimits.listItems) return { kind: 'parts', bounds: [], prints: [ours] }
  const parts = await partsOf(view, span, ours.count)
  return parts.bounds.length === 0 ? itemsPage(view, span, room) : { kind: 'parts', ...parts }
}

async function answerList(
  view: ReconcileView,
  { span, digests }: Question & { kind: 'list' },
  answers: AnswerWriter,
): Promise<Answer> {
  const theirs = new Map(digests.map((digest, position) => [keyOf(digest), position]))
  const items: WireItem[] = []
  let [bytes, previous] = [0, '']
  for await (const { id, hash } of view.settled(rangeOf(span))) {
    if (theirs.delete(keyOf(digestOf(id, hash)))) continue
    bytes += itemBytes(previous, id)
    // Too many for one message: they come page by page, as if the other side had nothing.
    if (bytes > answers.room) return itemsPage(view, span, answers.room)
    items.push({ id, hash: cut16(hash) })
    previous = id
  }
  return { kind: 'differences', items, lacking: [...theirs.values()].sort((a, b) => a - b) }
}

/** Gives the items of a span that fit `room` bytes, at least one if there are any. */
async function itemsPage(view: ReconcileView, span: Span, room: number): Promise<Answer> {
  const items: WireItem[] = []
  let [bytes, previous] = [0, '']
  for await (const { id, hash } of view.settled(rangeOf(span))) {
    bytes += itemBytes(previous, id)
    if (bytes > room && items.length > 0) {
      return { kind: 'items', items, cut: id.slice(0, sharedPrefix(previous, id) + 1) }
    }
    items.push({ id, hash: cut16(hash) })
    previous = id
  }
  return { kind: 'items', items, cut: undefined }
}

/** What to do about a span. `compare`: ask as it is; `split`: ask about its parts. */
interface Pending {
  readonly span: Span
  readonly how: 'compare' | 'split' | 'list' | 'want'
}

type Asked =
  | { readonly how: 'compare'; readonly span: Span; readonly count: number }
  | { readonly how: 'list'; readonly span: Span; readonly items: readonly Local[] }
  | { readonly how: 'want'; readonly span: Span }

interface Local {
  readonly id: DocumentId
  readonly hash: Uint8Array
}

class Session implements ReconcileSession {
  readonly #view: ReconcileView
  /** Highest span first: the lowest is asked about next, so that depth, not breadth, bounds what waits. */
  readonly #pending: Pending[]
  /** Spans of the message that is under way, ascending. */
  #asked: readonly Asked[] = []
  #rounds = 0

  constructor(view: ReconcileView, span: Span) {
    this.#view = view
    this.#pending = [{ span, how: 'compare' }]
  }

  async next(): Promise<Uint8Array | undefined> {
    if (this.#asked.length > 0)
      throw new InvalidInputError('reconciliation: receive the answer to its end before asking for the next message')
    if (this.#pending.length === 0) return undefined
    if (++this.#rounds > reconcileLimits.rounds) throw refused(`no end after ${reconcileLimits.rounds} messages`)
    const questions = new QuestionWriter()
    const asked: Asked[] = []
    while (asked.length <= reconcileLimits.ranges - reconcileLimits.parts) {
      const pending = this.#pending.pop()
      if (pending === undefined) break
      const { question, spans } = await this.#ask(pending)
      if (!questions.add(question)) {
        this.#pending.push(pending)
        break
      }
      asked.push(...spans)
    }
    this.#asked = asked
    return questions.encode()
  }

  async #ask({ span, how }: Pending): Promise<{ question: Question; spans: Asked[] }> {
    if (how === 'list') {
      const items = await this.#few(span)
      if (items !== undefined) {
        const digests = items.map(({ id, hash }) => digestOf(id, hash))
        return { question: { kind: 'list', span, digests }, spans: [{ how, span, items }] }
      }
    } else if (how !== 'want') {
      const ours = await printOf(this.#view, span)
      const parts = how === 'split' ? await partsOf(this.#view, span, ours.count) : { bounds: [], prints: [ours] }
      // A span that cannot be split is not asked about again: it would never end.
      if (how === 'compare' || parts.bounds.length > 0) {
        const spans = spansOf({ span, ...parts }).map(({ span, print }): Asked => ({
          how: 'compare',
          span,
          count: print.count,
        }))
        return { question: { kind: 'compare', span, ...parts }, spans }
      }
    }
    return { question: { kind: 'want', span }, spans: [{ how: 'want', span }] }
  }

  async #few(span: Span): Promise<Local[] | undefined> {
    const items: Local[] = []
    for await (const item of this.#view.settled(rangeOf(span), reconcileLimits.listItems + 1)) items.push(item)
    return items.length <= reconcileLimits.listItems ? items : undefined
  }

  async *receive(message: Uint8Array): AsyncGenerator<Difference> {
    const froms = this.#asked.map(({ span }) => span.from)
    const answers = decodeAnswers(message, froms)
    const pending: Pending[] = []
    for (const [i, answer] of answers.entries()) {
      const asked = this.#asked[i] as Asked
      if (answer.kind === 'parts') pending.push(...(await this.#compareParts(asked, answer)))
      else if (answer.kind === 'differences') yield* differencesOf(asked, answer)
      else if (answer.kind === 'items') {
        const { cut } = answer
        if (cut !== undefined && (i !== answers.length - 1 || answer.items.length === 0))
          throw refused('a list was cut before the end')
        yield* this.#compareItems(asked.span, answer)
        if (cut !== undefined) pending.push(await this.#rest({ from: cut, to: asked.span.to }))
      } else if (asked.how !== 'compare') throw refused('equal is no answer to a list')
    }
    for (const { span, how } of this.#asked.slice(answers.length)) pending.push({ span, how })
    for (let i = pending.length - 1; i >= 0; i--) this.#pending.push(pending[i] as Pending)
    if (this.#pending.length > reconcileLimits.pendingRanges)
      throw refused(`more than ${reconcileLimits.pendingRanges} ranges differ at once`)
    this.#asked = []
  }

  async #compareParts(asked: Asked, parts: Parts): Promise<Pending[]> {
    const { span } = asked
    // Our own count falls with every level, so that splitting ends whatever the other side says.
    if (asked.how !== 'compare' || (parts.bounds.length === 0 && asked.count > reconcileLimits.listItems))
      throw refused('an answer that leads nowhere')
    if (!parts.bounds.every((bound) => inside(span, bound) && bound !== span.from))
      throw refused('a bound out of range')
    const pending: Pending[] = []
    for (const { span: part, print: theirs } of spansOf({ span, ...parts })) {
      const ours = await printOf(this.#view, part)
      if (samePrint(ours, theirs)) continue
      const how = fewOrWant(ours.count)
      pending.push({
        span: part,
        how: how === 'want' && ours.count > 0 && theirs.count > reconcileLimits.listItems ? 'split' : how,
      })
    }
    return pending
  }

  async *#compareItems(span: Span, { items, cut }: Answer & { kind: 'items' }): AsyncGenerator<Difference> {
    if (cut !== undefined && (!inside(span, cut) || cut === span.from)) throw refused('a bound out of range')
    const listed: Span = { from: span.from, to: cut ?? span.to }
    if (!items.every(({ id }) => inside(listed, id))) throw refused('a document out of range')
    let next = 0
    for await (const { id, hash } of this.#view.settled(rangeOf(listed))) {
      for (let item = items[next]; item !== undefined && item.id < id; item = items[++next])
        yield { id: item.id, remote: item.hash }
      const item = items[next]
      if (item?.id !== id) yield { id, local: hash }
      else {
        next++
        if (!sameHash(item.hash, cut16(hash))) yield { id, remote: item.hash, local: hash }
      }
    }
    for (const { id, hash } of items.slice(next)) yield { id, remote: hash }
  }

  async #rest(span: Span): Promise<Pending> {
    const { count } = await this.#view.fingerprint(rangeOf(span))
    return { span, how: fewOrWant(count) }
  }
}

/** With few documents in a span we list them; with none, or with many of which the other side has few, it does. */
function fewOrWant(count: number): 'list' | 'want' {
  return count > 0 && count <= reconcileLimits.listItems ? 'list' : 'want'
}

function* differencesOf(asked: Asked, { items, lacking }: Answer & { kind: 'differences' }): Generator<Difference> {
  if (asked.how !== 'list') throw refused('differences from a list that was not sent')
  if (!items.every(({ id }) => inside(asked.span, id))) throw refused('a document out of range')
  const locals = new Map<DocumentId, Uint8Array>()
  for (const position of lacking) {
    const item = asked.items[position]
    if (item === undefined) throw refused('a position beyond the list')
    locals.set(item.id, item.hash)
  }
  const known = new Set(asked.items.map(({ id }) => id))
  for (const { id, hash } of items) {
    const local = locals.get(id)
    locals.delete(id)
    // What the other side did not miss it has as we do, and cannot have otherwise.
    if (known.has(id) && (local === undefined || sameHash(hash, cut16(local)))) throw refused(`two answers about ${id}`)
    yield { id, remote: hash, ...(local === undefined ? {} : { local }) }
  }
  for (const [id, local] of locals) yield { id, local }
}

async function partsOf(view: ReconcileView, span: Span, count: number): Promise<Parts> {
  const { parts, partItems } = reconcileLimits
  const ranges = await view.split(rangeOf(span), Math.min(parts, Math.ceil(count / partItems)))
  const bounds = ranges.slice(1).map(({ from }) => from ?? '')
  const prints: Print[] = []
  for (const range of ranges) prints.push(wirePrint(await view.fingerprint(range)))
  return { bounds, prints }
}

function spansOf({ span, bounds, prints }: { span: Span } & Parts): { span: Span; print: Print }[] {
  return prints.map((print, i) => ({
    span: { from: i === 0 ? span.from : (bounds[i - 1] as string), to: i === bounds.length ? span.to : bounds[i] },
    print,
  }))
}

async function printOf(view: ReconcileView, span: Span): Promise<Print> {
  return wirePrint(await view.fingerprint(rangeOf(span)))
}

/** A sum is hashed before it is cut, so that all its bits count. */
function wirePrint({ count, sum }: RangeFingerprint): Print {
  return { count, hash: cut16(createHash('sha256').update(`${count} `).update(sum).digest()) }
}

function digestOf(id: DocumentId, hash: Uint8Array): Uint8Array {
  return cut16(createHash('sha256').update(hash).update(id).digest())
}

function cut16(hash: Uint8Array): Uint8Array {
  return hash.subarray(0, wireHashBytes)
}

function samePrint(a: Print, b: Print): boolean {
  return a.count === b.count && sameHash(a.hash, b.hash)
}

function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

function keyOf(digest: Uint8Array): string {
  return Buffer.from(digest).toString('latin1')
}

function inside({ from, to }: Span, id: string): boolean {
  return id >= from && (to === undefined || id < to)
}

function rangeOf({ from, to }: Span): DocumentRange {
  return { ...(from === '' ? {} : { from }), ...(to === undefined ? {} : { to }) }
}
