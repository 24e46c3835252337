import { readNdjson, type AppendResult, type NodeClient, type RowFault, type UntimedReading } from '../gateway/index.ts'
import { limits, readingBytes, type Clock } from '../model/index.ts'

/** Readings and bytes that go to the node at once, and batches under way before more of the input is read. */
export const appendLimits = { batchReadings: 2_000, batchBytes: 1_048_576, batches: 8 } as const

const flushRetryMs = 10

export interface AppendStreamOptions {
  readonly client: NodeClient
  readonly clock: Clock
  /** Ends the input: what was read until then is appended. */
  readonly signal: AbortSignal
  readonly zone?: string
  readonly onFault: (fault: RowFault) => void
  /** After each flush: readings that it made durable, and all so far. */
  readonly onAcknowledged: (acknowledged: number, duplicates: number, total: number) => Promise<void>
}

export interface AppendTotals {
  readonly acknowledged: number
  readonly duplicates: number
}

/**
 * Appends the records of an NDJSON stream as they come. Lines of one chunk of input go to the node together; it answers when
 * their flush is durable, so batches that one flush took along are acknowledged as one. Memory is bounded: reading pauses
 * while `appendLimits.batches` are under way.
 */
export async function appendStream(
  input: AsyncIterable<Uint8Array>,
  options: AppendStreamOptions,
): Promise<AppendTotals> {
  const { client, onAcknowledged } = options
  const underWay = new Set<Promise<void>>()
  let acknowledged = 0
  let duplicates = 0
  let failure: { readonly error: unknown } | undefined
  const failed = Promise.withResolvers<void>()
  const fail = (error: unknown): void => {
    failure ??= { error }
    failed.resolve()
  }
  // The source may be silent for hours: a node that has gone is noticed without a next line.
  void client.gone?.then(fail)
  let waiting: AppendResult[] = []
  let sending: Promise<void> = Promise.resolve()

  const acknowledge = (result: AppendResult): void => {
    waiting.push(result)
    if (waiting.length > 1) return
    // A turn later: batches of one flush resolve together.
    sending = sending.then(
      () =>
        new Promise((resolve, reject) => {
          setImmediate(() => {
            const results = waiting
            waiting = []
            const count = results.reduce((sum, each) => sum + each.appended, 0)
            const skipped = results.reduce((sum, each) => sum + each.duplicates, 0)
            acknowledged += count
            duplicates += skipped
            onAcknowledged(count, skipped, acknowledged).then(resolve, reject)
          })
        }),
    )
  }
  const send = async (readings: readonly UntimedReading[]): Promise<void> => {
    try {
      acknowledge(await client.call('append', { readings }))
    } catch (error) {
      fail(error)
    }
  }
  const start = async (readings: readonly UntimedReading[]): Promise<void> => {
    const batch = send(readings)
    const tracked = batch.finally(() => underWay.delete(tracked))
    underWay.add(tracked)
    if (underWay.size >= appendLimits.batches) await Promise.race(underWay)
  }

  let batch: UntimedReading[] = []
  let bytes = 0
  const flushBatch = async (): Promise<void> => {
    if (batch.length === 0) return
    const readings = batch
    batch = []
    bytes = 0
    await start(readings)
  }
  const items = readNdjson(chunksOf(input, [aborted(options.signal), failed.promise], flushBatch), {
    file: 'standard input',
    ...(options.zone === undefined ? {} : { zone: options.zone }),
  })
  for await (const item of items) {
    if ('fault' in item) options.onFault(item.fault)
    else if ('reading' in item) {
      const { reading } = item
      batch.push(reading)
      bytes += readingBytes({ ...reading, time: limits.timeMinUs })
      if (batch.length >= appendLimits.batchReadings || bytes >= appendLimits.batchBytes) await flushBatch()
    }
    if (failure !== undefined) break
  }
  if (failure === undefined) await flushBatch()
  // What still waits for its lane's interval need not: the input has ended.
  // A batch may reach the queue a moment after a flush has looked there.
  while (underWay.size > 0) {
    await client.call('flush', undefined)
    await Promise.race([Promise.all(underWay), options.clock.sleep(flushRetryMs)])
  }
  await sending
  if (failure !== undefined) throw failure.error
  return { acknowledged, duplicates }
}

/** Passes chunks on until one of `ends` resolves; calls `onTaken` when all lines of a chunk have been taken and more is asked for. */
async function* chunksOf(
  input: AsyncIterable<Uint8Array>,
  ends: readonly Promise<void>[],
  onTaken: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  const ended = Promise.race(ends).then(() => ({ done: true, value: undefined }) as const)
  const iterator = input[Symbol.asyncIterator]()
  for (;;) {
    const next = await Promise.race([iterator.next(), ended])
    if (next.done === true) return
    yield next.value
    await onTaken()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
