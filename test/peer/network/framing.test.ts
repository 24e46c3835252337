import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { RefusedError } from '../../../src/model/index.ts'
import { endOfMessages, FrameDecoder, frameHeader } from '../../../src/peer/network/framing.ts'
import { supersedes } from '../../../src/peer/network/links.ts'
import { nodeIdOf } from '../../../src/model/index.ts'

describe('framing', () => {
  it('gives back every message, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 }),
        (messages, cuts) => {
          const stream = Buffer.concat([...messages.flatMap((m) => [frameHeader(m.length), m]), endOfMessages])
          const decoder = new FrameDecoder(300)
          const got: (Uint8Array | 'end')[] = []
          for (let at = 0, i = 0; at < stream.length; i++) {
            const end = at + cuts[i % cuts.length]!
            decoder.push(stream.subarray(at, end))
            at = end
            for (let message = decoder.next(); message !== undefined; message = decoder.next()) got.push(message)
          }
          assert.equal(got.pop(), 'end')
          assert.deepEqual(
            got.map((m) => Buffer.from(m).toString('hex')),
            messages.map((m) => Buffer.from(m).toString('hex')),
          )
          assert.equal(decoder.bufferedBytes, 0)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('refuses a message above the limit by its header alone', () => {
    const decoder = new FrameDecoder(1000)
    decoder.push(frameHeader(1001))
    assert.throws(() => decoder.next(), RefusedError)
    const endless = new FrameDecoder(1000)
    endless.push(new Uint8Array(5).fill(0xff))
    assert.throws(() => endless.next(), RefusedError)
  })
})

describe('choice between two connections to one node', () => {
  const [low, high] = [nodeIdOf(new Uint8Array(32).fill(1)), nodeIdOf(new Uint8Array(32).fill(2))].sort() as [
    ReturnType<typeof nodeIdOf>,
    ReturnType<typeof nodeIdOf>,
  ]

  it('comes to the same end on both sides when both dialled at once, in whatever order they saw it', () => {
    const byLow = { inbound: false, openedMs: 0 }
    const byHigh = { inbound: true, openedMs: 1 }
    const flip = (link: typeof byLow): typeof byLow => ({ ...link, inbound: !link.inbound })
    // At the lower node, then at the higher one; what the lower dialled stays.
    assert.equal(supersedes(byLow, byHigh, low, high), false)
    assert.equal(supersedes({ ...byHigh, openedMs: 0 }, { ...byLow, openedMs: 1 }, low, high), true)
    assert.equal(supersedes(flip(byLow), flip(byHigh), high, low), false)
    assert.equal(supersedes({ ...flip(byHigh), openedMs: 0 }, { ...flip(byLow), openedMs: 1 }, high, low), true)
  })

  it('takes the newer one when the older is from before, as after a power cut', () => {
    const old = { inbound: false, openedMs: 0 }
    const next = { inbound: true, openedMs: 60_000 }
    assert.equal(supersedes(old, next, low, high), true)
    assert.equal(supersedes({ inbound: true, openedMs: 0 }, { inbound: true, openedMs: 10 }, low, high), true)
  })
})
