import assert from 'node:assert/strict'
import { encode } from 'cborg'
import * as fc from 'fast-check'
import {
  HedgerowError,
  limits,
  RefusedError,
  type ActorId,
  type ChangeHash,
  type DocumentId,
} from '../../src/model/index.ts'
import { networkLimits } from '../../src/peer/index.ts'
import {
  decodeGossip,
  decodeHello,
  decodeJoin,
  decodeMembers,
  decodePull,
  decodeState,
  encodeMembers,
  encodePull,
  encodeState,
  type StateReport,
} from '../../src/peer/messages.ts'
import { addressOf, testIdentity } from './site.ts'

const decoders = { decodeGossip, decodeHello, decodeJoin, decodeMembers, decodePull, decodeState }
const { node } = testIdentity(1)

function actor(n: number): ActorId {
  return n.toString(16).padStart(48, '0') as ActorId
}

const hash = 'ab'.repeat(32) as ChangeHash

describe('messages', () => {
  it('leave out addresses that nobody can dial or that belong to another node, and keep the rest', () => {
    const other = testIdentity(2).node
    const said = ['nonsense', '/ip4/300.1.1.1/tcp/1', addressOf(other), addressOf(node), '/ip4/10.0.0.1/tcp/47474']
    const message = decodeMembers(encodeMembers({ kind: 'same', known: [{ node, addresses: said }] }))
    assert.deepEqual(message, {
      kind: 'same',
      known: [{ node, addresses: [addressOf(node), '/ip4/10.0.0.1/tcp/47474'] }],
    })
  })

  it('carry a document of as many changes as the store takes', () => {
    const count = 4 * limits.documentKeys
    const lengths = Array.from({ length: count }, () => Math.floor(limits.documentBytes / count))
    const bytes = encodePull({ kind: 'changes', tips: [], lengths })
    assert.ok(bytes.length <= networkLimits.messageBytes, `${bytes.length} bytes`)
    const message = decodePull(bytes)
    assert.equal(message.kind === 'changes' && message.lengths.length, count)
  })

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
