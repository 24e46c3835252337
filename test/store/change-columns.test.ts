import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { RefusedError, type ActorId } from '../../src/model/index.ts'
import { newHandle } from '../../src/store/automerge.ts'
import { checkOperations, readChangeHeader } from '../../src/store/change.ts'

/** A change chunk whose action column is what is given. */
function changeWith(column: readonly number[], specification = 0x42): Uint8Array {
  const content = Buffer.from([
    0,
    24,
    ...Buffer.alloc(24, 7),
    1,
    1,
    0,
    0,
    0,
    1,
    specification,
    column.length,
    ...column,
  ])
  const body = Buffer.concat([Buffer.of(1, content.length), content])
  return Buffer.concat([
    Buffer.of(0x85, 0x6f, 0x4a, 0x83),
    createHash('sha256').update(body).digest().subarray(0, 4),
    body,
  ])
}

function check(chunk: Uint8Array): void {
  checkOperations(chunk, readChangeHeader(chunk))
}

describe('operations of a change', () => {
  it('that Automerge made are let through', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.string({ maxLength: 20 }),
            fc.oneof(fc.string(), fc.boolean(), fc.double(), fc.integer(), fc.uint8Array()),
          ),
        ),
        (puts) => {
          const handles = ['aa', 'bb'].map((actor) => newHandle(actor.repeat(24) as ActorId))
          for (const handle of handles) {
            for (const [key, value] of puts)
              handle.put(
                '_root',
                key,
                value,
                value instanceof Uint8Array ? 'bytes' : typeof value === 'number' ? 'f64' : undefined,
              )
            handle.put('_root', 'last', 1, 'int')
            handle.commit(undefined, 1_700_000_000_000_000)
          }
          const [a, b] = handles as [ReturnType<typeof newHandle>, ReturnType<typeof newHandle>]
          a.applyChanges(b.getChanges([]))
          a.put('_root', 'last', 2, 'int')
          a.commit(undefined, 1)
          for (const chunk of a.getChanges([])) check(chunk)
          for (const handle of handles) handle.free()
        },
      ),
      { numRuns: 200 },
    )
  })

  it('that are claimed by the million in a few bytes are refused without being built', () => {
    // Runs of 4,000,000 equal values, of absent values, and a column of booleans.
    assert.throws(() => check(changeWith([0x80, 0x92, 0xf4, 0x01, 1])), RefusedError)
    assert.throws(() => check(changeWith([0, 0x80, 0x92, 0xf4, 0x01])), RefusedError)
    assert.throws(() => check(changeWith([0x80, 0x92, 0xf4, 0x01], 0x34)), RefusedError)
    assert.throws(() => check(changeWith([1, 1], 0x4a)), /compressed/)
    check(changeWith([1, 1]))
  })

  it('that are cut short are refused', () => {
    for (const column of [[0x80], [5], [0x70, 1, 1], [1]]) assert.throws(() => check(changeWith(column)), RefusedError)
  })
})
