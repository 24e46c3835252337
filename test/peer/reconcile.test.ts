import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { encode } from 'cborg'
import * as fc from 'fast-check'
import { RefusedError, type DocumentId } from '../../src/model/index.ts'
import {
  reconcileLimits,
  respondReconcile,
  startReconcile,
  type Difference,
  type ReconcileView,
} from '../../src/peer/reconcile.ts'
import type { DocumentRange } from '../../src/store/index.ts'

type Documents = ReadonlyMap<string, Uint8Array>

/** A set in memory as a snapshot shows it. */
function viewOf(documents: Documents): ReconcileView & { readonly size: number } {
  const ids = [...documents.keys()].sort()
  const sums = [0n]
  for (const id of ids) sums.push((sums.at(-1) as bigint) + BigInt(`0x${hex(documents.get(id) as Uint8Array)}`))
  const rank = (bound: string): number => {
    let [low, high] = [0, ids.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((ids[middle] as string) < bound) low = middle + 1
      else high = middle
    }
    return low
  }
  const ends = ({ from = '', to }: DocumentRange): [number, number] => [
    rank(from),
    to === undefined ? ids.length : rank(to),
  ]
  return {
    size: ids.length,
    fingerprint(range) {
      const [start, end] = ends(range)
      const sum = ((sums[end] as bigint) - (sums[start] as bigint)) % 2n ** 256n
      return Promise.resolve({ count: end - start, sum: Buffer.from(sum.toString(16).padStart(64, '0'), 'hex') })
    },
    split(range, parts) {
      const [start, end] = ends(range)
      const pieces = Math.max(1, Math.min(parts, end - start))
      const bounds = Array.from({ length: pieces - 1 }, (_, i) => {
        const at = start + Math.floor(((end - start) * (i + 1)) / pieces)
        const [before, after] = [ids[at - 1] as string, ids[at] as string]
        let length = 0
        while (before[length] === after[length]) length++
        return after.slice(0, length + 1)
      })
      return Promise.resolve(
        Array.from({ length: pieces }, (_, i) => {
          const from = i === 0 ? range.from : bounds[i - 1]
          const to = i === pieces - 1 ? range.to : bounds[i]
          return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }
        }),
      )
    },
    async *settled(range, limit = Infinity) {
      const [start, end] = ends(range)
      for (let i = start; i < Math.min(end, start + limit); i++) {
        const id = ids[i] as DocumentId
        yield { id, hash: documents.get(id) as Uint8Array }
      }
    },
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const hashOf = (text: string): Uint8Array => createHash('sha256').update(text).digest()
const short = (bytes: Uint8Array | undefined): string | undefined => bytes && hex(bytes).slice(0, 32)

interface Outcome {
  readonly differences: Difference[]
  readonly roundTrips: number
  readonly bytes: number
  readonly largest: number
}

async function reconcile(local: Documents, remote: Documents, range?: DocumentRange): Promise<Outcome> {
  const session = startReconcile(viewOf(local), range)
  const theirs = viewOf(remote)
  const differences: Difference[] = []
  let [roundTrips, bytes, largest] = [0, 0, 0]
  for (let message = await session.next(); message !== undefined; message = await session.next()) {
    const answer = await respondReconcile(theirs, message)
    roundTrips++
    bytes += message.length + answer.length
    largest = Math.max(largest, message.length, answer.length)
    for await (const difference of session.receive(answer)) differences.push(difference)
  }
  return { differences, roundTrips, bytes, largest }
}

/** Sorted lines `id remote local`, hashes cut as on the wire. */
function linesOf(differences: readonly Difference[]): string[] {
  return differences.map(({ id, remote, local }) => `${id} ${short(remote)} ${short(local)}`).sort()
}

function expected(local: Documents, remote: Documents, { from = '', to }: DocumentRange = {}): string[] {
  return [...new Set([...local.keys(), ...remote.keys()])]
    .filter((id) => id >= from && (to === undefined || id < to))
    .filter((id) => short(local.get(id)) !== short(remote.get(id)))
    .map((id) => `${id} ${short(remote.get(id))} ${short(local.get(id))}`)
    .sort()
}

/** Ids as real ones are: journals of some nodes, amendments of many sensors and days. */
function idOf(n: number): string {
  const text = hex(hashOf(`id ${n}`))
  if (n % 3 === 0) return `amendments.2/default/greenhouse-${n % 7}/Luft–é/2026-${(n % 12) + 1}-${n}`
  return `journal.2/default/12D3KooW${text.slice(0, 44 - (n % 20) / 20)}/${text.slice(44, 61)}-${n}`
}

function nodeIdOf(n: number): string {
  const node = hex(hashOf(`node ${n % 40}`)).slice(0, 44)
  return `journal.2/default/12D3KooW${node}/${hex(hashOf(`run ${n}`)).slice(0, 17)}-1`
}

function setOf(numbers: Iterable<number>, id = idOf, version = ''): Map<string, Uint8Array> {
  const documents = new Map<string, Uint8Array>()
  for (const n of numbers) {
    const name = id(n)
    documents.set(name, hashOf(`${name} ${version}`))
  }
  return documents
}

function* range(from: number, to: number): Generator<number> {
  for (let n = from; n < to; n++) yield n
}

/** 10,000 documents on both sides: 40 only here, 40 only there, 20 not the same. */
function farApart(id: (n: number) => string): [Documents, Documents] {
  const [local, remote] = [setOf(range(0, 9_980), id), setOf(range(0, 9_980), id)]
  for (let i = 0; i < 100; i++) {
    const name = id(i * 97)
    if (i < 40) local.delete(name)
    else if (i < 80) remote.delete(name)
    else remote.set(name, hashOf('other'))
  }
  return [local, remote]
}

describe('reconciliation of settled documents', () => {
  it('takes one round trip of under 200 bytes when both sides hold the same', async () => {
    for (const size of [0, 1, 33, 10_000]) {
      const { differences, roundTrips, bytes } = await reconcile(setOf(range(0, size)), setOf(range(0, size)))
      assert.deepEqual([differences, roundTrips], [[], 1])
      assert.ok(bytes < 200, `${bytes} bytes`)
    }
  })

  it('finds 100 differences of 10,000 documents in at most 4 round trips and 40,000 bytes', async () => {
    for (const id of [idOf, nodeIdOf]) {
      const [local, remote] = farApart(id)
      const { differences, roundTrips, bytes } = await reconcile(local, remote)
      assert.deepEqual(linesOf(differences), expected(local, remote))
      assert.equal(differences.length, 100)
      assert.ok(roundTrips <= 4 && bytes < 40_000, `${roundTrips} round trips, ${bytes} bytes`)
    }
  })

  it('finds exactly the differences of any two sets, each once', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          common: fc.oneof(fc.nat(40), fc.nat(3_000)),
          local: fc.oneof(fc.nat(3), fc.nat(40), fc.nat(2_000)),
          remote: fc.oneof(fc.nat(3), fc.nat(40), fc.nat(2_000)),
          changed: fc.nat(50),
          offset: fc.nat(1_000),
          from: fc.option(fc.nat(9_000).map(idOf), { nil: undefined }),
          to: fc.option(fc.nat(9_000).map(idOf), { nil: undefined }),
        }),
        async ({ common, local, remote, changed, offset, from, to }) => {
          const shared = setOf(range(offset, offset + common))
          const here = new Map([...shared, ...setOf(range(4_000, 4_000 + local))])
          const there = new Map([...shared, ...setOf(range(6_000, 6_000 + remote))])
          for (const id of [...shared.keys()].slice(0, changed)) there.set(id, hashOf(`${id} changed`))
          const bounds = {
            ...(from === undefined ? {} : { from }),
            ...(to === undefined || to <= (from ?? '') ? {} : { to }),
          }
          const { differences, roundTrips, largest } = await reconcile(here, there, bounds)
          assert.deepEqual(linesOf(differences), expected(here, there, bounds))
          assert.ok(largest <= reconcileLimits.messageBytes)
          assert.ok(roundTrips <= 12, `${roundTrips} round trips`)
        },
      ),
      { numRuns: 60 },
    ))

  it('finds differences that are all in one place, or next to each other everywhere', async () => {
    const all = [...setOf(range(0, 2_400)).keys()].sort()
    const pick = (keep: (at: number) => boolean, version = ''): Documents =>
      new Map(all.filter((_, at) => keep(at)).map((id) => [id, hashOf(id + version)]))
    const views: Documents[] = [
      new Map(),
      pick((at) => at < 1_200),
      pick((at) => at >= 1_190),
      pick((at) => at % 2 === 0),
      pick((at) => at % 2 === 1),
      pick((at) => at === 2_399),
      pick(() => true),
      pick(() => true, 'changed'),
    ]
    for (const local of views)
      for (const remote of views)
        assert.deepEqual(linesOf((await reconcile(local, remote)).differences), expected(local, remote))
  })

  it('keeps messages under 64 KiB and goes on in further rounds when everything differs', async () => {
    const full = setOf(range(0, 10_000))
    for (const [local, remote] of [
      [new Map(), full],
      [full, new Map()],
      [full, setOf(range(10_000, 20_000))],
      [full, setOf(range(0, 10_000), idOf, 'changed')],
    ] as [Documents, Documents][]) {
      const { differences, roundTrips, largest } = await reconcile(local, remote)
      assert.deepEqual(linesOf(differences), expected(local, remote))
      assert.ok(largest <= reconcileLimits.messageBytes, `${largest} bytes`)
      assert.ok(roundTrips < 40, `${roundTrips} round trips`)
    }
  })

  it('answers the same to the same message: the responder keeps nothing', async () => {
    const [local, remote] = farApart(idOf)
    const session = startReconcile(viewOf(local))
    const message = (await session.next()) as Uint8Array
    const view = viewOf(remote)
    assert.deepEqual(await respondReconcile(view, message), await respondReconcile(view, message))
  })

  it('refuses to go on before an answer was received', async () => {
    const session = startReconcile(viewOf(new Map()))
    await session.next()
    await assert.rejects(session.next(), { code: 'INVALID_INPUT' })
  })
})

describe('reconciliation with a peer that lies or sends noise', () => {
  const local = setOf(range(0, 400))
  const remote = setOf(range(200, 700))

  /** Runs a session against any responder; gives the number of messages, or the error that ended it. */
  async function run(
    documents: Documents,
    respond: (message: Uint8Array, round: number) => Promise<Uint8Array> | Uint8Array,
  ): Promise<{ rounds: number; found: number; error?: unknown }> {
    const session = startReconcile(viewOf(documents))
    let [rounds, found] = [0, 0]
    try {
      for (let message = await session.next(); message !== undefined; message = await session.next())
        for await (const difference of session.receive(await respond(message, rounds++))) if (difference.id) found++
    } catch (error) {
      return { rounds, found, error }
    }
    return { rounds, found }
  }

  const isRefused = (error: unknown): void => {
    if (!(error instanceof RefusedError)) throw error
  }
  const isRefusedOrNone = (error: unknown): void => {
    if (error !== undefined) isRefused(error)
  }

  it('gives nothing but RefusedError for random bytes', () =>
    fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        await respondReconcile(viewOf(remote), bytes).catch(isRefused)
        isRefusedOrNone((await run(local, () => bytes)).error)
      }),
      { numRuns: 500 },
    ))

  it('gives nothing but RefusedError for well-formed CBOR of any other shape', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.integer({ min: -1, max: 3 }),
            fc.array(
              fc.oneof(
                fc.integer({ min: 0, max: 40 }),
                fc.uint8Array({ maxLength: 40 }),
                fc.array(fc.oneof(fc.integer({ min: -1, max: 400 }), fc.uint8Array({ maxLength: 20 }), fc.string()), {
                  maxLength: 6,
                }),
                fc.constantFrom(null, 'text', {}, 1.5),
              ),
              { maxLength: 5 },
            ),
          ),
          { maxLength: 6 },
        ),
        async (entries) => {
          const bytes = encode([1, ...entries])
          await respondReconcile(viewOf(remote), bytes).catch(isRefused)
          isRefusedOrNone((await run(local, () => bytes)).error)
        },
      ),
      { numRuns: 500 },
    ))

  it('gives nothing but RefusedError for messages with some bytes changed, cut or added', () =>
    fc.assert(
      fc.asyncProperty(
        fc.nat(4),
        fc.boolean(),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat(), { nil: undefined }),
        async (round, ofAnswer, changes, length) => {
          const mutate = (bytes: Uint8Array): Uint8Array => {
            const changed = Uint8Array.from(bytes)
            for (const [at, byte] of changes) changed[at % changed.length] = byte
            return length === undefined ? changed : changed.subarray(0, length % (changed.length + 1))
          }
          const view = viewOf(remote)
          const { error } = await run(local, async (message, at) => {
            if (at !== round) return respondReconcile(view, message)
            return ofAnswer ? mutate(await respondReconcile(view, message)) : respondReconcile(view, mutate(message))
          })
          isRefusedOrNone(error)
        },
      ),
      { numRuns: 200 },
    ))

  it('ends when every fingerprint the peer sends is made up', async () => {
    let n = 0
    const honest = viewOf(remote)
    const liar: ReconcileView = {
      ...honest,
      fingerprint: () => Promise.resolve({ count: 99, sum: hashOf(`lie ${n++}`) }),
    }
    const { rounds, error } = await run(setOf(range(0, 3_000)), (message) => respondReconcile(liar, message))
    isRefusedOrNone(error)
    assert.ok(rounds < 50, `${rounds} rounds`)
  })

  it('ends after a bounded number of rounds with a peer that never comes to an end of its list', async () => {
    const name = (round: number): string => `doc.1/${String(round).padStart(6, '0')}`
    const { rounds, found, error } = await run(new Map(), (_, round) => {
      const dropped = (text: string, previous: string): unknown[] => [previous.length, Buffer.from(text)]
      // One item a message, and the list is cut right behind it.
      const [from, item, cut] = [round === 0 ? '' : `${name(round - 1)}x`, name(round), `${name(round)}x`]
      return encode([1, [1, [...dropped(item, from), ...dropped(cut, item)], hashOf(item).subarray(0, 16)]])
    })
    isRefused(error)
    assert.match((error as Error).message, /no end after/)
    assert.deepEqual([rounds, found], [reconcileLimits.rounds, reconcileLimits.rounds])
  })

  it('refuses an answer that splits a range into itself', async () => {
    const { error } = await run(local, () => encode([1, [0, [], [999], hashOf('lie').subarray(0, 16)]]))
    isRefused(error)
    assert.match((error as Error).message, /leads nowhere/)
  })

  it('refuses documents and bounds outside the range that was asked about', async () => {
    const hash = hashOf('lie').subarray(0, 16)
    const text = (id: string): unknown[] => [0, Buffer.from(id)]
    const session = startReconcile(viewOf(new Map()), { from: 'b.1', to: 'c.1' })
    const answers = [
      [1, [...text(''), ...text('')], hash],
      [1, [3, Buffer.from('a.1/x')], hash],
      [1, [3, Buffer.from('c.1/x')], hash],
      [0, [3, Buffer.from('d.1/x')], [1, 1], Buffer.concat([hash, hash])],
    ]
    await session.next()
    for (const answer of answers)
      await assert.rejects(async () => {
        for await (const _ of session.receive(encode([1, answer]))) assert.fail('nothing may come of it')
      }, RefusedError)
  })

  it('refuses messages that are too large, nest too deep, ask too much or overlap', async () => {
    const view = viewOf(remote)
    const bytes = (id: string): Uint8Array => Buffer.from(id)
    // Ranges [10000, 10000x), [10001, 10001x) …
    const asked = (count: number): Uint8Array =>
      encode(
        [1, ...range(0, count)].map((n, i) =>
          i === 0 ? 1 : [2, [i === 1 ? 0 : 6, bytes(`${10_000 + n}`), 0, bytes('x')]],
        ),
      )
    assert.ok((await respondReconcile(view, asked(reconcileLimits.ranges))).length > reconcileLimits.ranges)
    await assert.rejects(respondReconcile(view, new Uint8Array(reconcileLimits.messageBytes + 1)), /more than 65536/)
    await assert.rejects(respondReconcile(view, new Uint8Array(60_000).fill(0x81)), RefusedError)
    await assert.rejects(respondReconcile(view, asked(reconcileLimits.ranges + 1)), /more than 2048 ranges/)
    await assert.rejects(
      respondReconcile(view, encode([1, [2, [0, bytes('b')]], [2, [0, bytes('c')]]])),
      /not in order/,
    )
    await assert.rejects(respondReconcile(view, encode([1])), /without a question/)
    await assert.rejects(respondReconcile(view, encode([2, [2, [0, bytes('b')]]])), /version 2/)
  })
})
