import type { DocumentId } from '../../model/index.ts'
import type { StoreLog } from '../types.ts'

/** Documents that are remembered with what could not be read in them. */
const maxDocuments = 1_000

/** What reads had to leave out: amendment entries and batches that are stored and do not decode. Logged once per document. */
export class DamageLog {
  readonly #log: StoreLog | undefined
  readonly #entries = new Map<DocumentId, number>()

  constructor(log?: StoreLog) {
    this.#log = log
  }

  /** Left-out entries or batches by document, as of its latest read. */
  get entries(): ReadonlyMap<DocumentId, number> {
    return this.#entries
  }

  report(document: DocumentId, count: number, reason: string): void {
    const known = this.#entries.get(document)
    if (known === count) return
    if (known === undefined && this.#entries.size >= maxDocuments) return
    this.#entries.set(document, count)
    this.#log?.('warn', 'entries of a document cannot be read and are left out', { document, count, reason })
  }
}
