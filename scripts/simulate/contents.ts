/** Everything that one node holds, as it shows it: what checks compare. */
import { createHash } from 'node:crypto'
import type { ActorId, DocumentId, SensorId, TimeUs } from '../../src/model/index.ts'
import type { RecordView, Store } from '../../src/store/index.ts'

export interface Contents {
  readonly digest: string
  readonly content: string
  readonly members: string
  /** Removed ones too, by `recordKey`. */
  readonly records: ReadonlyMap<string, RecordView>
  /** Newest sequence number by `actorKey`. */
  readonly sequences: ReadonlyMap<string, number>
  readonly conflicts: number
  /** SHA-256 over all that is in conflict. */
  readonly conflictDigest: string
}

export function recordKey(sensor: SensorId, time: TimeUs): string {
  return `${sensor} ${time}`
}

export function actorKey(document: DocumentId, actor: ActorId): string {
  return `${document} ${actor}`
}

/** Reads a store from end to end. */
export async function readContents(store: Store): Promise<Contents> {
  const records = new Map<string, RecordView>()
  for await (const record of store.query({ includeRemoved: true }))
    records.set(recordKey(record.sensor, record.time), record)
  const sequences = new Map<string, number>()
  {
    await using snapshot = await store.snapshot()
    for await (const { id, tips } of snapshot.documents())
      for (const { actor, seq } of tips) sequences.set(actorKey(id, actor), seq)
  }
  return {
    digest: await store.digest(),
    content: await store.content(),
    members: store.members.digest(),
    records,
    sequences,
    ...conflictsOf(records.values()),
  }
}

function conflictsOf(records: Iterable<RecordView>): Pick<Contents, 'conflicts' | 'conflictDigest'> {
  const hash = createHash('sha256')
  let conflicts = 0
  for (const { sensor, time, fields } of records)
    for (const field of fields) {
      if (field.conflict === undefined) continue
      conflicts += 1
      hash.update(
        JSON.stringify([sensor, time, field], (_key, value: unknown) =>
          typeof value === 'bigint' ? `${value}n` : value,
        ),
      )
    }
  return { conflicts, conflictDigest: hash.digest('hex') }
}
