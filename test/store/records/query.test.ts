import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import {
  catalogId,
  DamagedError,
  parseFieldName,
  parseSensorId,
  parseSensorPattern,
  policyId,
  usPerDay,
  type GroupName,
  type Reading,
  type SensorId,
  type TimeUs,
} from '../../../src/model/index.ts'
import { createRecords } from '../../../src/store/records/index.ts'
import type { Query, RecordView, SensorSummary } from '../../../src/store/types.ts'
import { memoryCodec, MemoryNode } from './memory-site.ts'

const start = Date.UTC(2026, 0, 30) * 1000
const hour = usPerDay / 24
const group = 'default' as GroupName
const t = parseFieldName('t')
const h = parseFieldName('h')
const sensors = ['a/1', 'a/2', 'b'].map(parseSensorId)
const [a1, , b] = sensors as [SensorId, SensorId, SensorId]

const reading = (sensor: SensorId, time: TimeUs, value: number, unit?: string): Reading => ({
  sensor,
  time,
  fields: [
    { field: t, value, ...(unit !== undefined && { unit }) },
    { field: h, value: value + 100 },
  ],
})

describe('queries', () => {
  let node: MemoryNode
  let other: MemoryNode

  beforeEach(() => {
    node = new MemoryNode(1)
    other = new MemoryNode(2)
  })
  afterEach(() => {
    node.free()
    other.free()
  })

  const append = (readings: Reading[], from = node): Promise<void> => from.append(group, 'normal', readings)
  const share = (): void => {
    for (const parcel of other.outbox.splice(0)) node.receive(parcel)
    for (const parcel of node.outbox.splice(0)) other.receive(parcel)
  }
  const run = async (query: Query = {}): Promise<RecordView[]> => {
    const records: RecordView[] = []
    for await (const record of node.records.query(await node.snapshot(), query)) records.push(record)
    return records
  }
  const keys = (records: readonly RecordView[]): string[] =>
    records.map(({ sensor, time }) => `${sensor}@${time - start}`)
  const summaries = async (): Promise<SensorSummary[]> => {
    const list: SensorSummary[] = []
    for await (const summary of node.records.sensors(await node.snapshot())) list.push(summary)
    return list
  }

  it('give the records that match, by time then sensor, over months, nodes and amendments', async () => {
    const places = fc.record({
      sensor: fc.constantFrom(...sensors),
      time: fc.nat(60).map((i) => start + i * hour),
      remote: fc.boolean(),
    })
    const queries = fc.record({
      from: fc.option(
        fc.nat(60).map((i) => start + i * hour),
        { nil: undefined },
      ),
      to: fc.option(
        fc.nat(60).map((i) => start + i * hour),
        { nil: undefined },
      ),
      pattern: fc.constantFrom('**', 'a/*', 'b', 'nothing'),
      limit: fc.option(fc.nat(5), { nil: undefined }),
      descending: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(places, { maxLength: 20 }),
        fc.array(places, { maxLength: 3 }),
        queries,
        async (appended, created, { from, to, pattern, limit, descending }) => {
          node.free()
          other.free()
          node = new MemoryNode(1)
          other = new MemoryNode(2)
          const expected = new Map<string, { sensor: SensorId; time: TimeUs }>()
          for (const { sensor, time, remote } of appended) {
            await append([reading(sensor, time, 1)], remote ? other : node)
            expected.set(`${sensor}@${time - start}`, { sensor, time })
          }
          for (const { sensor, time, remote } of created) {
            const by = remote ? other : node
            const fields = [{ field: t, value: 1 }]
            await by.records.amend({ sensor, time, fields, create: true })
            expected.set(`${sensor}@${time - start}`, { sensor, time })
          }
          share()
          const matches = (sensor: string): boolean =>
            pattern === '**' || pattern === sensor || (pattern === 'a/*' && sensor.startsWith('a/'))
          const wanted = [...expected]
            .filter(([, { sensor, time }]) => matches(sensor) && time >= (from ?? 0) && time < (to ?? Infinity))
            .sort(([, x], [, y]) => x.time - y.time || (x.sensor < y.sensor ? -1 : 1))
            .map(([key]) => key)
          const records = await run({
            patterns: [parseSensorPattern(pattern)],
            ...(from !== undefined && { from }),
            ...(to !== undefined && { to }),
            ...(limit !== undefined && { limit }),
            order: descending ? 'descending' : 'ascending',
          })
          assert.deepEqual(keys(records), (descending ? wanted.reverse() : wanted).slice(0, limit))
        },
      ),
      { numRuns: 200 },
    )
  })

  it('cut what does not fit a window, also where readings cluster, and give all of it in order', async () => {
    const times = Array.from({ length: 70_000 }, (_, i) => (i < 60_000 ? start + i : start + i * 10_000_000))
    for (let i = 0; i < times.length; i += 5_000)
      await append(times.slice(i, i + 5_000).map((time) => reading(b, time, 1)))
    let last = 0
    let count = 0
    for (const record of await run()) {
      assert.ok(record.time > last)
      last = record.time
      count++
    }
    assert.equal(count, times.length)
    assert.equal((await run({ order: 'descending', limit: 3 })).length, 3)
  })

  it('leave off when the limit is reached, without opening what comes later', async () => {
    await append([reading(a1, start, 1)])
    await append([reading(a1, start + 40 * usPerDay, 1)], other)
    share()
    node.opened = 0
    assert.equal((await run({ limit: 1 })).length, 1)
    assert.equal(node.opened, 1)
  })

  it('show only the fields asked for, sorted by name', async () => {
    await append([reading(a1, start, 1)])
    assert.deepEqual(
      (await run())[0]?.fields.map(({ field }) => field),
      ['h', 't'],
    )
    assert.deepEqual(
      (await run({ fields: [t] }))[0]?.fields.map(({ field }) => field),
      ['t'],
    )
    assert.deepEqual(await run({ fields: [parseFieldName('x')] }), [])
  })

  it('find conflicts and removed records only where asked', async () => {
    await append([reading(a1, start, 1), reading(a1, start + 1, 1), reading(a1, start + 2, 1)])
    await append([reading(a1, start + 1, 2)], other)
    share()
    await node.records.remove({ sensor: a1, time: start + 2 })
    assert.deepEqual(keys(await run({ onlyConflicts: true })), ['a/1@1'])
    assert.deepEqual(keys(await run()), ['a/1@0', 'a/1@1'])
    assert.deepEqual(keys(await run({ includeRemoved: true })), ['a/1@0', 'a/1@1', 'a/1@2'])
    assert.equal((await summaries())[0]?.conflicts, 2)
  })

  it('know nothing of what lies before the retention mark of the group', async () => {
    await append([reading(a1, start, 1), reading(b, start, 1), reading(a1, start + 10, 1)])
    await node.records.amend({ sensor: a1, time: start + 5, fields: [{ field: t, value: 1 }], create: true })
    const before = await node.records.content(await node.snapshot())
    await node.records.setPolicy({ pattern: parseSensorPattern('a/**'), group: 'farm' as GroupName })
    assert.equal(await node.records.content(await node.snapshot()), before)
    await node.edit(policyId, async () => new Map([['mark|farm', start + 6]]))
    assert.deepEqual(keys(await run()), ['b@0', 'a/1@10'])
    assert.notEqual(await node.records.content(await node.snapshot()), before)
    assert.deepEqual(await node.records.span(await node.snapshot(), [parseSensorPattern('a/**')]), {
      first: start + 6,
      last: start + 10,
    })
    assert.deepEqual(
      (await summaries()).map(({ sensor, readings, first }) => [sensor, readings, first - start]),
      [
        ['a/1', 1, 10],
        ['b', 1, 0],
      ],
    )
  })

  it('stop with the reason of the signal', async () => {
    await append([reading(a1, start, 1), reading(a1, start + 1, 1)])
    const controller = new AbortController()
    const reason = new Error('enough')
    await assert.rejects(async () => {
      for await (const record of node.records.query(await node.snapshot(), { signal: controller.signal }))
        if (record.time === start) controller.abort(reason)
    }, reason)
  })

  it('give the nearest times of a sensor, nearest first', async () => {
    await append([0, 10, 19, 40].map((i) => reading(a1, start + i, 1)))
    await append([reading(b, start + 20, 1)])
    await node.records.remove({ sensor: a1, time: start + 19 })
    const nearest = await node.records.nearest(await node.snapshot(), a1, start + 20, 2)
    assert.deepEqual(
      nearest.map((time) => time - start),
      [10, 0],
    )
  })

  it('leave out a batch that does not decode, and say so', async () => {
    await append([reading(a1, start, 1)])
    const records = createRecords({
      documents: node,
      codec: {
        ...memoryCodec,
        decode: () => {
          throw new DamagedError('nonsense')
        },
      },
    })
    for await (const record of records.query(await node.snapshot())) assert.fail(String(record.time))
    assert.deepEqual([...records.unreadable.values()], [1])
  })
})

describe('sensor summaries', () => {
  it('list counts, nodes, fields with last values and units, also after something changed', async () => {
    const one = new MemoryNode(1)
    const two = new MemoryNode(2)
    await one.append(group, 'normal', [reading(a1, start, 20, 'Cel'), reading(a1, start + usPerDay * 5, 22)])
    await two.append(group, 'normal', [reading(a1, start, 20, 'Cel')])
    for (const parcel of two.outbox.splice(0)) one.receive(parcel)
    const summary = async (): Promise<SensorSummary | undefined> => {
      for await (const found of one.records.sensors(await one.snapshot())) return found
      return undefined
    }
    const last = (value: number): object => ({ value, quality: 'good', time: start + usPerDay * 5 })
    assert.deepEqual(await summary(), {
      sensor: a1,
      group: 'default',
      readings: 3,
      first: start,
      last: start + usPerDay * 5,
      nodes: [one.node, two.node].sort(),
      fields: [
        { field: h, type: 'float', last: last(122) },
        { field: t, type: 'float', unit: 'Cel', last: last(22) },
      ],
      conflicts: 0,
    })
    one.opened = 0
    await summary()
    assert.equal(one.opened, 0, 'unchanged months come from the cache')
    await one.records.amend({ sensor: a1, time: start + usPerDay * 5, fields: [{ field: t, value: 23 }] })
    const pattern = parseSensorPattern('a/**')
    await one.records.setCatalog({ pattern, units: { t: 'K' }, types: { h: 'int' }, place: 'north' })
    await one.records.setCatalog({ pattern, place: 'north' })
    assert.equal((await (await one.snapshot()).shared(catalogId)).size, 3)
    const changed = await summary()
    assert.deepEqual(changed?.fields[1], { field: t, type: 'float', unit: 'K', last: last(23) })
    assert.equal(changed?.fields[0]?.type, 'int')
    assert.equal(changed?.place, 'north')
    one.free()
    two.free()
  })
})
