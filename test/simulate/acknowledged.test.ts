import assert from 'node:assert/strict'
import { catalogId, type NodeId, type Reading } from '../../src/model/index.ts'
import type { StoreChange } from '../../src/store/index.ts'
import { Acknowledged } from '../../scripts/simulate/acknowledged.ts'
import { compareNodes } from '../../scripts/simulate/compare.ts'
import { readContents, recordKey, type Contents } from '../../scripts/simulate/contents.ts'
import { openTestSite, reading, type TestNode } from '../support/store.ts'

const time = 1_700_000_000_000_000

interface Written {
  readonly acknowledged: Acknowledged
  readonly contents: Contents
  readonly node: TestNode
  readonly reading: Reading
}

/** One node that appended a record and amended it twice, and what was acknowledged. */
async function written(): Promise<Written> {
  const [node] = (await openTestSite(1)) as [TestNode]
  const { store, signer } = node
  const acknowledged = new Acknowledged()
  store.onChange((change) => acknowledged.changed(0, change, 10))
  const record = reading('air', time, { t: 20 })
  await store.append([record], { flush: true })
  acknowledged.appended(0, signer.node, [record], 10)
  for (const value of [21, 22]) {
    const before = (await store.record(record.sensor, time))!
    acknowledged.editing(before, ['t'])
    const after = await store.amend({
      sensor: record.sensor,
      time,
      fields: [{ field: record.fields[0]!.field, value }],
    })
    acknowledged.edited(0, signer.node, before, after, 20)
  }
  return { acknowledged, contents: await readContents(store), node, reading: record }
}

describe('acknowledged', () => {
  it('misses nothing on the node that acknowledged it', async () => {
    const { acknowledged, contents, node } = await written()
    assert.deepEqual(acknowledged.missingIn(contents), [])
    assert.deepEqual(
      compareNodes(
        [
          { name: 'a', contents },
          { name: 'b', contents },
        ],
        acknowledged,
      ),
      [],
    )
    await node.store.close()
  })

  it('sees a record that is not there, with its standing correction', async () => {
    const { acknowledged, contents, node } = await written()
    const missing = acknowledged.missingIn({ ...contents, records: new Map() })
    assert.equal(missing.length, 2)
    assert.match(missing[0]!, /^the reading of air at 2023-11-14T22:13:20Z by node 0$/)
    assert.match(missing[1]!, /^the correction of air at .*, field t, by node 0$/)
    await node.store.close()
  })

  it('sees a value that another one hides', async () => {
    const {
      acknowledged,
      contents,
      node,
      reading: { sensor },
    } = await written()
    const key = recordKey(sensor, time)
    const record = contents.records.get(key)!
    const fields = record.fields.map((field) => ({
      ...field,
      amendments: [],
      readings: [{ ...field.readings[0]!, value: 19 }],
    }))
    const { sensor: name, time: at, seen } = record
    const changed = { ...contents, records: new Map([[key, { sensor: name, time: at, seen, fields }]]) }
    assert.equal(acknowledged.missingIn(changed).length, 2)
    await node.store.close()
  })

  it('sees a change that is not there', async () => {
    const { acknowledged, contents, node } = await written()
    const missing = acknowledged.missingIn({ ...contents, sequences: new Map() })
    assert.equal(missing.length, 3)
    assert.match(missing[0]!, /^change 1 of node 0 \(actor [0-9a-f]{48}\) in journal\.1\//)
    await node.store.close()
  })

  it('asks no more for what a disk has lost and nobody else holds', async () => {
    const { acknowledged, contents, node } = await written()
    const nothing = { ...contents, records: new Map(), sequences: new Map() }
    assert.equal(acknowledged.diskLost(0, 15, [nothing]), 1)
    assert.equal(acknowledged.missingIn(nothing).length, 4, 'what was there before 15 ms still counts')
    await node.store.close()
  })

  it('goes on asking for what another node holds', async () => {
    const { acknowledged, contents, node } = await written()
    const nothing = { ...contents, records: new Map(), sequences: new Map() }
    assert.equal(acknowledged.diskLost(0, 0, [contents]), 0)
    assert.equal(acknowledged.missingIn(nothing).length, 5)
    await node.store.close()
  })

  it('says which nodes differ in what', async () => {
    const { acknowledged, contents, node } = await written()
    const other = { ...contents, digest: 'd'.repeat(64), conflicts: 1 }
    const problems = compareNodes(
      [
        { name: 'a', contents },
        { name: 'b', contents: other },
      ],
      acknowledged,
    )
    assert.match(
      problems.join('\n'),
      /^documents \(digest\) differ: a have [0-9a-f]{16}…; b have dddd.*\nconflicts differ/,
    )
    await node.store.close()
  })

  it('leaves out what came from others', () => {
    const acknowledged = new Acknowledged()
    const change = { state: { id: catalogId }, from: '12D3' as NodeId, changes: { tips: [{ actor: 'a', seq: 1 }] } }
    acknowledged.changed(0, change as unknown as StoreChange, 0)
    assert.deepEqual(acknowledged.missingIn({ sequences: new Map() } as unknown as Contents), [])
  })
})
