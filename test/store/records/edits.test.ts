import assert from 'node:assert/strict'
import {
  amendmentsId,
  ConflictError,
  InvalidInputError,
  LimitError,
  parseFieldName,
  parseSensorId,
  policyId,
  usPerDay,
  utcDay,
  type FieldReading,
  type GroupName,
  type TimeUs,
  type Value,
} from '../../../src/model/index.ts'
import { RecordConflictError } from '../../../src/store/records/index.ts'
import type { RecordView } from '../../../src/store/types.ts'
import { dayDocument, MemoryNode } from './memory-site.ts'

const sensor = parseSensorId('farm/air')
const time = 1_700_000_000_000_000
const t = parseFieldName('t')
const h = parseFieldName('h')
const group = 'default' as GroupName

const fields = (values: Record<string, Value>): FieldReading[] =>
  Object.entries(values).map(([field, value]) => ({ field: parseFieldName(field), value }))

describe('edits', () => {
  let one: MemoryNode
  let two: MemoryNode

  beforeEach(() => {
    one = new MemoryNode(1)
    two = new MemoryNode(2)
  })
  afterEach(() => {
    one.free()
    two.free()
  })

  const append = (node: MemoryNode, values: Record<string, Value>, at: TimeUs = time): Promise<void> =>
    node.append(group, 'normal', [{ sensor, time: at, fields: fields(values) }])
  const read = async (node: MemoryNode, includeRemoved = false): Promise<RecordView | undefined> =>
    node.records.record(await node.snapshot(), sensor, time, { includeRemoved })
  const seenBy = async (node: MemoryNode): Promise<string> => (await read(node, true))?.seen as string
  const sync = (): void => {
    for (const parcel of one.outbox.splice(0)) two.receive(parcel)
    for (const parcel of two.outbox.splice(0)) one.receive(parcel)
  }
  const shows = async (node: MemoryNode): Promise<unknown> =>
    Object.fromEntries(
      (await read(node, true))?.fields.map((f) => [f.field, f.conflict ?? (f.removed ? 'removed' : f.shown?.value)]) ??
        [],
    )

  it('amend states value and quality, and names the readings it covers', async () => {
    await append(one, { t: 20, h: 50 })
    const view = await one.records.amend({ sensor, time, fields: fields({ t: 21n }), why: 'drift', user: 'Ann' })
    assert.equal(view.fields[1]?.shown?.value, 21n)
    assert.deepEqual(view.fields[1]?.amendments, [
      {
        value: 21n,
        quality: 'good',
        by: one.node,
        at: 1_001,
        over: [{ value: 20, quality: 'good', node: one.node }],
        why: 'drift',
        user: 'Ann',
      },
    ])
    assert.deepEqual(view, await read(one))
  })

  it('amend of the quality alone keeps the value that is shown', async () => {
    await append(one, { t: 20 })
    const view = await one.records.amend({ sensor, time, fields: [{ field: t, quality: 'bad' }] })
    assert.deepEqual(view.fields[0]?.shown, { value: 20, quality: 'bad', type: 'float' })
  })

  it('amend of what is not there is refused unless it may create', async () => {
    await assert.rejects(one.records.amend({ sensor, time, fields: fields({ t: 1 }) }), InvalidInputError)
    await assert.rejects(
      one.records.amend({ sensor, time, fields: [{ field: t, quality: 'bad' }], create: true }),
      InvalidInputError,
    )
    const view = await one.records.amend({ sensor, time, fields: fields({ t: 1 }), create: true })
    assert.equal(view.fields[0]?.shown?.value, 1)
    assert.deepEqual(await shows(one), { t: 1 })
  })

  it('without `seen` an edit that would end a conflict is refused with what stands there', async () => {
    await append(one, { t: 20, h: 1 })
    await append(two, { t: 25, h: 1 })
    sync()
    const refusal = (error: unknown): boolean => {
      assert.ok(error instanceof RecordConflictError && error instanceof ConflictError)
      assert.equal(error.code, 'CONFLICT')
      assert.match(error.message, /t=20 or 25/)
      assert.equal(error.current?.fields[1]?.conflict, 'reading/reading')
      return true
    }
    await assert.rejects(one.records.amend({ sensor, time, fields: fields({ t: 21 }) }), refusal)
    await assert.rejects(one.records.remove({ sensor, time }), refusal)
    await assert.rejects(one.records.resolve({ sensor, time, field: t, choice: { value: 21 } }), refusal)
    await one.records.amend({ sensor, time, fields: fields({ h: 2 }) })
    await one.records.amend({ sensor, time, fields: fields({ t: 21 }), seen: await seenBy(one) })
    assert.deepEqual(await shows(one), { h: 2, t: 21 })
  })

  it('with a `seen` that is out of date an edit is refused with what stands there', async () => {
    await append(one, { t: 20 })
    sync()
    const seen = await seenBy(one)
    assert.equal(seen, await seenBy(two))
    await two.records.amend({ sensor, time, fields: fields({ t: 21 }) })
    sync()
    await assert.rejects(one.records.amend({ sensor, time, fields: fields({ t: 22 }), seen }), (error) => {
      assert.ok(error instanceof RecordConflictError)
      return error.current?.fields[0]?.shown?.value === 21
    })
    await assert.rejects(one.records.remove({ sensor, time, seen: 'x' }), InvalidInputError)
    assert.deepEqual(await shows(one), { t: 21 })
  })

  it('with a `seen` of some fields an edit may decide only those', async () => {
    await append(one, { t: 20, h: 1 })
    await append(two, { t: 25, h: 2 })
    sync()
    let seen = ''
    for await (const record of one.records.query(await one.snapshot(), { fields: [t] })) seen = record.seen
    await assert.rejects(one.records.remove({ sensor, time, seen }), ConflictError)
    await one.records.amend({ sensor, time, fields: fields({ h: 1 }), seen: await seenBy(one) })
    await one.records.resolve({ sensor, time, field: t, choice: { take: two.node }, seen })
    assert.deepEqual(await shows(one), { h: 1, t: 25 })
  })

  it('made at the same time both stand, and a resolution ends it everywhere', async () => {
    await append(one, { t: 20 })
    sync()
    await one.records.amend({ sensor, time, fields: fields({ t: 21 }) })
    await two.records.amend({ sensor, time, fields: fields({ t: 22 }) })
    sync()
    assert.deepEqual(await shows(one), { t: 'amend/amend' })
    assert.deepEqual(await read(one), await read(two))
    await two.records.resolve({ sensor, time, field: t, choice: { take: one.node }, seen: await seenBy(two) })
    sync()
    assert.deepEqual(await shows(one), { t: 21 })
    assert.deepEqual(await read(one), await read(two))
  })

  it('take refuses a node that has nothing or several values', async () => {
    await append(one, { t: 20 })
    await append(one, { t: 21 })
    const seen = await seenBy(one)
    await assert.rejects(one.records.resolve({ sensor, time, field: t, choice: { take: one.node }, seen }), /several/)
    await assert.rejects(one.records.resolve({ sensor, time, field: t, choice: { take: two.node }, seen }), /nothing/)
    await assert.rejects(one.records.resolve({ sensor, time, field: h, choice: { remove: true }, seen }), /no field h/)
  })

  it('remove hides the whole record, and an amendment afterwards brings back exactly its field', async () => {
    await append(one, { t: 20, h: 50 })
    await one.records.remove({ sensor, time, why: 'test run' })
    assert.equal(await read(one), undefined)
    assert.deepEqual(await shows(one), { h: 'removed', t: 'removed' })
    await assert.rejects(one.records.remove({ sensor, time }), InvalidInputError)
    sync()
    await two.records.amend({ sensor, time, fields: fields({ t: 21 }) })
    sync()
    assert.deepEqual(await shows(one), { h: 'removed', t: 21 })
    assert.deepEqual(
      (await read(one))?.fields.map((f) => f.field),
      ['t'],
    )
  })

  it('a field that a removal has not seen stays in sight as a conflict', async () => {
    await append(one, { t: 20 })
    sync()
    await one.records.remove({ sensor, time })
    await append(two, { h: 50 })
    await two.records.amend({ sensor, time, fields: fields({ n: 1 }), create: true })
    sync()
    assert.deepEqual(await shows(one), { h: 'reading/remove', n: 'amend/remove', t: 'removed' })
    assert.deepEqual(await read(one), await read(two))
    assert.deepEqual(
      (await read(one))?.fields.map((f) => f.field),
      ['h', 'n'],
    )
    await one.records.resolve({ sensor, time, field: h, choice: { take: two.node }, seen: await seenBy(one) })
    assert.deepEqual(await shows(one), { h: 50, n: 'amend/remove', t: 'removed' })
  })

  it('a note leaves readings as they are, and states an amendment again with what it covered', async () => {
    await append(one, { t: 20, h: 50 })
    let view = await one.records.amend({ sensor, time, fields: [], note: 'door open' })
    assert.deepEqual(await shows(one), { h: 50, t: 20 })
    assert.deepEqual(view.fields[0]?.amendments, [{ note: 'door open', by: one.node, at: 1_001, over: [] }])
    await one.records.amend({ sensor, time, fields: fields({ t: 21 }) })
    await append(two, { t: 25 })
    sync()
    assert.deepEqual(await shows(one), { h: 50, t: 'reading/amend' })
    view = await one.records.amend({ sensor, time, fields: [{ field: t }], note: 'checked' })
    assert.deepEqual(await shows(one), { h: 50, t: 'reading/amend' })
    assert.deepEqual(
      view.fields[1]?.amendments.map(({ value, note }) => [value, note]),
      [[21, 'checked']],
    )
  })

  it('a sensor that changed its group is edited where its amendments stand, in all of them', async () => {
    await append(one, { t: 20 })
    await append(two, { t: 20 })
    sync()
    await one.records.amend({ sensor, time, fields: fields({ t: 21 }) })
    await two.records.setPolicy({ pattern: 'farm/**' as never, group: 'farm' as GroupName })
    await two.records.amend({ sensor, time, fields: fields({ t: 22 }) })
    sync()
    assert.deepEqual(await shows(one), { t: 'amend/amend' })
    await one.records.resolve({ sensor, time, field: t, choice: { value: 23 }, seen: await seenBy(one) })
    assert.deepEqual(one.outbox.map(({ document }) => document).sort(), [
      amendmentsId(group, sensor, utcDay(time)),
      amendmentsId('farm' as GroupName, sensor, utcDay(time)),
    ])
    sync()
    assert.deepEqual(await shows(one), { t: 23 })
    assert.deepEqual(await read(one), await read(two))
    assert.equal((await read(one))?.fields[0]?.amendments.length, 1)
    await two.records.remove({ sensor, time })
    sync()
    assert.deepEqual(await shows(one), { t: 'removed' })
  })

  it('two at once on one node are done one after the other', async () => {
    await append(one, { t: 20 })
    const seen = await seenBy(one)
    const edits = [21, 22, 23].map((value) => one.records.amend({ sensor, time, fields: fields({ t: value }), seen }))
    const results = await Promise.allSettled(edits)
    assert.deepEqual(results.map((result) => result.status).sort(), ['fulfilled', 'rejected', 'rejected'])
    assert.equal((await read(one))?.fields[0]?.amendments.length, 1)
  })

  it('before the retention mark are refused', async () => {
    await append(one, { t: 20 })
    await one.edit(policyId, async () => new Map([['mark|default', time + 1]]))
    assert.equal(await read(one), undefined)
    await assert.rejects(one.records.amend({ sensor, time, fields: fields({ t: 1 }), create: true }), /retention/)
  })

  it('are refused when they are too large or misshapen', async () => {
    await append(one, { t: 20 })
    for (const request of [
      { sensor, time, fields: [] },
      { sensor, time, fields: [{ field: t }] },
      { sensor, time, fields: fields({ t: Number.NaN }) },
      { sensor, time, fields: [...fields({ t: 1 }), ...fields({ t: 2 })] },
      { sensor, time, fields: [{ field: 'a b' as never, value: 1 }], create: true },
      { sensor, time, fields: fields({ t: 1 }), user: '' },
      { sensor, time: -1, fields: fields({ t: 1 }) },
    ])
      await assert.rejects(one.records.amend(request), InvalidInputError, JSON.stringify(request.fields, String))
    await assert.rejects(one.records.amend({ sensor, time, fields: [], note: 'x'.repeat(501) }), LimitError)
    for (let i = 0; i < 5; i++) await append(one, { s: `${i}${'x'.repeat(1_000)}` })
    await assert.rejects(
      one.records.amend({ sensor, time, fields: fields({ s: 'y' }), seen: await seenBy(one) }),
      LimitError,
    )
  })

  it('entries that do not decode are left out, counted, and overwritten like any other', async () => {
    await append(one, { t: 20 })
    const id = dayDocument(sensor, time)
    await one.edit(id, async () => new Map([[`${time}|t`, Uint8Array.of(1, 2, 3)]]))
    await one.edit(id, async () => new Map([[`${time + usPerDay}|t`, Uint8Array.of(0xa0)]]))
    await one.edit(id, async () => new Map([['nonsense', 5]]))
    assert.deepEqual(await shows(one), { t: 20 })
    assert.equal(one.records.unreadable.get(id), 3)
    await one.records.amend({ sensor, time, fields: fields({ t: 21 }) })
    assert.deepEqual(await shows(one), { t: 21 })
    assert.equal(one.records.unreadable.get(id), 2)
  })

  it('an entry in the name of another node than its signer is left out', async () => {
    await append(one, { t: 20 })
    sync()
    await one.records.amend({ sensor, time, fields: fields({ t: 21 }) })
    const forged = (await (await one.snapshot()).shared(dayDocument(sensor, time))).get(`${time}|t`)?.[0]?.value
    await two.edit(dayDocument(sensor, time), async () => new Map([[`${time}|t`, forged as Uint8Array]]))
    assert.deepEqual(await shows(two), { t: 20 })
    assert.equal(two.records.unreadable.size, 1)
  })
})
