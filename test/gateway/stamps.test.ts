import assert from 'node:assert/strict'
import { createStamper } from '../../src/gateway/stamps.ts'
import { initDirectory, openClient, openNode } from '../../src/gateway/index.ts'
import { parseFieldName, parseSensorId, systemClock, systemRandom, type TimeUs } from '../../src/model/index.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

const [a, b] = [parseSensorId('a'), parseSensorId('b')]
const stopped = { ...systemClock, nowUs: (): TimeUs => 1_700_000_000_000_000 }
const untimed = (sensor: typeof a, value = 1) => ({
  sensor,
  time: undefined,
  fields: [{ field: parseFieldName('v'), value }],
})

describe('stamps', () => {
  it('are strictly increasing for each sensor while the clock stands still or steps back', () => {
    let now = 1_000
    const stamp = createStamper({ ...systemClock, nowUs: () => now })
    const times = stamp([untimed(a), untimed(a), untimed(b), { ...untimed(a), time: 7 }]).map(({ time }) => time)
    assert.deepEqual(times, [1_000, 1_001, 1_000, 7])
    now = 500
    assert.deepEqual(
      stamp([untimed(a), untimed(b)]).map(({ time }) => time),
      [1_002, 1_001],
    )
  })

  it('of two clients of one node in one millisecond differ, so that no value hides another', async () => {
    await using dir = await temporaryDirectory()
    await initDirectory(dir.path, { clock: systemClock, random: systemRandom })
    await using node = await openNode({
      dir: dir.path,
      mode: 'run',
      clock: stopped,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
    })
    await using one = await openClient(dir.path)
    await using other = await openClient(dir.path)
    await Promise.all([
      one.call('append', { readings: [untimed(a, 1)], flush: true }),
      other.call('append', { readings: [untimed(a, 2)], flush: true }),
    ])
    const records = await Array.fromAsync(node.store.query())
    assert.deepEqual(
      records.map(({ fields }) => fields[0]?.conflict),
      [undefined, undefined],
    )
  })
})
