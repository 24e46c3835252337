import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { everything, Gateway, oneDigest, type StatusJson } from '../support/e2e-gateway.ts'
import { canMakeLan, Lan } from '../support/e2e-lan.ts'
import { runOk, until, waitMs } from '../support/e2e-process.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

const datasets = process.env['HEDGEROW_DATASETS'] ?? ''
const profile = (name: string): string => join(import.meta.dirname, `../fixtures/profiles/${name}.yaml`)
const reference = join(import.meta.dirname, '../support/reference.mjs')

const air = [join(datasets, 'air-quality-uci/AirQualityUCI.csv'), '--profile', profile('air-quality-uci')] as const
const machine = [
  join(datasets, 'nab/realKnownCause/machine_temperature_system_failure.csv'),
  '--profile',
  profile('nab-machine-temperature'),
] as const
const motes = (run: number): readonly string[] => [
  join(datasets, `wsn-ulb-library/library1-R${run}.txt`),
  '--profile',
  profile('ulb-motes'),
]

interface ImportJson {
  readonly appended: number
  readonly duplicates: number
  readonly before?: string
  readonly counts: Readonly<Record<string, number>>
}

interface SensorJson {
  readonly sensor: string
  readonly readings: number
  readonly conflicts: number
  readonly nodes: readonly string[]
}

interface ConflictJson {
  readonly sensor: string
  readonly fields: Readonly<
    Record<string, { readonly conflict: string; readonly readings: readonly { readonly nodes: readonly string[] }[] }>
  >
}

const limitMs = 4 * waitMs

describe('three gateways that have only mDNS to find each other', function () {
  let lan: Lan
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>
  let gateways: readonly [Gateway, Gateway, Gateway]

  before(async function () {
    if (datasets === '' || !existsSync(datasets) || !canMakeLan()) this.skip()
    folder = await temporaryDirectory()
    lan = await Lan.create(3)
    const gateway = (host: number): Gateway =>
      new Gateway({ dir: join(folder.path, `gateway-${host}`), prefix: lan.on(host) })
    gateways = [gateway(1), gateway(2), gateway(3)]
    const [first, second, third] = gateways
    await first.hedgerow(['init', '--site', 'Real data', '--name', 'one'])
    await first.run()
    await first.letIn(second, 'two')
    await first.letIn(third, 'three')
    await first.stop()
    // Whatever addresses the invites left behind lead nowhere now.
    await lan.number(1)
    for (const each of gateways) await each.run()
  })

  after(async () => {
    for (const each of gateways ?? []) await each[Symbol.asyncDispose]()
    await lan?.[Symbol.asyncDispose]()
    await folder?.[Symbol.asyncDispose]()
  })

  it('find each other', async () => {
    for (const each of gateways)
      await until(
        'a gateway to be connected to the two others',
        async () => (await each.status()).peers.filter(({ connected }) => connected).length,
        (connected) => connected === 2,
      )
  })

  it('take in the ULB motes, a file each', async () => {
    const results = await Promise.all(gateways.map((each, i) => imported(each, motes(i + 1))))
    assert.equal(
      sum(results, ({ counts }) => counts['readings']),
      29_702,
    )
    for (const { counts } of results) assert.deepEqual([counts['faults'], counts['missingValues']], [0, 0])
  })

  it('take in a year of air quality: 9,357 rows, 114 empty ones, 16,701 missing marks', async () => {
    const { appended, duplicates, counts } = await imported(gateways[0], air)
    assert.deepEqual(counts, {
      rows: 9_357,
      readings: 9_326,
      faults: 0,
      emptyRows: 114,
      // Rows in which every value is missing.
      withoutValues: 31,
      missingValues: 16_701,
      cutTimes: 0,
    })
    assert.deepEqual([appended, duplicates], [9_326, 0])
  })

  it('take in the machine temperature on two gateways at once', async () => {
    const results = await Promise.all([imported(gateways[1], machine), imported(gateways[2], machine)])
    for (const { counts } of results)
      assert.deepEqual([counts['rows'], counts['readings'], counts['faults']], [22_695, 22_695, 0])
  })

  it('end with one digest and one content', async () => {
    await oneDigest(gateways, limitMs)
    const statuses: StatusJson[] = []
    for (const each of gateways) statuses.push(await each.status('--deep'))
    const [first, ...others] = statuses.map(({ digest, content, atRisk }) => ({ digest, content, atRisk }))
    assert.match(first?.content ?? '', /^[0-9a-f]{64}$/)
    assert.equal(first?.atRisk, 0)
    for (const other of others) assert.deepEqual(other, first)
  })

  it('show the machine with 22,683 records and 12 conflicts of two readings each, the same on all', async () => {
    const found: ConflictJson[][] = []
    for (const each of gateways) {
      const [sensor, ...others] = await each.json<SensorJson>(['sensors', 'machine/temperature'], { limitMs })
      assert.deepEqual(others, [])
      assert.deepEqual([sensor?.sensor, sensor?.conflicts, sensor?.nodes.length], ['machine/temperature', 12, 2])
      const csv = await each.hedgerow(
        [
          'query',
          'machine/temperature',
          '--from',
          '2013-01-01T00:00:00Z',
          '--to',
          '2015-01-01T00:00:00Z',
          '--format',
          'csv',
        ],
        { limitMs },
      )
      assert.equal(
        new Set(
          csv
            .split('\n')
            .slice(1, -1)
            .map((line) => line.split(',')[1]),
        ).size,
        22_683,
      )
      found.push(await each.json<ConflictJson>(['conflicts'], { limitMs }))
    }
    const [first = [], ...others] = found
    assert.equal(first.length, 12)
    for (const { sensor, fields } of first) {
      assert.equal(sensor, 'machine/temperature')
      assert.deepEqual(Object.keys(fields), ['temperature'])
      const { conflict, readings = [] } = fields['temperature'] ?? {}
      assert.equal(conflict, 'reading/reading')
      // Two values, each on both nodes.
      assert.deepEqual(
        readings.map(({ nodes }) => nodes.length),
        [2, 2],
      )
    }
    for (const other of others) assert.deepEqual(other, first)
  })

  it('answer a query for everything byte for byte as the reference makes it of the files', async () => {
    const expected = await runOk([process.execPath, reference, datasets])
    for (const each of gateways) {
      const found = await everything(each)
      // Not assert.equal: its message would hold both texts.
      assert.ok(
        found === expected,
        `${found.length} characters, expected ${expected.length}; ${firstDifference(found, expected)}`,
      )
    }
  })

  it('add nothing when the same files are imported again, and say so', async () => {
    const before = await gateways[0].status()
    const again = await imported(gateways[0], air)
    assert.deepEqual([again.appended, again.duplicates], [0, 0])
    assert.ok(again.before !== undefined)
    const { stderr } = await gateways[0].attempt(['import', ...air])
    assert.match(stderr, /already imported .*nothing added/)
    const after = await gateways[0].status()
    assert.deepEqual([after.records, after.digest], [before.records, before.digest])
  })

  it('skip by value and count what --again takes in once more', async () => {
    const before = await gateways[0].status()
    const again = await imported(gateways[0], [...air, '--again'])
    assert.deepEqual([again.appended, again.duplicates], [0, 104_940])
    const after = await gateways[0].status()
    assert.deepEqual([after.records, after.digest], [before.records, before.digest])
  })
})

function imported(gateway: Gateway, args: readonly string[]): Promise<ImportJson> {
  return gateway.one<ImportJson>(['import', ...args], { limitMs })
}

function sum<T>(items: readonly T[], count: (item: T) => number | undefined): number {
  return items.reduce((total, item) => total + (count(item) ?? 0), 0)
}

function firstDifference(found: string, expected: string): string {
  const [a, b] = [found.split('\n'), expected.split('\n')]
  const line = a.findIndex((text, i) => text !== b[i])
  return `first difference in line ${line + 1}: ${a[line]} instead of ${b[line]}`
}
