import assert from 'node:assert/strict'
import { encode } from 'cborg'
import * as fc from 'fast-check'
import { HedgerowError, RefusedError, type ActorId, type ChangeHash, type DocumentId } from '../../src/model/index.ts'
import {
  decodeGossip,
  decodeHello,
  decodeJoin,
  decodeMembers,
  decodePull,
  decodeState,
  encodePull,
  encodeState,
  type StateReport,
} from '../../src/peer/messages.ts'
import { testIdentity } from './site.ts'

const decoders = { decodeGossip, decodeHello, decodeJoin, decodeMembers, decodePull, decodeState }
const { node } = testIdentity(1)

function actor(n: number): ActorId {
  return n.toString(16).padStart(48, '0') as ActorId
}

const hash = 'ab'.repeat(32) as ChangeHash

describe('messages', () => {
  for (const [name, decode] of Object.entries(decoders)) {
    it(`${name} refuses any bytes that are not its message, and throws nothing else`, () => {
      const words = fc.constantFrom(
        'hello',
        'ready',
        'redeem',
        'digest',
        'keys',
        'states',
        'ask',
        'pull',
        'changes',
        'seal',
      )
      const cbor = fc
        .tuple(words, fc.array(fc.oneof(fc.integer(), fc.string(), fc.uint8Array(), fc.array(fc.anything()))))
        .map(([word, rest]) => {
          try {
            return encode([word, ...rest])
          } catch {
            // Not everything has a CBOR form.
            return encode([word])
          }
        })
      fc.assert(
        fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), cbor), (bytes) => {
          try {
            decode(bytes)
          } catch (error) {
            assert.ok(error instanceof HedgerowError && error instanceof RefusedError, String(error))
          }
        }),
        { numRuns: 500 },
      )
    })

    it(`${name} refuses what is nested without end`, () => {
      assert.throws(() => decode(new Uint8Array(1_000_000).fill(0x81)), RefusedError)
    })
  }

  it('states come back as they were sent', () => {
    const states: StateReport[] = [
      {
        id: `journal.1/default/${node}/00abcdefg01234567-1` as DocumentId,
        tips: [{ actor: actor(1), seq: 3, hash, records: 7, bytes: 99 }],
        settled: true,
        seal: 'cd'.repeat(32),
      },
      { id: 'catalog.1' as DocumentId, tips: [], settled: false },
    ]
    assert.deepEqual(decodeState(encodeState({ kind: 'answer', states, last: true })), {
      kind: 'answer',
      states,
      last: true,
    })
  })

  it('tips have to be sorted by actor, each once', () => {
    const tips = [2, 1].map((n) => ({ actor: actor(n), seq: 1, hash, records: 1, bytes: 1 }))
    const states = [{ id: 'catalog.1' as DocumentId, tips, settled: false }]
    assert.throws(() => decodeState(encodeState({ kind: 'states', states })), RefusedError)
  })

  it('a transfer larger than a document may be is refused before it begins', () => {
    const lengths = Array.from({ length: 20 }, () => 5_000_000)
    assert.throws(() => decodePull(encodePull({ kind: 'changes', tips: [], lengths })), RefusedError)
  })

  it('a hello of another version is told so', () => {
    assert.deepEqual(decodeHello(encode(['hello', 2, 'whatever'])), { kind: 'refused', reason: 'version' })
  })
})
