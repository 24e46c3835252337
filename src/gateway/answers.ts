/** What a node answers to each operation. */
import { formatTime, InvalidInputError, type SensorId, type SensorPattern, type TimeUs } from '../model/index.ts'
import type { RecordView, Store } from '../store/index.ts'
import { createBackupOf } from './backup-operations.ts'
import type { Directory } from './directory.ts'
import { inviteAnother } from './invite-another.ts'
import { joinRunningSite } from './join-directory.ts'
import type { Node, NodeEnvironment } from './node.ts'
import type { Operations } from './operations.ts'
import { sideKeys } from './side-keys.ts'
import { createStamper } from './stamps.ts'
import { nodeStatus, whoAmI } from './status.ts'

export interface AnswerParts {
  readonly environment: NodeEnvironment
  /** The node as it is now; waits while it changes its site. */
  readonly current: () => Promise<Node>
  /** Closes store and peer, changes the directory, opens them again. */
  readonly moveSite: (move: (dir: Directory) => Promise<void>) => Promise<void>
}

export function nodeOperations(parts: AnswerParts): Operations {
  const { current } = parts
  const stamp = createStamper(parts.environment.clock)
  const store = async (): Promise<Store> => (await current()).store
  return {
    calls: {
      append: async ({ readings, flush = false }, { signal }) => {
        const stamped = stamp(readings)
        return (await store()).append(stamped, { flush, signal })
      },
      flush: async () => {
        await (await store()).flush()
        return null
      },
      amend: async (request) => {
        if (request.create !== true)
          await requireRecord(await store(), request.sensor, request.time, ', or make it with --create')
        return plain(await (await store()).amend(request))
      },
      remove: async (request) => {
        await requireRecord(await store(), request.sensor, request.time)
        return plain(await (await store()).remove(request))
      },
      resolve: async (request) => {
        // Who resolves means what stands there now, unless they say what they have read.
        const { seen } = await requireRecord(await store(), request.sensor, request.time)
        return plain(await (await store()).resolve({ seen, ...request }))
      },
      span: async ({ patterns = [] }) => (await (await store()).span(patterns)) ?? {},
      policy: async () => (await store()).policy(),
      setPolicy: async (change) => {
        await (await store()).setPolicy(change)
        return null
      },
      setCatalog: async (change) => {
        await (await store()).setCatalog(change)
        return null
      },
      fieldTypes: async ({ sensor }) => (await store()).fieldTypes(sensor),
      importMark: async ({ mark }) => (await (await store()).importMark(mark)) ?? {},
      setImportMark: async ({ mark }) => {
        await (await store()).setImportMark(mark)
        return null
      },
      status: async ({ deep = false }) => nodeStatus(await current(), deep),
      members: async () => (await store()).members.members(),
      invite: async (request) => inviteAnother(await current(), parts.environment, request),
      join: async ({ code, name }, { signal }) => joinRunningSite(parts, code, name, signal),
      whoami: async () => whoAmI(await current()),
      identityExported: async () => {
        await (await store()).side.put(sideKeys.identityExported, parts.environment.clock.nowUs())
        return null
      },
    },
    streams: {
      async *query({ seen = false, ...query }, { signal }) {
        // The token costs more than the rest of a record: it is made only where it was asked for.
        for await (const record of (await store()).query({ ...query, signal })) yield seen ? record : plain(record, '')
      },
      async *sensors({ patterns = [] }) {
        yield* (await store()).sensors(patterns)
      },
      async *backupCreate(input, { signal }) {
        yield* createBackupOf(await current(), input, parts.environment, signal)
      },
    },
  }
}

/** A record as it travels, its token worked out or left away: asking for it costs more than the rest. */
function plain(record: RecordView, seen: string = record.seen): RecordView {
  const { sensor, time, fields } = record
  return { sensor, time, fields, seen }
}

const nearestShown = 3

/** Throws `InvalidInputError` with the nearest times unless a record, removed or not, is there. */
async function requireRecord(store: Store, sensor: SensorId, time: TimeUs, wayOut = ''): Promise<RecordView> {
  const patterns = [sensor as string as SensorPattern]
  for await (const record of store.query({ patterns, from: time, to: time + 1, includeRemoved: true, limit: 1 }))
    return record
  const nearest = await store.nearest(sensor, time, nearestShown)
  const known = nearest.map(formatTime).join(', ')
  const hint =
    nearest.length === 0
      ? `there are no records of ${sensor}: see hedgerow sensors`
      : `the nearest are at ${known}: name one of them`
  throw new InvalidInputError(`no record of ${sensor} at ${formatTime(time)}; ${hint}${wayOut}`)
}
