/** Reads everything that is stored and compares it with its checksums, heads and counts. */
import { DamagedError, type DocumentId } from '../model/index.ts'
import type { Operation, Reader } from './database.ts'
import { fingerprintRows } from './fingerprints.ts'
import { expectedIndex, repairIndex } from './index-repair.ts'
import { verifyDocument } from './journal-contents.ts'
import { keys, under } from './keys.ts'
import type { Ledger } from './ledger.ts'
import { decodeIndexRow, type DocumentRow } from './rows.ts'

/**
 * Quarantines each document that fails; makes derived rows that fail anew; names all else that is damaged in the log.
 * Throws what is no damage.
 */
export async function scrub(
  ledger: Ledger,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (documents: number) => void } = {},
): Promise<{ readonly documents: number; readonly damaged: readonly DocumentId[] }> {
  await ledger.options.database.ready()
  await using reader = ledger.options.database.snapshot()
  const damaged: DocumentId[] = []
  let documents = 0
  for await (const key of reader.keys(under('d'))) {
    options.signal?.throwIfAborted()
    const id = key.slice(2) as DocumentId
    documents++
    try {
      const row = await ledger.row(id, reader)
      if (row !== undefined && row.tips.length > 0) {
        await verifyDocument(reader, id, row)
        if (id.startsWith('journal.1/')) await checkIndex(ledger, reader, id, row)
      }
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      await ledger.quarantine(id, error)
      damaged.push(id)
    }
    options.onProgress?.(documents)
  }
  await checkFingerprints(ledger, reader)
  await checkOthers(ledger, reader, options.signal)
  return { documents, damaged }
}

async function checkIndex(ledger: Ledger, reader: Reader, id: DocumentId, row: DocumentRow): Promise<void> {
  for (const [key, expected] of await expectedIndex(reader, id, row)) {
    const stored = await undamaged(reader, key)
    const counts = stored === undefined ? undefined : decodeIndexRow(stored)
    if (counts?.count === expected.count && counts.first === expected.first && counts.last === expected.last) continue
    await repairIndex(ledger, id, `row ${JSON.stringify(key)} does not count what it holds`)
    return
  }
}

async function checkFingerprints(ledger: Ledger, reader: Reader): Promise<void> {
  let rows = 0
  for await (const _ of reader.keys(under('f'))) rows++
  let sound = true
  for await (const { key, value } of fingerprintRows(ledger.settledItems(reader))) {
    rows--
    const stored = await undamaged(reader, keys.fingerprint(key))
    sound &&= stored !== undefined && Buffer.compare(stored, value) === 0
  }
  if (!sound || rows !== 0) await ledger.rebuildFingerprints('they are not those of the documents')
}

/** Values outside documents. Members are written anew from memory; what is derived is deleted; the rest is named. */
async function checkOthers(ledger: Ledger, reader: Reader, signal: AbortSignal | undefined): Promise<void> {
  const { database, members, log } = ledger.options
  const operations: Operation[] = []
  for (const letter of ['a', 'm', 'w', 'I', 'P', 'x'] as const)
    for await (const key of reader.keys(under(letter))) {
      signal?.throwIfAborted()
      if ((await undamaged(reader, key)) !== undefined) continue
      log('error', 'a stored value is damaged', { key })
      const value = letter === 'a' ? new Uint8Array(0) : letter === 'm' ? members.get(key.slice(2)) : undefined
      if (value !== undefined) operations.push({ type: 'put', key, value })
      else if (letter !== 'm') operations.push({ type: 'del', key })
    }
  await database.write(operations)
}

async function undamaged(reader: Reader, key: string): Promise<Uint8Array | undefined> {
  try {
    return await reader.get(key)
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error
    return undefined
  }
}
