import assert from 'node:assert/strict'
import { isSendersFault } from '../../src/peer/blame.ts'
import { appendSome, createTestSite, startUs, testIdentity } from './site.ts'

describe('blame for refused changes', () => {
  it('is with the sender for its own changes and for bytes that are none, and with the author for whole ones of another', async () => {
    await using site = await createTestSite(1)
    const [node] = site.nodes
    assert.ok(node !== undefined)
    await appendSome(node, 3)
    await appendSome(node, 3, startUs + 3_600_000_000)
    await using snapshot = await node.store.snapshot()
    const [state] = await Array.fromAsync(snapshot.documents())
    assert.ok(state !== undefined)
    const { changes } = await snapshot.changesSince(state.id, [])
    const other = testIdentity(7).node
    assert.equal(changes.length, 2)
    assert.equal(isSendersFault(node.node, changes), true)
    assert.equal(isSendersFault(other, changes), false)
    assert.equal(isSendersFault(other, []), true)
    for (let at = 0; at < 60; at++) {
      const flipped = Uint8Array.from(changes[1] as Uint8Array)
      flipped[at] = (flipped[at] as number) ^ 0x11
      assert.equal(isSendersFault(other, [changes[0] as Uint8Array, flipped]), true, `byte ${at}`)
      assert.equal(isSendersFault(other, [flipped.subarray(0, at)]), true, `${at} bytes`)
    }
  })
})
