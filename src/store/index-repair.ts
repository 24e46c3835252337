/** Index rows are derived: where one is damaged, it is made anew from the journal it counts. */
import type { DocumentId } from '../model/index.ts'
import type { Operation, Reader } from './database.ts'
import { journalMonths } from './journal-contents.ts'
import { indexOperations } from './journal-index.ts'
import { keys } from './keys.ts'
import type { Ledger } from './ledger.ts'
import type { DocumentRow } from './rows.ts'
import type { SensorMonth } from './types.ts'

/** What a journal's index row should say, by key, from its contents at one moment. Throws `DamagedError` where these are damaged too. */
export async function expectedIndex(
  reader: Reader,
  id: DocumentId,
  row: DocumentRow,
): Promise<ReadonlyMap<string, SensorMonth>> {
  const months = await journalMonths(reader, id, row)
  return new Map(months.map((month) => [keys.index(month.sensor, month.month, id), month]))
}

/** Writes a journal's index rows anew. Damage in its contents quarantines it, which takes the rows away. */
export async function repairIndex(ledger: Ledger, id: DocumentId, reason: string): Promise<void> {
  const { database, log } = ledger.options
  await ledger.lockHealing(id, async () => {
    const row = await ledger.rowForWrite(id)
    if (row.tips.length === 0) return
    log('warn', 'index rows of a journal damaged: made anew from it', { document: id, reason })
    const operations: Operation[] = indexOperations(id, await journalMonths(database, id, row))
    await database.write(operations)
  })
}
