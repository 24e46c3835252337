import assert from 'node:assert/strict'
import type { PeerContext } from '../../src/peer/context.ts'
import { Tasks } from '../../src/peer/context.ts'
import { Gossip } from '../../src/peer/gossip.ts'
import { peerLimits } from '../../src/peer/constants.ts'

describe('gossip', () => {
  it('subscribes to as many topics as a site has groups, and one for what has none, whatever the policy says', async () => {
    const topics = new Set<string>()
    const entries = Array.from({ length: 100 }, (_, n) => ({ group: `group-${n}` }))
    const gossip = new Gossip(
      {
        store: { site: 'site', policy: () => Promise.resolve({ entries }), onChange: () => () => undefined },
        network: { subscribe: (topic: string) => (topics.add(topic), () => topics.delete(topic)) },
        tasks: new Tasks(() => undefined),
      } as unknown as PeerContext,
      { onGap: () => undefined },
    )
    await gossip.start()
    assert.equal(topics.size, peerLimits.gossipTopics)
    gossip.stop()
    assert.equal(topics.size, 0)
  })
})
