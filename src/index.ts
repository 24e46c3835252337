/**
 * Hedgerow as a library: open a node of a directory, append and read sensor records, and let it share them with the
 * site's other nodes. Everything else stands in the command line.
 *
 * ```ts
 * await initDirectory('./data', { clock: systemClock, random: systemRandom })
 * await using node = await openNode({ dir: './data', mode: 'run' })
 * await node.store.append([{ sensor: parseSensorId('barn/air'), time: systemClock.nowUs(), fields: [{ field: parseFieldName('temperature'), value: 21.5 }] }])
 * for await (const record of node.store.query({ patterns: [parseSensorPattern('barn/**')] })) console.log(record)
 * ```
 */
export * from './model/index.ts'
export {
  initDirectory,
  joinDirectory,
  openNode,
  type JoinResult,
  type Node,
  type NodeOptions,
} from './gateway/index.ts'
export type {
  Amendment,
  AmendRequest,
  AppendOptions,
  AppendResult,
  CatalogChange,
  ConflictKind,
  FieldView,
  Policy,
  PolicyChange,
  Query,
  ReadingValue,
  RecordView,
  RemoveRequest,
  ResolveRequest,
  SensorSummary,
  Store,
} from './store/index.ts'
export type { Peer, PeerEvent, PeerStatus } from './peer/index.ts'
