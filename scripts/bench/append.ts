import { join } from 'node:path'
import type { BenchResult } from './index.ts'
import { appendToPlainLevel, inFolder, newStore, timed, workload } from './workload.ts'

const readings = 600_000
const batch = 600

/** Appends, acknowledged and synced, batches of 600, one caller. */
export function append600(): Promise<BenchResult> {
  return inFolder(async (folder) => {
    const all = workload(readings)
    const store = await newStore(join(folder, 'hedgerow'))
    const append = async (from: number, to: number): Promise<void> => {
      for (let at = from; at < to; at += batch) await store.append(all.slice(at, at + batch), { flush: true })
    }
    const warmUp = readings / 6
    await append(0, warmUp)
    const ms = await timed(() => append(warmUp, readings))
    await store.close()
    const plain = await timed(() => appendToPlainLevel(join(folder, 'plain'), all, batch))
    return {
      value: Math.round(((readings - warmUp) / ms) * 1000),
      unit: 'readings/s',
      baseline: Math.round((readings / plain) * 1000),
      baselineWhat: 'level alone, one JSON value per reading, synced batches of 600',
      readings: readings - warmUp,
    }
  })
}
