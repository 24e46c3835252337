/** In which order documents are fetched: what governs first, then what is being written, then the past; newest first. */
import { catalogId, parseDocumentId, policyId, type DocumentId } from '../model/index.ts'

export interface Priority {
  readonly id: DocumentId
  /** 0 policy and catalog, 1 open, 2 settled. */
  readonly rank: 0 | 1 | 2
  /** Start of the writer's run, or the records' day: ms since the epoch. */
  readonly startMs: number
  /** Journal number within its run. */
  readonly number: number
}

export function priorityOf(id: DocumentId, settled: boolean): Priority {
  if (id === policyId || id === catalogId) return { id, rank: 0, startMs: 0, number: 0 }
  const parsed = parseDocumentId(id)
  const rank = settled ? 2 : 1
  if (parsed.kind === 'journal')
    return { id, rank, startMs: Number.parseInt(parsed.run.slice(0, 9), 36), number: parsed.number }
  if (parsed.kind === 'amendments') return { id, rank, startMs: Date.parse(parsed.day) || 0, number: 0 }
  return { id, rank, startMs: 0, number: 0 }
}

/** Sorts what is to be fetched first to the front. */
export function comparePriorities(a: Priority, b: Priority): number {
  return a.rank - b.rank || b.startMs - a.startMs || b.number - a.number || (a.id < b.id ? -1 : Number(a.id !== b.id))
}
