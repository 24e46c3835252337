import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { DamagedError, type DocumentId } from '../../src/model/index.ts'
import {
  applyFingerprintChanges,
  fingerprintRows,
  listRange,
  rangeFingerprint,
  splitRange,
  type OrderedReader,
  type RowOperation,
} from '../../src/store/fingerprints.ts'
import type { DocumentRange } from '../../src/store/types.ts'

/** A sorted table in memory that counts the rows it hands out. */
class Table implements OrderedReader {
  readonly rows = new Map<string, Uint8Array>()
  #keys: string[] = []
  reads = 0

  get(key: string): Promise<Uint8Array | undefined> {
    this.reads++
    return Promise.resolve(this.rows.get(key))
  }

  async *range(
    from: string,
    to: string,
    { reverse = false, limit = Infinity }: { reverse?: boolean; limit?: number } = {},
  ): AsyncGenerator<readonly [string, Uint8Array]> {
    this.reads++
    let [start, end] = [this.#rank(from), this.#rank(to)]
    for (let given = 0; start < end && given < limit; given++) {
      const key = this.#keys[reverse ? --end : start++] as string
      this.reads++
      yield [key, this.rows.get(key) as Uint8Array]
    }
  }

  write(operations: readonly RowOperation[]): void {
    for (const operation of operations) {
      const at = this.#rank(operation.key)
      const present = this.#keys[at] === operation.key
      if (operation.type === 'put') {
        if (!present) this.#keys.splice(at, 0, operation.key)
        this.rows.set(operation.key, operation.value)
      } else {
        if (present) this.#keys.splice(at, 1)
        this.rows.delete(operation.key)
      }
    }
  }

  #rank(key: string): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#keys[middle] as string) < key) low = middle + 1
      else high = middle
    }
    return low
  }
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

const hashOf = (text: string): Uint8Array => new Uint8Array(createHash('sha256').update(text).digest())
const level = (id: string): number => /^0*/.exec(Buffer.from(hashOf(id)).toString('hex'))?.[0].length ?? 0

/** Ids of which about a third are boundaries, up to level 4: small sets then have all the structure of large ones. */
const ids = ((): string[] => {
  const found: string[] = []
  const wanted = [80, 25, 10, 4, 1]
  const units = ['a', 'é', '\uE000', '\uFFFD', '/']
  for (let n = 0; wanted.some((count) => count > 0); n++) {
    const id = `doc.1/${units[n % units.length]}${(n * 7919) % 65_537}`
    if ((wanted[level(id)] ?? 0) > 0) {
      found.push(id)
      wanted[level(id)] = (wanted[level(id)] as number) - 1
    }
  }
  return found
})()

function naive(model: ReadonlyMap<string, Uint8Array>, { from, to }: DocumentRange): { count: number; sum: bigint } {
  let [count, sum] = [0, 0n]
  for (const [id, hash] of model) {
    if ((from !== undefined && id < from) || (to !== undefined && id >= to)) continue
    count++
    sum += BigInt(`0x${Buffer.from(hash).toString('hex')}`)
  }
  return { count, sum: sum % 2n ** 256n }
}

const numberOf = (sum: Uint8Array): bigint => BigInt(`0x${Buffer.from(sum).toString('hex')}`)

async function rebuilt(model: ReadonlyMap<string, Uint8Array>): Promise<Map<string, string>> {
  const items = [...model.keys()].sort().map((id) => ({ id: id as DocumentId, hash: model.get(id) as Uint8Array }))
  const rows = new Map<string, string>()
  for await (const { key, value } of fingerprintRows(items)) {
    assert.ok(!rows.has(key), `row ${key} stands there twice`)
    rows.set(key, Buffer.from(value).toString('hex'))
  }
  return rows
}

const hex = (table: Table): Map<string, string> =>
  new Map([...table.rows].map(([key, value]) => [key, Buffer.from(value).toString('hex')]))

/** Batches of changes: id → version of its hash, 0 = removed. */
const anId = fc.constantFrom(...ids)
const batches = fc.array(
  fc.array(fc.tuple(anId, fc.nat(3)), { maxLength: 12 }).map((changes) => new Map(changes)),
  { maxLength: 12 },
)
const aBound = fc.option(
  fc.oneof(
    anId,
    anId.map((id) => id.slice(0, -1)),
    fc.constantFrom('', 'doc.1/', '~', '\uFFFF'),
  ),
  {
    nil: undefined,
  },
)
const ranges = fc.array(
  fc.tuple(aBound, aBound).map(([from, to]) => ({
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  })),
  { minLength: 1, maxLength: 5 },
)

async function apply(table: Table, model: Map<string, Uint8Array>, batch: ReadonlyMap<string, number>): Promise<void> {
  const changes = new Map(
    [...batch].map(([id, version]) => [id, version === 0 ? undefined : hashOf(`${id} ${version}`)]),
  )
  table.write(await applyFingerprintChanges(table, changes))
  for (const [id, hash] of changes)
    if (hash === undefined) model.delete(id)
    else model.set(id, hash)
}

describe('fingerprints of ranges of documents', () => {
  it('have rows that depend on the set alone, whatever was added, replaced and removed before', () =>
    fc.assert(
      fc.asyncProperty(batches, async (batches) => {
        const table = new Table()
        const model = new Map<string, Uint8Array>()
        for (const batch of batches) {
          await apply(table, model, batch)
          assert.deepEqual(hex(table), await rebuilt(model))
        }
        await apply(table, model, new Map([...model.keys()].map((id) => [id, 0])))
        assert.equal(table.rows.size, 0)
      }),
      { numRuns: 300 },
    ))

  it('equal count and sum of the items, for every range', () =>
    fc.assert(
      fc.asyncProperty(batches, ranges, async (batches, ranges) => {
        const table = new Table()
        const model = new Map<string, Uint8Array>()
        for (const batch of batches) await apply(table, model, batch)
        for (const range of ranges) {
          const { count, sum } = await rangeFingerprint(table, range)
          assert.deepEqual({ count, sum: numberOf(sum) }, naive(model, range))
          assert.equal(sum.length, 32)
        }
      }),
      { numRuns: 300 },
    ))

  it('list a range in order of code units, up to the limit', () =>
    fc.assert(
      fc.asyncProperty(batches, ranges, fc.nat(20), async (batches, [range], limit) => {
        const table = new Table()
        const model = new Map<string, Uint8Array>()
        for (const batch of batches) await apply(table, model, batch)
        const { from = '', to } = range as DocumentRange
        const expected = [...model.keys()].filter((id) => id >= from && (to === undefined || id < to)).sort()
        const listed = await collect(listRange(table, range as DocumentRange, limit))
        assert.deepEqual(
          listed.map(({ id, hash }) => [id, hash]),
          expected.slice(0, limit).map((id) => [id, model.get(id)]),
        )
        assert.equal((await collect(listRange(table, range as DocumentRange))).length, expected.length)
      }),
      { numRuns: 200 },
    ))

  it('split a range into adjoining ranges of equal counts', () =>
    fc.assert(
      fc.asyncProperty(batches, ranges, fc.integer({ min: 1, max: 20 }), async (batches, [range], parts) => {
        const table = new Table()
        const model = new Map<string, Uint8Array>()
        for (const batch of batches) await apply(table, model, batch)
        const { count } = naive(model, range as DocumentRange)
        const split = await splitRange(table, range as DocumentRange, parts)
        assert.equal(split.length, Math.max(1, Math.min(parts, count)))
        assert.equal(split[0]?.from, range?.from)
        assert.equal(split.at(-1)?.to, range?.to)
        for (const [i, part] of split.entries()) {
          if (i > 0) assert.ok(part.from !== undefined && part.from === split[i - 1]?.to)
          const size = naive(model, part).count
          assert.ok(Math.abs(size - count / split.length) < 1, `${size} of ${count} in one of ${split.length}`)
        }
      }),
      { numRuns: 300 },
    ))

  it('cost some tens of row reads an operation with 10,000 documents', async () => {
    const table = new Table()
    const names = Array.from(
      { length: 10_000 },
      (_, n) => `journal.1/default/node-${n % 40}/${String(n).padStart(6, '0')}`,
    )
    const items = names.sort().map((id) => ({ id: id as DocumentId, hash: hashOf(id) }))
    const rows = await collect(fingerprintRows(items))
    table.write(rows.map((row) => ({ type: 'put', ...row })))
    const reads = async (operation: (n: number) => Promise<unknown>): Promise<number> => {
      table.reads = 0
      for (let n = 0; n < 200; n++) await operation(n)
      return table.reads / 200
    }
    const change = (id: string, hash: Uint8Array | undefined) => async (): Promise<void> =>
      table.write(await applyFingerprintChanges(table, new Map([[id, hash]])))
    const pick = (n: number): string => names[(n * 7919) % names.length] as string
    // Measured: 9, 12, 12, 70, 770. A scan would be thousands.
    assert.ok((await reads((n) => change(pick(n), hashOf(`new ${n}`))())) < 20)
    assert.ok((await reads((n) => change(`${pick(n)}x`, hashOf(`added ${n}`))())) < 50)
    assert.ok((await reads((n) => change(`${pick(n)}x`, undefined)())) < 50)
    assert.ok((await reads((n) => rangeFingerprint(table, { from: pick(n), to: `${pick(n)}~` }))) < 200)
    assert.ok((await reads(() => splitRange(table, {}, 16))) < 1_200)
  })

  it('are refused, by the name of the row, when a row is not what was written', async () => {
    const table = new Table()
    await apply(table, new Map(), new Map(ids.map((id) => [id, 1])))
    table.write([{ type: 'put', key: '4', value: new Uint8Array(7) }])
    await assert.rejects(rangeFingerprint(table, {}), (error: Error) => {
      assert.ok(error instanceof DamagedError)
      return error.message.includes('"4"')
    })
  })

  it('take only items in order when they are made anew', async () => {
    const hash = hashOf('')
    await assert.rejects(
      collect(
        fingerprintRows([
          { id: 'b' as DocumentId, hash },
          { id: 'a' as DocumentId, hash },
        ]),
      ),
      RangeError,
    )
  })
})
