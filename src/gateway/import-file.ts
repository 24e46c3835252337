import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { InvalidInputError, readingBytes, type Reading, type SensorId, type TimeUs } from '../model/index.ts'
import {
  defaultProfile,
  parseProfile,
  readCsv,
  type CsvProfile,
  type ReadCounts,
  type RowFault,
} from './formats/index.ts'
import type { NodeClient } from './operations.ts'

/** Readings and bytes of them that go to the store at once: bounds memory, and one flush takes them along. */
export const importLimits = { batchReadings: 5_000, batchBytes: 1_048_576 } as const

/** How files are read: from here on the same for each. */
export interface ImportMapping {
  readonly profile: CsvProfile
  readonly sensor?: SensorId
  readonly zone?: string
  /** Tells this mapping from others in the mark of an imported file. */
  readonly fingerprint: string
}

export interface ImportMappingOptions {
  /** Path of a YAML profile. */
  readonly profile?: string
  readonly sensor?: SensorId
  readonly zone?: string
}

export async function prepareImport(options: ImportMappingOptions): Promise<ImportMapping> {
  const { profile: path, sensor, zone } = options
  const text = path === undefined ? undefined : await readText(path)
  return {
    profile: text === undefined ? defaultProfile : parseProfile(text, path as string),
    ...(sensor === undefined ? {} : { sensor }),
    ...(zone === undefined ? {} : { zone }),
    fingerprint: JSON.stringify([text ?? null, sensor ?? null, zone ?? null]),
  }
}

export interface ImportResult {
  /** When the same file was imported with the same mapping: then nothing was read. */
  readonly before?: TimeUs
  readonly appended: number
  readonly duplicates: number
  readonly counts: ReadCounts
}

export interface ImportFileOptions {
  /** Read the file even if it was imported before. */
  readonly again: boolean
  readonly signal: AbortSignal
  readonly onFault: (fault: RowFault) => void
  readonly onProgress?: (bytes: number, totalBytes: number, readings: number) => void
}

const nothing: ReadCounts = {
  rows: 0,
  readings: 0,
  faults: 0,
  emptyRows: 0,
  withoutValues: 0,
  missingValues: 0,
  cutTimes: 0,
}

/**
 * Takes a CSV file into a node: good rows are appended, bad ones reported. Memory is bounded whatever the file holds. When
 * it resolves everything is durable and the file is marked by the SHA-256 of its content and its mapping.
 */
export async function importFile(
  client: NodeClient,
  path: string,
  mapping: ImportMapping,
  options: ImportFileOptions,
): Promise<ImportResult> {
  const { signal } = options
  const mark = await markOf(path, mapping, signal)
  const { at: before } = await client.call('importMark', { mark }, { signal })
  if (before !== undefined && !options.again) return { before, appended: 0, duplicates: 0, counts: nothing }
  const result = await appendRows(client, path, mapping, options)
  await client.call('flush', undefined, { signal })
  // A file with rows that were refused is looked at again: they are named anew, and the good ones are known by their values.
  if (result.counts.readings > 0 && result.counts.faults === 0) await client.call('setImportMark', { mark }, { signal })
  return result
}

async function appendRows(
  client: NodeClient,
  path: string,
  { profile, sensor, zone }: ImportMapping,
  { signal, onFault, onProgress }: ImportFileOptions,
): Promise<ImportResult> {
  const { size } = await stat(path)
  const stream = createReadStream(path, { signal })
  const settings = {
    file: path,
    ...(sensor === undefined ? {} : { sensor }),
    ...(zone === undefined ? {} : { zone }),
  }
  let appended = 0
  let duplicates = 0
  let counts: ReadCounts = nothing
  let batch: Reading[] = []
  let bytes = 0
  let read = 0
  // One batch is written while the next one is read.
  let writing: Promise<void> = Promise.resolve()
  const write = async (readings: readonly Reading[]): Promise<void> => {
    const result = await client.call('append', { readings, flush: true }, { signal })
    appended += result.appended
    duplicates += result.duplicates
  }
  const next = async (): Promise<void> => {
    await writing
    const readings = batch
    read += readings.length
    batch = []
    bytes = 0
    writing = write(readings)
    // Whoever waits for it next hears of its failure; until then it is nobody's.
    writing.catch(() => undefined)
    onProgress?.(stream.bytesRead, size, read)
  }
  for await (const item of readCsv(stream as AsyncIterable<Uint8Array>, profile, settings)) {
    if ('fault' in item) onFault(item.fault)
    else if ('counts' in item) ({ counts } = item)
    else {
      batch.push(item.reading)
      bytes += readingBytes(item.reading)
      if (batch.length >= importLimits.batchReadings || bytes >= importLimits.batchBytes) await next()
    }
  }
  if (batch.length > 0) await next()
  await writing
  return { appended, duplicates, counts }
}

/** SHA-256 of content and mapping: another profile, sensor or zone makes other records of the same bytes. */
async function markOf(path: string, { fingerprint }: ImportMapping, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path, { signal }), hash)
  } catch (cause) {
    throw unreadable(path, cause)
  }
  return createHash('sha256').update(hash.digest()).update(fingerprint).digest('hex')
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw unreadable(path, cause)
  }
}

function unreadable(path: string, cause: unknown): unknown {
  const { code } = cause as NodeJS.ErrnoException
  if (code === 'ENOENT') return new InvalidInputError(`there is no file ${path}`, { cause })
  if (code === 'EISDIR') return new InvalidInputError(`${path} is a directory: name the files in it`, { cause })
  if (code === 'EACCES')
    return new InvalidInputError(`${path} cannot be read: its permissions do not allow it`, { cause })
  return cause
}
