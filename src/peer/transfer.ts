/**
 * One document from one node, on one `pull` stream: its changes behind our tips, or its seal and then, if the store asks
 * for them, the parts in order without a round trip for each. Only whole, verified changes are stored.
 */
import {
  limits,
  NetworkError,
  parseDocumentId,
  RefusedError,
  type Clock,
  type DocumentId,
  type NodeId,
  type Timer,
} from '../model/index.ts'
import {
  decodeStatement,
  type ChangeSet,
  type ReceiveResult,
  type SealStatement,
  type SignedSeal,
  type StoreSnapshot,
} from '../store/index.ts'
import { isSendersFault, PassedOnError, sha256 } from './blame.ts'
import { peerLimits, protocols } from './constants.ts'
import { deadline, type PeerContext } from './context.ts'
import { holdingOf } from './evidence.ts'
import { closeOnAbort, Mailbox } from './mailbox.ts'
import { decodePull, encodePull, type PullMessage } from './messages.ts'
import { covers, nothing, type Holding } from './tips.ts'

/** What a pull did: `undefined` when the other side has nothing that is new. */
export type PullResult = ReceiveResult | undefined

/**
 * Pulls a document of which `node` holds `theirs`. Throws `RefusedError` if what comes does not verify, as `PassedOnError`
 * if that is no fault of `node`.
 */
export async function pullDocument(
  context: PeerContext,
  node: NodeId,
  id: DocumentId,
  theirs: Holding,
  signal: AbortSignal,
): Promise<PullResult> {
  const { network, clock, evidence } = context
  using limit = deadline(clock, peerLimits.pullMs, `pull of ${id} from ${node}`, signal)
  const own = await ownHolding(context, id)
  evidence.remember(id, own)
  // With a part of a journal here only its other changes are fetched; its seal then costs no bytes.
  const seal =
    theirs.seal !== undefined && own.seal === undefined && (own.tips.length === 0 || covers(own.tips, theirs.tips))
  const outgoing = new Mailbox<Uint8Array>(2)
  using _ = closeOnAbort(outgoing, limit.signal)
  const have = own.tips.map(({ actor, seq, hash }) => ({ actor, seq, hash }))
  outgoing.put(encodePull({ kind: 'pull', document: id, have, seal }))
  using watchdog = new Watchdog(clock, peerLimits.pullIdleMs)
  const open = AbortSignal.any([limit.signal, watchdog.signal])
  const incoming = new Incoming(network.open(node, protocols.pull, outgoing, { signal: open }), watchdog)
  try {
    const answer = await incoming.message()
    switch (answer.kind) {
      case 'absent':
        return undefined
      case 'changes':
        outgoing.close()
        if (answer.lengths.length === 0) return undefined
        return await receiveChanges(context, node, await readChanges(incoming, id, answer))
      case 'seal':
        return await receiveSeal(context, node, id, incoming, answer, outgoing)
      default:
        throw new RefusedError(`${node} answered a pull of ${id} with ${answer.kind}`)
    }
  } finally {
    outgoing.close()
    await incoming.close()
  }
}

async function ownHolding({ store }: PeerContext, id: DocumentId): Promise<Holding> {
  await using snapshot = await store.snapshot()
  const state = await snapshot.state(id)
  return state === undefined ? nothing : holdingOf(state)
}

async function readChanges(
  incoming: Incoming,
  document: DocumentId,
  { tips, lengths }: PullMessage & { kind: 'changes' },
): Promise<ChangeSet> {
  const bytes = await incoming.bytes(lengths.reduce((sum, length) => sum + length, 0))
  let at = 0
  const changes = lengths.map((length) => bytes.subarray(at, (at += length)))
  return { document, changes, tips }
}

async function receiveChanges({ store }: PeerContext, node: NodeId, set: ChangeSet): Promise<ReceiveResult> {
  try {
    return await store.receive(set, node)
  } catch (error) {
    throw error instanceof RefusedError && !isSendersFault(node, set.changes) ? passedOn(error) : error
  }
}

function passedOn(cause: RefusedError): PassedOnError {
  return new PassedOnError(cause.message, { cause })
}

async function receiveSeal(
  { store }: PeerContext,
  node: NodeId,
  id: DocumentId,
  incoming: Incoming,
  { length, signature, tipSignature }: PullMessage & { kind: 'seal' },
  outgoing: Mailbox<Uint8Array>,
): Promise<ReceiveResult> {
  const seal: SignedSeal = { statement: await incoming.bytes(length), signature, tipSignature }
  const { parts } = statementOf(seal.statement, node, id)
  let broken = false
  let next: number | undefined
  const part = async (index: number): Promise<Uint8Array> => {
    if (next === undefined) {
      outgoing.put(encodePull({ kind: 'parts', from: index }))
      outgoing.close()
      next = index
    }
    if (index < next) throw new NetworkError(`part ${index} of a sealed journal was passed: pull it again`)
    for (; next < index; next++) await incoming.raw(limits.sealPartBytes)
    next++
    const bytes = await incoming.raw(limits.sealPartBytes)
    broken ||= sha256(bytes).toString('hex') !== parts[index]
    return bytes
  }
  try {
    return await store.receiveSealed(seal, part, node)
  } catch (error) {
    const parsed = parseDocumentId(id)
    const isPassedOn = !broken && parsed.kind === 'journal' && parsed.node !== node
    throw error instanceof RefusedError && isPassedOn ? passedOn(error) : error
  }
}

/** The statement, if it is one about the document that was asked for. */
function statementOf(bytes: Uint8Array, node: NodeId, id: DocumentId): SealStatement {
  let statement: SealStatement
  try {
    statement = decodeStatement(bytes)
  } catch (cause) {
    throw new RefusedError(`${node} sent no readable seal of ${id}`, { cause })
  }
  if (statement.document !== id) throw new RefusedError(`${node} was asked for ${id} and sent another seal`)
  return statement
}

/** The messages of one answer. */
class Incoming {
  readonly #messages: AsyncIterator<Uint8Array>
  readonly #watchdog: Watchdog

  constructor(messages: AsyncIterable<Uint8Array>, watchdog: Watchdog) {
    this.#messages = messages[Symbol.asyncIterator]()
    this.#watchdog = watchdog
  }

  async message(): Promise<PullMessage> {
    return decodePull(await this.#next())
  }

  async raw(most: number): Promise<Uint8Array> {
    const bytes = await this.#next()
    if (bytes.length > most) throw new RefusedError(`a piece of ${bytes.length} bytes, at most ${most} are allowed`)
    return bytes
  }

  /** Exactly this many bytes, joined from pieces. */
  async bytes(length: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = []
    for (let left = length; left > 0;) {
      const piece = await this.raw(Math.min(left, peerLimits.pieceBytes))
      if (piece.length === 0) throw new RefusedError('an empty piece')
      left -= piece.length
      pieces.push(piece)
    }
    return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces, length)
  }

  /** Leaves the stream. */
  async close(): Promise<void> {
    await this.#messages.return?.()
  }

  async #next(): Promise<Uint8Array> {
    this.#watchdog.waiting = true
    const { value, done } = await this.#messages.next()
    this.#watchdog.waiting = false
    if (done === true) throw new NetworkError('a transfer ended early')
    return value
  }
}

/** Aborts when nothing came for a whole period although something was waited for. One timer, however many messages. */
class Watchdog implements Disposable {
  readonly #abort = new AbortController()
  readonly #clock: Clock
  readonly #idleMs: number
  #timer: Timer
  /** Now, and at the last tick with nothing since. */
  #isWaiting = false
  #waited = false

  constructor(clock: Clock, idleMs: number) {
    this.#clock = clock
    this.#idleMs = idleMs
    this.#timer = this.#arm()
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  set waiting(waiting: boolean) {
    this.#isWaiting = waiting
    this.#waited = false
  }

  [Symbol.dispose](): void {
    this.#timer.cancel()
  }

  #arm(): Timer {
    return this.#clock.setTimer(() => {
      if (this.#isWaiting && this.#waited) {
        this.#abort.abort(new NetworkError(`nothing came for ${this.#idleMs} ms`))
        return
      }
      this.#waited = this.#isWaiting
      this.#timer = this.#arm()
    }, this.#idleMs)
  }
}

/** The other side of a pull. Everything comes from one snapshot. */
export async function* answerPull(
  { store }: PeerContext,
  from: NodeId,
  incoming: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const messages = incoming[Symbol.asyncIterator]()
  const request = await next(messages)
  if (request?.kind !== 'pull') throw new RefusedError(`${from} opened a pull without a document`)
  const { document: id, have } = request
  await using snapshot = await store.snapshot()
  const seal = request.seal ? await snapshot.seal(id) : undefined
  if (seal !== undefined) {
    const { statement, signature, tipSignature } = seal
    yield encodePull({ kind: 'seal', length: statement.length, signature, tipSignature })
    yield* pieces(statement)
    const wish = await next(messages)
    if (wish?.kind === 'parts') yield* parts(snapshot, id, wish.from, decodeStatement(seal.statement).parts.length)
  } else if ((await snapshot.state(id)) === undefined) yield encodePull({ kind: 'absent' })
  else {
    const { changes, tips } = await snapshot.changesSince(id, have)
    yield encodePull({ kind: 'changes', tips, lengths: changes.map(({ length }) => length) })
    yield* pieces(...changes)
  }
}

async function next(messages: AsyncIterator<Uint8Array>): Promise<PullMessage | undefined> {
  const { value, done } = await messages.next()
  return done === true ? undefined : decodePull(value)
}

async function* parts(
  snapshot: StoreSnapshot,
  id: DocumentId,
  from: number,
  count: number,
): AsyncGenerator<Uint8Array> {
  for (let index = from; index < count; index++) yield await snapshot.sealedPart(id, index)
}

/** Joins small changes and cuts large ones, so that every message is of a good size. */
function* pieces(...buffers: readonly Uint8Array[]): Generator<Uint8Array> {
  let held: Uint8Array[] = []
  let size = 0
  for (const buffer of buffers)
    for (let at = 0; at < buffer.length;) {
      const piece = buffer.subarray(at, at + peerLimits.pieceBytes - size)
      held.push(piece)
      size += piece.length
      at += piece.length
      if (size < peerLimits.pieceBytes) continue
      yield held.length === 1 ? piece : Buffer.concat(held, size)
      held = []
      size = 0
    }
  if (size > 0) yield Buffer.concat(held, size)
}
