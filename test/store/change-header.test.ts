import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import * as A from '@automerge/automerge'
import fc from 'fast-check'
import { RefusedError } from '../../src/model/index.ts'
import { readChangeHeader } from '../../src/store/change.ts'
import { flipped } from '../support/faulty-engine.ts'

const actorOf = (n: number): string => createHash('sha256').update(`${n}`).digest('hex').slice(0, 48)

interface Put {
  readonly actor: number
  readonly key: string
  readonly size: number
  readonly time: number
}

const puts = fc.array(
  fc.record<Put>({
    actor: fc.integer({ min: 0, max: 3 }),
    key: fc.string({ maxLength: 40 }),
    size: fc.integer({ min: 0, max: 2000 }),
    time: fc.oneof(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), fc.integer({ min: -1e6, max: 200 })),
  }),
  { minLength: 1, maxLength: 12 },
)

/** Changes of several actors that merge now and then, as Automerge writes them. */
function changesOf(list: readonly Put[]): Uint8Array[] {
  const handles = [0, 1, 2, 3].map((n) => A.getBackend(A.init({ actor: actorOf(n) })))
  const changes: Uint8Array[] = []
  for (const [i, { actor, key, size, time }] of list.entries()) {
    const handle = handles[actor] as (typeof handles)[number]
    if (i % 3 === 2) handle.applyChanges([...changes])
    handle.put('_root', key, new Uint8Array(size).fill(i), 'bytes')
    handle.commit(undefined, time)
    changes.push(handle.getLastLocalChange() as Uint8Array)
  }
  for (const handle of handles) handle.free()
  return changes
}

describe('change header', () => {
  it('reads what Automerge wrote', () => {
    fc.assert(
      fc.property(puts, (list) => {
        for (const chunk of changesOf(list)) {
          const { hash, deps, actor, seq, time } = A.decodeChange(chunk)
          const { end, ...header } = readChangeHeader(chunk)
          assert.ok(end < chunk.length)
          assert.deepEqual(header, { hash, deps, actor, seq, time })
        }
      }),
      { numRuns: 100 },
    )
  })

  it('refuses every flipped bit, every truncation and every byte too many', () => {
    const chunk = changesOf([{ actor: 0, key: 'k', size: 20, time: 1_700_000_000_000_000 }])[0] as Uint8Array
    for (let bit = 0; bit < chunk.length * 8; bit++)
      assert.throws(() => readChangeHeader(flipped(chunk, bit)), RefusedError, `bit ${bit}`)
    for (let length = 0; length < chunk.length; length++)
      assert.throws(() => readChangeHeader(chunk.subarray(0, length)), RefusedError)
    assert.throws(() => readChangeHeader(Buffer.concat([chunk, Buffer.of(0)])), RefusedError)
  })

  it('throws nothing else on random bytes, whatever their checksum says', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (body) => {
        const content = Buffer.concat([Buffer.of(1, ...leb(body.length)), body])
        const checksum = createHash('sha256').update(content).digest().subarray(0, 4)
        try {
          readChangeHeader(Buffer.concat([Buffer.of(0x85, 0x6f, 0x4a, 0x83), checksum, content]))
        } catch (error) {
          assert.ok(error instanceof RefusedError, String(error))
        }
      }),
    )
  })

  it('refuses whole documents and compressed changes', () => {
    const handle = A.getBackend(A.init())
    handle.put('_root', 'k', new Uint8Array(2000), 'bytes')
    handle.commit()
    assert.throws(() => readChangeHeader(handle.save()), RefusedError)
    const chunk = Buffer.from(handle.getLastLocalChange() as Uint8Array)
    chunk[8] = 2
    assert.throws(() => readChangeHeader(chunk), /type 2/)
    handle.free()
  })
})

function leb(n: number): number[] {
  const bytes: number[] = []
  for (let rest = n; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest]
    bytes.push((rest % 128) | 128)
  }
}
