import assert from 'node:assert/strict'
import { deflateRawSync } from 'node:zlib'
import { DamagedError, type ActorId } from '../../src/model/index.ts'
import { newHandle } from '../../src/store/automerge.ts'
import { checkSealedChunk } from '../../src/store/sealed-chunk.ts'

/** A saved document with one column of operations. */
function chunkWith(specification: number, column: Uint8Array): Uint8Array {
  const length: number[] = []
  for (let left = column.length; ; left >>>= 7) {
    length.push(left >= 0x80 ? (left & 0x7f) | 0x80 : left)
    if (left < 0x80) break
  }
  const head = [0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 0, 0, 1, 24, ...Buffer.alloc(24, 7), 1, ...Buffer.alloc(32)]
  return Buffer.from([...head, 0, 1, specification, ...length, ...column])
}

describe('a sealed chunk', () => {
  it('of as many changes as a journal may have is let through', () => {
    const handle = newHandle('ab'.repeat(24) as ActorId)
    for (let seq = 1; seq <= 8_192; seq++) {
      handle.put('_root', String(seq), new Uint8Array(20).fill(seq), 'bytes')
      handle.commit(undefined, 1_700_000_000_000_000 + seq * 1_000_003)
    }
    checkSealedChunk(handle.save())
    handle.free()
  })

  it('that claims millions of operations in a few bytes is refused without being built', () => {
    const run = Buffer.from([0x80, 0x92, 0xf4, 0x01, 1])
    checkSealedChunk(chunkWith(0x42, Buffer.from([1, 1])))
    assert.throws(() => checkSealedChunk(chunkWith(0x42, run)), DamagedError)
    assert.throws(() => checkSealedChunk(chunkWith(0x4a, deflateRawSync(run))), DamagedError)
  })

  it('that unpacks to more than a seal may cover is refused', () => {
    const bomb = deflateRawSync(Buffer.alloc(20_000_000), { level: 9 })
    assert.ok(bomb.length < 30_000)
    assert.throws(() => checkSealedChunk(chunkWith(0x5f, bomb)), /too large/)
  })

  it('that is cut short, or none, is refused', () => {
    const chunk = chunkWith(0x42, Buffer.from([1, 1]))
    for (let length = 0; length < chunk.length; length++)
      assert.throws(() => checkSealedChunk(chunk.subarray(0, length)), DamagedError, String(length))
  })
})
