/** Seals journals: one chunk in parts, and the writer's signed statement about it. */
import { limits, LimitError, type DocumentId } from '../model/index.ts'
import type { Handle } from './automerge.ts'
import type { Operation } from './database.ts'
import { openJournal, partHash } from './journal-contents.ts'
import { indexOperations, JournalIndex } from './journal-index.ts'
import { keys } from './keys.ts'
import type { Ledger } from './ledger.ts'
import { encodeSeal, encodeStatement, sealHash, type DocumentRow } from './rows.ts'
import { sealMessage } from './signing.ts'
import type { SealStatement, SignedSeal, Signer } from './types.ts'

/** Cuts a saved chunk into the parts that seals speak of. */
export function partsOf(chunk: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = []
  for (let at = 0; at < chunk.length; at += limits.sealPartBytes)
    parts.push(chunk.subarray(at, at + limits.sealPartBytes))
  return parts
}

/**
 * Seals a journal of this node whose newest state `row` and `handle` show; `before` is the row as it is stored, another one
 * where the journal was quarantined. Call inside the document's lock.
 */
export async function sealWith(
  ledger: Ledger,
  signer: Signer,
  id: DocumentId,
  row: DocumentRow,
  handle: Handle,
  index: JournalIndex,
  before: DocumentRow = row,
): Promise<void> {
  const tip = row.tips[0]
  if (tip === undefined || row.seal !== undefined) return
  const parts = partsOf(handle.save())
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  if (length > limits.sealedBytes) throw new LimitError(`journal ${id}: ${length} bytes are more than a seal covers`)
  const statement: SealStatement = {
    document: id,
    tip: { actor: tip.actor, seq: tip.seq, hash: tip.hash, records: tip.records, bytes: tip.bytes },
    length,
    parts: parts.map(partHash),
    series: index.series(),
    index: index.months(),
    order: row.order,
  }
  const bytes = encodeStatement(statement)
  const seal: SignedSeal = {
    statement: bytes,
    signature: signer.sign(sealMessage(bytes)),
    tipSignature: tip.signature,
  }
  const { after, operations } = await sealedRow(ledger, id, row, seal, statement, parts)
  await ledger.commit(id, before, after, operations, { from: 'local' })
}

/** The row and the operations that replace whatever is held of a journal by its sealed form. */
export async function sealedRow(
  ledger: Ledger,
  id: DocumentId,
  before: DocumentRow,
  seal: SignedSeal,
  statement: SealStatement,
  parts: readonly Uint8Array[],
): Promise<{ readonly after: DocumentRow; readonly operations: Operation[] }> {
  const operations: Operation[] = [
    ...(await ledger.clearing(id)),
    ...parts.map((value, i): Operation => ({ type: 'put', key: keys.part(id, i), value })),
    { type: 'put', key: keys.seal(id), value: encodeSeal(seal) },
    ...indexOperations(id, statement.index),
  ]
  const after: DocumentRow = {
    tips: [{ ...statement.tip, signature: seal.tipSignature }],
    heads: [statement.tip.hash],
    changes: 0,
    order: Math.max(before.order, statement.order),
    touched: ledger.options.clock.nowUs(),
    settled: true,
    seal: { hash: sealHash(seal), parts: parts.length },
  }
  return { after, operations }
}

/** Seals a journal that an earlier run of this node left open. Damage met on the way quarantines it. */
export async function sealLeftOpen(ledger: Ledger, signer: Signer, id: DocumentId): Promise<void> {
  const { database } = ledger.options
  await ledger.lockHealing(id, async () => {
    const row = await ledger.rowForWrite(id)
    if (row.seal !== undefined || row.tips.length === 0) return
    const batches = await ledger.journals.batches(database, id, row)
    const handle = await openJournal(database, id, row)
    try {
      const index = new JournalIndex()
      for (const { bytes } of batches) index.add(bytes)
      await sealWith(ledger, signer, id, row, handle, index)
    } finally {
      handle.free()
    }
  })
}
