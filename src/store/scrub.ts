/** Reads everything that is stored and compares it with its checksums, heads and counts. */
import { DamagedError, type DocumentId } from '../model/index.ts'
import type { Reader } from './database.ts'
import { keys, under } from './keys.ts'
import { openJournal } from './journal-contents.ts'
import { monthsOf } from './journal-index.ts'
import type { Ledger } from './ledger.ts'
import { decodeIndexRow, type DocumentRow } from './rows.ts'

/** Quarantines each document that fails. Throws what is no damage. */
export async function scrub(
  ledger: Ledger,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (documents: number) => void } = {},
): Promise<{ readonly documents: number; readonly damaged: readonly DocumentId[] }> {
  await using reader = ledger.options.database.snapshot()
  const damaged: DocumentId[] = []
  let documents = 0
  for await (const key of reader.keys(under('d'))) {
    options.signal?.throwIfAborted()
    const id = key.slice(2) as DocumentId
    documents++
    try {
      const row = await ledger.row(id, reader)
      if (row !== undefined && row.tips.length > 0) await check(ledger, reader, id, row)
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      await ledger.quarantine(id, error)
      damaged.push(id)
    }
    options.onProgress?.(documents)
  }
  return { documents, damaged }
}

async function check(ledger: Ledger, reader: Reader, id: DocumentId, row: DocumentRow): Promise<void> {
  const handle = await openJournal(reader, id, row)
  handle.free()
  if (!id.startsWith('journal.1/')) return
  const found = new Map<string, number>()
  for (const { bytes } of await ledger.journals.batches(reader, id, row))
    for (const { sensor, month, count } of monthsOf(bytes)) {
      const key = keys.index(sensor, month, id)
      found.set(key, (found.get(key) ?? 0) + count)
    }
  for (const [key, count] of found) {
    const stored = await reader.get(key)
    if (stored === undefined || decodeIndexRow(stored).count !== count)
      throw new DamagedError(`document ${id}: its index row ${JSON.stringify(key)} does not count what it holds`)
  }
}
