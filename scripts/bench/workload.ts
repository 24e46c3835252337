/** The two-field workload of the benchmarks, and the folders and stores they run in. */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { parseFieldName, parseSensorId, systemClock, systemRandom, type Reading } from '../../src/model/index.ts'
import { createNodeKey, createSeededRandom, signerOf, type NodeKey } from '../../src/peer/index.ts'
import { createStore, foundSite, type Engine, type Store } from '../../src/store/index.ts'

const startUs = 1_750_000_000_000_000

/** Readings of one sensor at 1 Hz with some ms of jitter; temperature and humidity with two decimals, each a bounded random walk. */
export function workload(count: number, sensor = 'greenhouse-1/air', seed = 1): Reading[] {
  const random = createSeededRandom(seed)
  const name = parseSensorId(sensor)
  const temperature = parseFieldName('temperature')
  const humidity = parseFieldName('humidity')
  // A sum of uniforms stands in for a normal step.
  const step = (spread: number): number =>
    Math.round((random.uniform() + random.uniform() + random.uniform() - 1.5) * 2 * spread)
  let t = 2_100
  let h = 5_500
  return Array.from({ length: count }, (_, i) => {
    t = Math.min(3_500, Math.max(1_000, t + step(4)))
    h = Math.min(9_500, Math.max(2_000, h + step(8)))
    return {
      sensor: name,
      time: startUs + i * 1_000_000 + step(5) * 1_000,
      fields: [
        { field: temperature, value: t / 100, unit: 'Cel' },
        { field: humidity, value: h / 100, unit: '%RH' },
      ],
    }
  })
}

export async function inFolder<T>(task: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'hedgerow-bench-'))
  try {
    return await task(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export async function newStore(folder: string, key: NodeKey = createNodeKey(systemRandom)): Promise<Store> {
  const signer = signerOf(key)
  const { site, entry } = foundSite(signer, 'bench')
  const engine = new Level(folder, { keyEncoding: 'utf8', valueEncoding: 'view' }) as unknown as Engine
  return createStore({ engine, clock: systemClock, random: systemRandom, signer }, { site, members: [entry] })
}

/** The plain way: `level` alone, one JSON value per reading, synced batches. */
export async function appendToPlainLevel(folder: string, readings: readonly Reading[], batch: number): Promise<void> {
  const db = new Level(folder)
  for (let at = 0; at < readings.length; at += batch)
    await db.batch(
      readings.slice(at, at + batch).map(({ sensor, time, fields }) => ({
        type: 'put' as const,
        key: `${sensor}!${time}`,
        value: JSON.stringify({ sensor, time, fields }),
      })),
      { sync: true },
    )
  await (db as unknown as { compactRange(from: string, to: string): Promise<void> }).compactRange('', '\uffff')
  await db.close()
}

export async function bytesIn(folder: string): Promise<number> {
  let bytes = 0
  for (const file of await readdir(folder)) bytes += (await stat(join(folder, file))).size
  return bytes
}

/** Milliseconds that a task takes. */
export async function timed(task: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await task()
  return performance.now() - start
}
