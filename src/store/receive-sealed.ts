/** Takes in sealed journals by verified parts, without opening them. */
import {
  checkTime,
  DamagedError,
  limits,
  parseDocumentId,
  parseFieldName,
  parseSensorId,
  RefusedError,
  utcMonth,
  type DocumentId,
  type NodeId,
} from '../model/index.ts'
import { load, newHandle } from './automerge.ts'
import type { Database, Operation } from './database.ts'
import { openJournal, partHash } from './journal-contents.ts'
import { keys, under } from './keys.ts'
import type { Ledger } from './ledger.ts'
import { isClosedToOthers, refusing } from './receive.ts'
import { decodeStatement, stateOf, type DocumentRow } from './rows.ts'
import { checkSealedChunk } from './sealed-chunk.ts'
import { partsOf, sealedRow } from './sealing.ts'
import { sealMessage, tipMessage, verifyBy } from './signing.ts'
import type { ReceiveResult, SealStatement, SignedSeal } from './types.ts'

/**
 * Verifies a seal, gathers its chunk (from our own changes where they are the same state, from parts an interrupted call
 * left, else from `part`), and stores it. Throws `RefusedError`; then nothing but verified parts was stored.
 */
export async function receiveSealed(
  ledger: Ledger,
  seal: SignedSeal,
  part: (index: number) => Promise<Uint8Array>,
  from: NodeId,
): Promise<ReceiveResult> {
  const statement = verifySeal(ledger, seal)
  const id = statement.document
  const covered = (row: DocumentRow): boolean =>
    (row.tips[0]?.seq ?? 0) > statement.tip.seq || (row.seal !== undefined && row.tips[0]?.hash === statement.tip.hash)
  const present = await ledger.lock(id, () => ledger.rowForWrite(id))
  if (covered(present)) return { stored: 0, missing: false, state: stateOf(id, present) }
  if (isClosedToOthers(ledger, id, present))
    throw new RefusedError(`journal ${id} is written by this very run: another node uses this identity`)
  const own = await ledger.lockHealing(id, async () => ownParts(ledger, await ledger.rowForWrite(id), statement))
  const parts = own ?? (await fetchParts(ledger, statement, part))
  return ledger.lockHealing(id, async () => {
    const before = await ledger.rowForWrite(id)
    if (covered(before)) return { stored: 0, missing: false, state: stateOf(id, before) }
    checkContinues(id, before, statement, parts)
    const { after, operations } = await sealedRow(ledger, id, before, seal, statement, parts)
    const held = before.tips[0]?.seq ?? 0
    operations.push(...(await staged(ledger, id)))
    ledger.journals.forget(id)
    await ledger.commit(id, before, after, operations, { from })
    return { stored: statement.tip.seq - held, missing: false, state: stateOf(id, after) }
  })
}

/** Checks author, role, signatures and bounds of a seal. */
function verifySeal(ledger: Ledger, seal: SignedSeal): SealStatement {
  const { members } = ledger.options
  if (seal.statement.length > limits.sealedBytes) throw new RefusedError('a seal statement is too long')
  const statement = refusing(() => decodeStatement(seal.statement))
  const parsed = refusing(() => parseDocumentId(statement.document))
  if (parsed.kind !== 'journal') throw new RefusedError(`document ${statement.document} is no journal: it has no seal`)
  const { tip } = statement
  if (tip.seq > limits.journalChanges) throw new RefusedError(`a seal over ${tip.seq} changes`)
  if (members.nodeOfActor(tip.actor) !== parsed.node || !members.mayWrite(parsed.node))
    throw new RefusedError(`${parsed.node} is no writer of this site`)
  const kept = members.revocation(parsed.node)
  if (kept !== undefined && tip.seq > (kept.get(`${statement.document}|${tip.actor}`) ?? 0))
    throw new RefusedError(`${parsed.node} was revoked: journal ${statement.document} does not stay`)
  if (!verifyBy(parsed.node, sealMessage(seal.statement), seal.signature))
    throw new RefusedError(`the seal of ${statement.document} is not signed by its writer`)
  if (!verifyBy(parsed.node, tipMessage(statement.document, tip.actor, tip.seq, tip.hash), seal.tipSignature))
    throw new RefusedError(`the tip of ${statement.document} is not signed by its writer`)
  if (
    statement.length > limits.sealedBytes ||
    statement.parts.length !== Math.ceil(statement.length / limits.sealPartBytes)
  )
    throw new RefusedError(`the seal of ${statement.document} is out of bounds`)
  refusing(() => checkRows(statement))
  return statement
}

/** Checks what the index takes over without opening the journal: a name that is none would make a key that is none. */
function checkRows({ document, series, index }: SealStatement): void {
  const sensors = new Set([...series, ...index].map(({ sensor }) => sensor))
  for (const sensor of sensors)
    if (parseSensorId(sensor) !== sensor) throw new RefusedError(`the seal of ${document} has a misspelt sensor`)
  for (const { field, type, unit, first, last } of series) {
    parseFieldName(field)
    const named = ['float', 'int', 'bool', 'string'].includes(type) && (unit?.length ?? 0) <= limits.unitChars
    if (!named || checkTime(first) > checkTime(last))
      throw new RefusedError(`the seal of ${document} has a broken series`)
  }
  for (const { month, first, last, count } of index)
    if (utcMonth(checkTime(first)) !== month || utcMonth(checkTime(last)) !== month || first > last || count < 1)
      throw new RefusedError(`the seal of ${document} has a broken index`)
}

/** `save` gives the same bytes for the same changes: a node that has them needs no transfer. */
async function ownParts(ledger: Ledger, row: DocumentRow, statement: SealStatement): Promise<Uint8Array[] | undefined> {
  if (row.tips[0]?.hash !== statement.tip.hash || row.seal !== undefined) return undefined
  const handle = await openJournal(ledger.options.database, statement.document, row)
  try {
    const parts = partsOf(handle.save())
    const same = parts.length === statement.parts.length && parts.every((p, i) => partHash(p) === statement.parts[i])
    return same ? parts : undefined
  } finally {
    handle.free()
  }
}

async function fetchParts(
  ledger: Ledger,
  statement: SealStatement,
  part: (index: number) => Promise<Uint8Array>,
): Promise<Uint8Array[]> {
  const { database } = ledger.options
  const id = statement.document
  const parts: Uint8Array[] = []
  const fetched: Operation[] = []
  try {
    for (const [i, hash] of statement.parts.entries()) {
      const kept = await stagedPart(database, id, hash)
      const bytes = kept ?? (await part(i))
      const length = Math.min(limits.sealPartBytes, statement.length - i * limits.sealPartBytes)
      if (bytes.length !== length || partHash(bytes) !== hash)
        throw new RefusedError(`part ${i} of ${id} is not what its seal says`)
      if (kept === undefined) fetched.push({ type: 'put', key: keys.staged(id, hash), value: bytes })
      parts.push(bytes)
    }
    return parts
  } catch (error) {
    // What did arrive is kept for the next attempt. Not synced: each part is verified again when it is read.
    await database.write(fetched, { sync: false })
    throw error
  }
}

/** A part that an interrupted call left, if it is still what it was. */
async function stagedPart(database: Database, id: DocumentId, hash: string): Promise<Uint8Array | undefined> {
  try {
    const kept = await database.get(keys.staged(id, hash))
    return kept !== undefined && partHash(kept) === hash ? kept : undefined
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error
    return undefined
  }
}

/**
 * A journal's history is a straight line: what we hold of it must be the beginning of what the seal covers. Only then, and
 * only where we hold a beginning, the chunk is opened to look.
 */
function checkContinues(
  id: DocumentId,
  before: DocumentRow,
  { tip }: SealStatement,
  parts: readonly Uint8Array[],
): void {
  const [held] = before.tips
  if (held === undefined || (held.actor === tip.actor && held.hash === tip.hash)) return
  if (held.actor === tip.actor && held.seq < tip.seq) {
    const handle = newHandle()
    try {
      const chunk = Buffer.concat(parts)
      refusing(() => {
        checkSealedChunk(chunk)
        load(handle, [chunk], [tip.hash])
      })
      if (handle.getChangeByHash(held.hash) !== null) return
    } finally {
      handle.free()
    }
  }
  throw new RefusedError(`document ${id}: the seal does not continue what is held here (clone or rollback)`)
}

async function staged(ledger: Ledger, id: DocumentId): Promise<Operation[]> {
  const operations: Operation[] = []
  for await (const key of ledger.options.database.keys(under(`P\0${id}`))) operations.push({ type: 'del', key })
  return operations
}
