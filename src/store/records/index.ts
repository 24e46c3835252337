/**
 * Records on top of documents: what a record shows, queries, summaries, the content digest, and edits that lose
 * nothing. Holds no state but caches: everything is read from a snapshot and written through `Documents`.
 */
import {
  catalogId,
  limits,
  LimitError,
  NotAllowedError,
  policyId,
  type DocumentId,
  type NodeId,
  type SensorId,
  type SensorPattern,
  type TimeUs,
  type ValueType,
} from '../../model/index.ts'
import type { Documents, DocumentsSnapshot, SharedContent } from '../documents.ts'
import type {
  AmendRequest,
  CatalogChange,
  PolicyChange,
  Query,
  RecordView,
  RemoveRequest,
  ResolveRequest,
  SensorSummary,
  StoreLog,
} from '../types.ts'
import { catalogOf, catalogPuts } from './catalog.ts'
import { codecReader } from './codec-reader.ts'
import { DamageLog } from './damage-log.ts'
import { amendRecord, removeRecord, resolveField, type EditContext } from './edits.ts'
import { policyOf, policyPuts, readPolicy, type PolicyResolver } from './policy.ts'
import { contentDigest, nearestTimes, queryRecords, readingSpan, recordAt, scanSource } from './query.ts'
import type { BatchReader, ScanSource } from './scan.ts'
import { SummaryCache, sensorSummaries } from './summaries.ts'

export { RecordConflictError } from './edits.ts'
export { compilePolicy, policyOf, readPolicy, type PolicyResolver } from './policy.ts'
export type { BatchFilter, BatchReader } from './scan.ts'
export type { Extent } from './window-plan.ts'

/** Reads take the snapshot they work on, which the caller opens and closes; edits open their own. */
export interface Records {
  /** Streams in order, a window of time in memory. */
  query(snapshot: DocumentsSnapshot, query?: Query): AsyncIterable<RecordView>
  record(
    snapshot: DocumentsSnapshot,
    sensor: SensorId,
    time: TimeUs,
    options?: { readonly includeRemoved?: boolean },
  ): Promise<RecordView | undefined>
  /** Times of the visible records nearest to `time`, nearest first. */
  nearest(snapshot: DocumentsSnapshot, sensor: SensorId, time: TimeUs, count: number): Promise<TimeUs[]>
  /** Reads every month in which something changed since the last call; the rest comes from a cache. */
  sensors(snapshot: DocumentsSnapshot, patterns?: readonly SensorPattern[]): AsyncIterable<SensorSummary>
  span(
    snapshot: DocumentsSnapshot,
    patterns?: readonly SensorPattern[],
  ): Promise<{ readonly first: TimeUs; readonly last: TimeUs } | undefined>
  /** The content digest of docs/content-digest.md; reads everything. */
  content(snapshot: DocumentsSnapshot, options?: { readonly signal?: AbortSignal }): Promise<string>
  /** Compiled, and the same object as long as the policy document does not change. */
  policy(snapshot: DocumentsSnapshot): Promise<PolicyResolver>
  /** Types that the catalog sets for fields of a sensor. */
  fieldTypes(snapshot: DocumentsSnapshot, sensor: SensorId): Promise<Readonly<Record<string, ValueType>>>

  amend(request: AmendRequest): Promise<RecordView>
  remove(request: RemoveRequest): Promise<RecordView>
  resolve(request: ResolveRequest): Promise<RecordView>
  setPolicy(change: PolicyChange): Promise<void>
  setCatalog(change: CatalogChange): Promise<void>

  /** Entries and batches that reads had to leave out because they do not decode, by document, as last read. */
  readonly unreadable: ReadonlyMap<DocumentId, number>
}

export function createRecords(options: {
  readonly documents: Documents
  /** Another one than the store's, for tests. */
  readonly codec?: BatchReader
  /** Who edits; without one, edits are refused. */
  readonly node?: NodeId | undefined
  readonly log?: StoreLog | undefined
}): Records {
  const { documents, codec = codecReader, node } = options
  const damage = new DamageLog(options.log)
  const summaries = new SummaryCache()
  const source = (snapshot: DocumentsSnapshot): Promise<ScanSource> => scanSource(snapshot, codec, damage)
  const editor = (): EditContext => {
    if (node === undefined)
      throw new NotAllowedError(
        'this directory has no identity to sign an edit: join a site or import an identity first',
      )
    return { documents, codec, damage, node }
  }
  const set = async (id: DocumentId, putsOf: (content: SharedContent) => Map<string, string>): Promise<void> => {
    editor()
    await documents.edit(id, async (snapshot) => {
      const content = await snapshot.shared(id)
      // What stands there already is no change; of several concurrent values it is.
      const puts = new Map(
        [...putsOf(content)].filter(([key, value]) => {
          const entries = content.get(key)
          return entries?.length !== 1 || entries[0]?.value !== value
        }),
      )
      const fresh = [...puts.keys()].filter((key) => !content.has(key)).length
      if (puts.size > limits.changePuts || content.size + fresh > limits.documentKeys)
        throw new LimitError(`${puts.size} more settings do not fit ${id}: it holds at most ${limits.documentKeys}`)
      return puts
    })
  }
  return {
    async *query(snapshot, query) {
      yield* queryRecords(await source(snapshot), query)
    },
    async record(snapshot, sensor, time, view) {
      return recordAt(await source(snapshot), sensor, time, view)
    },
    async nearest(snapshot, sensor, time, count) {
      return nearestTimes(await source(snapshot), sensor, time, count)
    },
    async *sensors(snapshot, patterns) {
      yield* sensorSummaries(await source(snapshot), summaries, patterns)
    },
    async span(snapshot, patterns) {
      return readingSpan(await source(snapshot), patterns)
    },
    async content(snapshot, { signal } = {}) {
      return contentDigest(await source(snapshot), signal)
    },
    async policy(snapshot) {
      return policyOf(await snapshot.shared(policyId))
    },
    async fieldTypes(snapshot, sensor) {
      return catalogOf(await snapshot.shared(catalogId)).typesOf(sensor)
    },
    amend: async (request) => amendRecord(editor(), request),
    remove: async (request) => removeRecord(editor(), request),
    resolve: async (request) => resolveField(editor(), request),
    setPolicy: (change) => set(policyId, (content) => policyPuts(readPolicy(content), change)),
    setCatalog: (change) => set(catalogId, () => catalogPuts(change)),
    get unreadable() {
      return damage.entries
    },
  }
}
