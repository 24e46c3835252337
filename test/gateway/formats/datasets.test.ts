import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createReadStream, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compareValues, typeOf, type Reading } from '../../../src/model/index.ts'
import { formatRecordsCsv, parseProfile, readCsv, type ReadCounts } from '../../../src/gateway/formats/index.ts'
import type { FieldView, RecordView } from '../../../src/store/index.ts'

const datasets = process.env['HEDGEROW_DATASETS'] ?? ''

async function read(file: string, profile: string): Promise<{ readings: Reading[]; counts: ReadCounts }> {
  const path = fileURLToPath(new URL(`../../fixtures/profiles/${profile}.yaml`, import.meta.url))
  const readings: Reading[] = []
  for await (const item of readCsv(
    createReadStream(join(datasets, file)),
    parseProfile(readFileSync(path, 'utf8'), path),
    {
      file,
    },
  )) {
    if ('counts' in item) return { readings, counts: item.counts }
    assert.ok('reading' in item, JSON.stringify(item))
    readings.push(item.reading)
  }
  return assert.fail('no counts')
}

/** What a site shows of these readings when no one has amended any. */
function* recordsOf(readings: readonly Reading[]): Iterable<RecordView> {
  const records = new Map<string, Reading[]>()
  for (const reading of readings) {
    const key = `${reading.time} ${reading.sensor}`
    records.set(key, [...(records.get(key) ?? []), reading])
  }
  const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
  for (const same of [...records.values()].sort(
    ([a], [b]) => (a as Reading).time - (b as Reading).time || order((a as Reading).sensor, (b as Reading).sensor),
  )) {
    const fields: FieldView[] = []
    for (const name of new Set(same.flatMap(({ fields }) => fields.map(({ field }) => field)))) {
      const values = same.flatMap(({ fields }) => fields.filter(({ field }) => field === name))
      const distinct = values.filter((one, i) => values.findIndex(({ value }) => value === one.value) === i)
      const first = distinct.toSorted((a, b) => compareValues(a.value, b.value))[0]
      assert.ok(first)
      fields.push({
        field: name,
        shown: { ...first, quality: 'good', type: typeOf(first.value) },
        removed: false,
        ...(distinct.length > 1 ? { conflict: 'reading/reading' as const } : {}),
        readings: distinct.map((one) => ({ ...one, quality: 'good', nodes: [], covered: false })),
        amendments: [],
      })
    }
    const { sensor, time } = same[0] as Reading
    yield { sensor, time, fields: fields.sort((a, b) => order(a.field, b.field)), seen: '' }
  }
}

async function csvOf(readings: readonly Reading[]): Promise<string> {
  const records = (async function* () {
    yield* recordsOf(readings)
  })()
  return (await collect(formatRecordsCsv(records))).join('')
}

function reference(...flags: string[]): string {
  const script = fileURLToPath(new URL('../../support/reference.mjs', import.meta.url))
  return execFileSync(process.execPath, [script, datasets, ...flags], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
}

describe('gateway/formats on the real data sets', () => {
  before(function () {
    if (datasets === '') this.skip()
  })

  it('reads the ULB motes with no fault, as the reference does', async () => {
    const runs = await Promise.all([1, 2, 3].map((run) => read(`wsn-ulb-library/library1-R${run}.txt`, 'ulb-motes')))
    assert.deepEqual(
      runs.map(({ counts }) => [counts.readings, counts.rows, counts.missingValues]),
      [
        [7563, 7563, 0],
        [11110, 11110, 0],
        [11029, 11029, 0],
      ],
    )
    const readings = runs.flatMap((run) => run.readings)
    assert.equal(new Set(readings.map(({ sensor }) => sensor)).size, 19)
    assert.equal(await csvOf(readings), reference('--only', 'ulb-motes'))
  })

  it('reads the air quality of UCI: 9,357 rows, 114 empty ones, 16,701 missing values, as the reference does', async () => {
    const { readings, counts } = await read('air-quality-uci/AirQualityUCI.csv', 'air-quality-uci')
    assert.deepEqual(counts, {
      rows: 9357,
      readings: 9326,
      faults: 0,
      emptyRows: 114,
      withoutValues: 31,
      missingValues: 16_701,
      cutTimes: 0,
    })
    assert.equal(await csvOf(readings), reference('--only', 'air-quality-uci'))
  })

  it("reads NAB's machine temperature: 22,695 readings, 22,683 times, 12 conflicts, as the reference does", async () => {
    const { readings } = await read(
      'nab/realKnownCause/machine_temperature_system_failure.csv',
      'nab-machine-temperature',
    )
    assert.equal(readings.length, 22_695)
    assert.equal(new Set(readings.map(({ time }) => time)).size, 22_683)
    const csv = await csvOf(readings)
    assert.equal(csv.split('\n').filter((line) => line.endsWith(',reading/reading')).length, 24)
    assert.equal(csv, reference('--only', 'nab-machine-temperature'))
  })
})

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
