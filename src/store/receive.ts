/**
 * The gate for documents from other nodes: signature, author, role, size, shape and chain are checked on bytes before
 * anything is stored, and nothing is applied (applying costs time in proportion to the document).
 */
import {
  limits,
  parseDocumentId,
  RefusedError,
  type ActorId,
  type ChangeHash,
  type DocumentId,
  type NodeId,
  type ParsedDocumentId,
} from '../model/index.ts'
import { decodeChange, type DecodedChange } from './automerge.ts'
import { checkOperations, readChangeHeader, type ChangeHeader } from './change.ts'
import { DamagedValueError, type Operation } from './database.ts'
import { expectedIndex } from './index-repair.ts'
import { bytesOf, openJournal, readChanges } from './journal-contents.ts'
import { indexOperations, monthsOf } from './journal-index.ts'
import { keys } from './keys.ts'
import type { Ledger } from './ledger.ts'
import { decodeIndexRow, stateOf, type DocumentRow } from './rows.ts'
import { salvage } from './salvage.ts'
import { tipMessage, verifyBy } from './signing.ts'
import type { ChangeSet, ReceiveResult, SensorMonth, SignedTip } from './types.ts'

const nothing: Awaited<ReturnType<typeof salvage>> = { changes: [], tips: [] }

interface Incoming {
  readonly chunk: Uint8Array
  readonly header: ChangeHeader
  readonly author: NodeId
}

/** Verifies and stores a change set. Throws `RefusedError` with the reason; then nothing was stored. */
export async function receiveChanges(ledger: Ledger, set: ChangeSet, from: NodeId): Promise<ReceiveResult> {
  const parsed = refusing(() => parseDocumentId(set.document))
  checkSizes(set)
  return ledger.lockHealing(set.document, async () => {
    const row = await ledger.rowForWrite(set.document)
    const known = new Map(row.tips.map((tip) => [tip.actor, tip]))
    const incoming: Incoming[] = []
    for (const chunk of set.changes) {
      const header = readChangeHeader(chunk)
      const tip = known.get(header.actor)
      if (tip !== undefined && header.seq <= tip.seq) {
        if (header.seq === tip.seq && header.hash !== tip.hash) fork(ledger, set.document, header, tip)
        continue
      }
      incoming.push({ chunk, header, author: authorOf(ledger, parsed, set.document, header) })
    }
    if (incoming.length === 0) return { stored: 0, missing: false, state: stateOf(set.document, row) }
    if (isClosedToOthers(ledger, set.document, row))
      throw new RefusedError(`journal ${set.document} is written by this very run: another node uses this identity`)
    if (!(await connects(ledger, set.document, row, incoming)))
      return { stored: 0, missing: true, state: stateOf(set.document, row) }
    const headers = incoming.map(({ header }) => header)
    const author = (header: ChangeHeader): NodeId => authorOf(ledger, parsed, set.document, header)
    const kept = row.quarantined === undefined ? nothing : await salvage(ledger, set.document, row, headers, author)
    incoming.push(...kept.changes)
    checkChains(ledger, set.document, parsed, row, incoming)
    const signatures = verifiedSignatures({ ...set, tips: [...kept.tips, ...set.tips] }, incoming)
    const { after, operations } = await stored(ledger, set, parsed, row, incoming, signatures)
    await ledger.commit(set.document, row, after, operations, {
      from,
      changes: {
        document: set.document,
        changes: incoming.map(({ chunk }) => chunk),
        tips: after.tips.filter(({ actor }) => incoming.some(({ header }) => header.actor === actor)),
      },
    })
    // The row keeps only the greatest; one that is too far ahead must not hide the others.
    for (const { header } of incoming) ledger.options.order.observe(header.time)
    if (row.quarantined !== undefined) await ledger.shared.drop(set.document)
    return { stored: incoming.length, missing: false, state: stateOf(set.document, after) }
  })
}

/** Checks that every change names the one before it of its actor. A journal is a straight line of one actor. */
function checkChains(
  ledger: Ledger,
  id: DocumentId,
  parsed: ParsedDocumentId,
  row: DocumentRow,
  incoming: readonly Incoming[],
): void {
  const newest = new Map<ActorId, Pick<SignedTip, 'seq' | 'hash'>>(row.tips.map((tip) => [tip.actor, tip]))
  for (const { header } of incoming) {
    const tip = newest.get(header.actor)
    if (header.seq !== (tip?.seq ?? 0) + 1)
      throw new RefusedError(`change ${header.seq} of ${header.actor} does not follow ${tip?.seq ?? 0}`)
    if (tip !== undefined && !header.deps.includes(tip.hash)) fork(ledger, id, header, tip)
    if (parsed.kind === 'journal' && (tip === undefined ? newest.size > 0 : header.deps.length !== 1))
      throw new RefusedError(`journal ${id} is written by one actor in a straight line, not also by ${header.actor}`)
    newest.set(header.actor, header)
  }
}

/** Checks the shape of every change; gives the row and the operations that store them. */
async function stored(
  ledger: Ledger,
  set: ChangeSet,
  parsed: ParsedDocumentId,
  before: DocumentRow,
  incoming: readonly Incoming[],
  signatures: ReadonlyMap<ActorId, Uint8Array>,
): Promise<{ readonly after: DocumentRow; readonly operations: Operation[] }> {
  const tips = new Map(before.tips.map((tip) => [tip.actor, tip]))
  const heads = new Set(before.heads)
  const { operations, changes } = await ground(ledger, set.document, before)
  const months = new MonthRows(ledger, set.document, before)
  let { order } = before
  let n = changes
  for (const { chunk, header } of incoming) {
    const tip = tips.get(header.actor)
    checkOperations(chunk, header)
    const decoded = refusing(() => decodeChange(chunk))
    if (decoded.hash !== header.hash || decoded.seq !== header.seq || decoded.actor !== header.actor)
      throw new RefusedError('a change is not what its header says')
    const records = parsed.kind === 'journal' ? await months.add(decoded) : shapeOfShared(decoded, parsed)
    operations.push({ type: 'put', key: keys.change(set.document, ++n), value: chunk })
    for (const dep of header.deps) heads.delete(dep)
    heads.add(header.hash)
    order = Math.max(order, header.time)
    tips.set(header.actor, {
      actor: header.actor,
      seq: header.seq,
      hash: header.hash,
      records: (tip?.records ?? 0) + records,
      bytes: (tip?.bytes ?? 0) + chunk.length,
      signature: signatures.get(header.actor) as Uint8Array,
    })
  }
  const after: DocumentRow = {
    tips: [...tips.values()].sort((a, b) => (a.actor < b.actor ? -1 : 1)),
    heads: [...heads].sort(),
    changes: n,
    order,
    touched: ledger.options.clock.nowUs(),
    settled: false,
  }
  checkTotals(set.document, after)
  operations.push(...months.operations())
  if (parsed.kind === 'amendments')
    operations.push({
      type: 'put',
      key: keys.amended(parsed.sensor, parsed.day, set.document),
      value: new Uint8Array(0),
    })
  return { after, operations }
}

/**
 * What has to be written before changes can follow: rows a quarantine left are deleted; a sealed journal is taken apart
 * again, since changes that its seal does not cover are never discarded (its writer sealed it over less than it had written).
 */
async function ground(
  ledger: Ledger,
  id: DocumentId,
  row: DocumentRow,
): Promise<{ readonly operations: Operation[]; readonly changes: number }> {
  if (row.quarantined !== undefined) return { operations: await ledger.clearing(id), changes: 0 }
  if (row.seal === undefined) return { operations: [], changes: row.changes }
  const handle = await openJournal(ledger.options.database, id, row)
  try {
    const operations = await ledger.clearing(id)
    const chunks = handle.getChanges([])
    for (const [i, value] of chunks.entries()) operations.push({ type: 'put', key: keys.change(id, i + 1), value })
    return { operations, changes: chunks.length }
  } finally {
    handle.free()
  }
}

/**
 * Whether a journal is this very run's own: nobody else writes it. Once it was rotated and its bytes here are damaged, what
 * peers hold of it is taken back.
 */
export function isClosedToOthers(ledger: Ledger, id: DocumentId, row: DocumentRow): boolean {
  const parsed = parseDocumentId(id)
  if (parsed.kind !== 'journal' || parsed.run !== ledger.options.run) return false
  return row.quarantined === undefined || ledger.isWriting(id)
}

function checkSizes(set: ChangeSet): void {
  let bytes = 0
  for (const chunk of set.changes) {
    if (chunk.length > limits.changeBytes)
      throw new RefusedError(`a change of ${set.document} has ${chunk.length} bytes`)
    bytes += chunk.length
  }
  if (bytes > limits.documentBytes) throw new RefusedError(`changes of ${set.document} come to ${bytes} bytes`)
}

function checkTotals(id: DocumentId, row: DocumentRow): void {
  const { bytes, records } = stateOf(id, row)
  if (bytes > limits.documentBytes)
    throw new RefusedError(`document ${id} would grow past ${limits.documentBytes} bytes`)
  if (id.startsWith('journal.') && row.changes > limits.journalChanges)
    throw new RefusedError(`journal ${id} would grow past ${limits.journalChanges} changes`)
  if (row.tips.length > limits.documentActors)
    throw new RefusedError(`document ${id} would grow past ${limits.documentActors} actors`)
  // Each put may be a new key: an upper bound of the keys without opening the document, with room for rewrites.
  if (!id.startsWith('journal.') && records > 4 * limits.documentKeys)
    throw new RefusedError(`document ${id} would grow past ${4 * limits.documentKeys} puts`)
}

/** The node that may sign for this change, by actor, role and revocation. */
function authorOf(ledger: Ledger, parsed: ParsedDocumentId, id: DocumentId, header: ChangeHeader): NodeId {
  const { members } = ledger.options
  const author = members.nodeOfActor(header.actor)
  if (author === undefined) throw new RefusedError(`no member of this site has actor ${header.actor}`)
  if (parsed.kind === 'journal' && author !== parsed.node)
    throw new RefusedError(`${author} wrote into the journal of ${parsed.node}`)
  const allowed = parsed.kind === 'policy' ? members.mayAdminister(author) : members.mayWrite(author)
  if (!allowed) throw new RefusedError(`${author} has no right to write ${parsed.kind} documents`)
  const kept = members.revocation(author)
  if (kept !== undefined && header.seq > (kept.get(`${id}|${header.actor}`) ?? 0))
    throw new RefusedError(`${author} was revoked: change ${header.seq} of ${header.actor} does not stay`)
  return author
}

/** Whether every change depends only on what is here or comes before it in the set. */
async function connects(
  ledger: Ledger,
  id: DocumentId,
  row: DocumentRow,
  incoming: readonly Incoming[],
): Promise<boolean> {
  const here = new Set<ChangeHash>([...row.heads, ...row.tips.map(({ hash }) => hash)])
  let all = false
  for (const { header } of incoming) {
    for (const dep of header.deps) {
      if (here.has(dep)) continue
      if (!all) {
        all = true
        for (const chunk of await readChanges(ledger.options.database, id, 1, row.changes))
          here.add(readChangeHeader(chunk).hash)
      }
      if (!here.has(dep)) return false
    }
    here.add(header.hash)
  }
  const next = new Map<ActorId, number>(row.tips.map(({ actor, seq }) => [actor, seq]))
  for (const { header } of incoming) {
    if (header.seq > (next.get(header.actor) ?? 0) + 1) return false
    next.set(header.actor, header.seq)
  }
  return true
}

/**
 * Gives the verified signature of every actor's newest change. The chain of hashes makes it vouch for the rest: no byte
 * reaches a decoder before.
 */
function verifiedSignatures(set: ChangeSet, incoming: readonly Incoming[]): Map<ActorId, Uint8Array> {
  const signatures = new Map<ActorId, Uint8Array>()
  const newest = new Map(incoming.map((change) => [change.header.actor, change]))
  for (const [actor, { header, author }] of newest) {
    const signed = set.tips.find((tip) => tip.actor === actor && tip.seq === header.seq && tip.hash === header.hash)
    if (signed === undefined) throw new RefusedError(`no signature for change ${header.seq} of ${actor}`)
    if (!verifyBy(author, tipMessage(set.document, actor, header.seq, header.hash), signed.signature))
      throw new RefusedError(`the signature of ${author} on change ${header.seq} of ${set.document} does not verify`)
    signatures.set(actor, signed.signature)
  }
  return signatures
}

/** Two changes of one actor and sequence: a cloned or rolled-back node. The first one held stays. */
function fork(ledger: Ledger, id: DocumentId, header: ChangeHeader, tip: Pick<SignedTip, 'seq' | 'hash'>): never {
  ledger.options.log('error', 'two changes under one actor and sequence: a cloned or rolled-back node', {
    document: id,
    actor: header.actor,
    seq: header.seq,
    held: tip.hash,
    refused: header.hash,
  })
  throw new RefusedError(
    `document ${id}: change ${header.seq} of ${header.actor} does not continue change ${tip.seq} held here (clone or rollback)`,
  )
}

/** Counts the readings of journal changes and keeps their index rows. */
class MonthRows {
  readonly #ledger: Ledger
  readonly #id: DocumentId
  readonly #before: DocumentRow
  readonly #rows = new Map<string, SensorMonth>()

  constructor(ledger: Ledger, id: DocumentId, before: DocumentRow) {
    this.#ledger = ledger
    this.#id = id
    this.#before = before
  }

  /** Checks the shape of a journal change: one put of one batch at the root key of its sequence. Gives its readings. */
  async add(change: DecodedChange): Promise<number> {
    const [op, ...more] = change.ops
    const batch = op === undefined ? undefined : bytesOf(op)
    if (
      op === undefined ||
      more.length > 0 ||
      batch === undefined ||
      !isRootPut(op) ||
      op.key !== String(change.seq) ||
      op.pred.length > 0
    )
      throw new RefusedError(`change ${change.seq} is not one batch at its own key`)
    let count = 0
    for (const month of refusing(() => monthsOf(batch))) {
      const key = keys.index(month.sensor, month.month, this.#id)
      const row = this.#rows.get(key) ?? (await this.#stored(key, month))
      this.#rows.set(
        key,
        row === undefined
          ? month
          : {
              ...row,
              first: Math.min(row.first, month.first),
              last: Math.max(row.last, month.last),
              count: row.count + month.count,
            },
      )
      count += month.count
    }
    if (count === 0) throw new RefusedError(`change ${change.seq} holds no reading`)
    return count
  }

  async #stored(key: string, { sensor, month }: SensorMonth): Promise<SensorMonth | undefined> {
    if (this.#before.tips.length === 0) return undefined
    const { database } = this.#ledger.options
    try {
      const stored = await database.get(key)
      return stored === undefined ? undefined : { sensor, month, ...decodeIndexRow(stored) }
    } catch (error) {
      if (!(error instanceof DamagedValueError)) throw error
      return (await expectedIndex(database, this.#id, this.#before)).get(key)
    }
  }

  operations(): Operation[] {
    return indexOperations(this.#id, [...this.#rows.values()])
  }
}

/** Checks the shape of a change of a multi-writer document: puts of bounded scalars at the root. Gives their number. */
function shapeOfShared(change: DecodedChange, parsed: ParsedDocumentId): number {
  if (change.ops.length === 0) throw new RefusedError('a change of no puts')
  if (change.ops.length > limits.changePuts) throw new RefusedError(`a change of ${change.ops.length} puts`)
  // Documents of a later release are kept unopened: their shape is that release's business.
  if (parsed.kind === 'unknown') return change.ops.length
  for (const op of change.ops) {
    if (!isRootPut(op)) throw new RefusedError(`operation ${op.action} is not a put of a scalar at the root`)
    const bytes = bytesOf(op)
    const value: unknown = 'value' in op ? op.value : undefined
    const size = bytes?.length ?? (typeof value === 'string' ? Buffer.byteLength(value) : 8)
    if (size + op.key.length > limits.entryBytes) throw new RefusedError(`an entry of ${size} bytes`)
    if (bytes === undefined && !['string', 'number', 'boolean'].includes(typeof value))
      throw new RefusedError('an entry is no bytes, text, number or bool')
  }
  return change.ops.length
}

function isRootPut(op: DecodedChange['ops'][number]): boolean {
  const datatype = 'datatype' in op ? op.datatype : undefined
  // A counter adds up what others put; a timestamp reads as a Date, which nothing here expects.
  if (datatype === 'counter' || datatype === 'timestamp') return false
  return (
    op.action === 'set' &&
    op.obj === '_root' &&
    'key' in op &&
    typeof op.key === 'string' &&
    !('insert' in op && op.insert === true)
  )
}

/** Runs a decoder of untrusted bytes; whatever it throws is a refusal. */
export function refusing<T>(decode: () => T): T {
  try {
    return decode()
  } catch (cause) {
    if (cause instanceof RefusedError) throw cause
    throw new RefusedError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}
