/**
 * Notices what LevelDB only tells its own log file: that it dropped part of its write-ahead log at opening because a checksum
 * did not fit. What was acknowledged and stood there is gone from this disk, and nothing else in the store can show it.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TimeUs } from '../model/index.ts'
import type { Store, StoreLog } from '../store/index.ts'
import type { Directory } from './directory.ts'
import { sideKeys } from './side-keys.ts'

export interface LogDamage {
  readonly at: TimeUs
  readonly bytes: number
}

/** Looks for drops at the opening that has just happened, and remembers them for `status`. */
export async function noteLogDamage(dir: Directory, store: Store, nowUs: TimeUs, log: StoreLog): Promise<void> {
  // LevelDB begins this file anew at each opening.
  const text = await readFile(join(dir.store, 'LOG'), 'utf8')
  let bytes = 0
  for (const [, dropped] of text.matchAll(/: dropping (\d+) bytes; /g)) bytes += Number(dropped)
  if (bytes === 0) return
  log('error', 'part of the database log was damaged and dropped: acknowledged records may be missing here', { bytes })
  await store.side.put(sideKeys.logDamage, { at: nowUs, bytes } satisfies LogDamage)
}

/** What was dropped last; `undefined` if never. */
export async function logDamage(store: Store): Promise<LogDamage | undefined> {
  const noted = (await store.side.get(sideKeys.logDamage)) as Partial<LogDamage> | undefined
  return typeof noted?.at === 'number' && typeof noted.bytes === 'number'
    ? { at: noted.at, bytes: noted.bytes }
    : undefined
}
