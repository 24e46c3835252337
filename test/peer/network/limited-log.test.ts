import assert from 'node:assert/strict'
import { createVirtualClock } from '../../../src/peer/index.ts'
import { limitedLog, logLines, logWindowMs } from '../../../src/peer/network/limited-log.ts'

describe('limited log', () => {
  it('writes so many lines a minute of what others provoke, and says how many it left out', async () => {
    const clock = createVirtualClock(0)
    const lines: [string, Record<string, unknown>][] = []
    const log = limitedLog((_level, message, fields) => lines.push([message, fields]), clock)
    for (let n = 0; n < logLines + 7; n++) log('warn', 'a join was refused', { n })
    for (let n = 0; n < 3; n++) log('warn', 'a gossip message was not stored', { n })
    const count = (message: string): number => lines.filter((line) => line[0] === message).length
    assert.deepEqual([count('a join was refused'), count('a gossip message was not stored')], [logLines, 3])
    await clock.runFor(logWindowMs)
    const left = lines.filter(([message]) => message === 'lines were left out of the log')
    assert.deepEqual(
      left.map(([, fields]) => fields),
      [{ of: 'a join was refused', count: 7 }],
    )
    log('warn', 'a join was refused', {})
    assert.equal(count('a join was refused'), logLines + 1)
  })

  it('leaves nothing out of what this node does itself', () => {
    let lines = 0
    const log = limitedLog(() => lines++, createVirtualClock(0))
    for (let n = 0; n < 1_000; n++) log('info', 'a peer connected', {})
    assert.equal(lines, 1_000)
  })
})
