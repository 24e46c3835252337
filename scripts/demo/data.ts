/** The demo's data set, cut into one part a gateway. */
import { readFile, writeFile } from 'node:fs/promises'
import { createSeededRandom } from '../../src/peer/index.ts'

const sensors = 24
const minutes = 1_440
const startMs = Date.UTC(2026, 5, 1)

/** Writes a day of a farm: air in greenhouses, soil in fields, one record a minute and sensor; a third of the sensors each. */
export async function generateThirds(folder: string): Promise<string[]> {
  const random = createSeededRandom(20_260_601)
  const files: string[] = []
  for (let part = 0; part < 3; part++) {
    const lines = ['time,sensor,temperature,humidity']
    for (let n = part; n < sensors; n += 3) {
      const sensor = n < sensors / 2 ? `greenhouse-${n}/air` : `field-${n}/soil`
      let temperature = 15 + 8 * random.uniform()
      let humidity = 40 + 30 * random.uniform()
      for (let minute = 0; minute < minutes; minute++) {
        temperature += 0.2 * (random.uniform() - 0.5) + 0.01 * Math.sin((minute / minutes) * 2 * Math.PI)
        humidity += 0.5 * (random.uniform() - 0.5)
        const time = new Date(startMs + minute * 60_000).toISOString()
        lines.push(`${time},${sensor},${temperature.toFixed(1)},${humidity.toFixed(1)}`)
      }
    }
    const file = `${folder}/farm-${part + 1}.csv`
    await writeFile(file, `${lines.join('\n')}\n`)
    files.push(file)
  }
  return files
}

/** Cuts CSV files line by line into three parts, the header (if there is one) on each. */
export async function cutIntoThirds(paths: readonly string[], folder: string, header: boolean): Promise<string[][]> {
  const parts: string[][] = [[], [], []]
  for (const [i, path] of paths.entries()) {
    const lines = (await readFile(path, 'latin1')).split('\n').filter((line) => line.trim() !== '')
    const head = header ? lines.splice(0, 1) : []
    for (const [part, files] of parts.entries()) {
      const file = `${folder}/part-${i + 1}-${part + 1}.csv`
      const [from, to] = [part, part + 1].map((n) => Math.floor((lines.length * n) / 3))
      await writeFile(file, `${[...head, ...lines.slice(from, to)].join('\n')}\n`, 'latin1')
      files.push(file)
    }
  }
  return parts
}
