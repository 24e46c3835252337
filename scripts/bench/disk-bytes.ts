import { join } from 'node:path'
import type { BenchResult } from './index.ts'
import { appendToPlainLevel, bytesIn, inFolder, newStore, workload } from './workload.ts'

const readings = 500_000
const batch = 60

/** Bytes on disk per two-field reading after sealing, everything in the store's folder counted; flushes of 60 readings. */
export function diskBytes(): Promise<BenchResult> {
  return inFolder(async (folder) => {
    const all = workload(readings)
    const place = join(folder, 'hedgerow')
    const store = await newStore(place)
    for (let at = 0; at < readings; at += batch) await store.append(all.slice(at, at + batch), { flush: true })
    await store.sealOpen()
    await store.compact()
    await store.close()
    const bytes = await bytesIn(place)
    const plain = join(folder, 'plain')
    await appendToPlainLevel(plain, all, batch)
    return {
      value: Number((bytes / readings).toFixed(2)),
      unit: 'bytes/reading',
      baseline: Number(((await bytesIn(plain)) / readings).toFixed(2)),
      baselineWhat: 'level alone, one JSON value per reading, compacted',
      readings,
    }
  })
}
