import assert from 'node:assert/strict'
import { decode, encode } from 'cborg'
import { InvalidInputError, LimitError, nodeIdOf, RefusedError } from '../../src/model/index.ts'
import { inviteLimits, openInvites, tokenBytes } from '../../src/peer/invites.ts'
import type { SideTable } from '../../src/store/index.ts'

const alice = nodeIdOf(new Uint8Array(32).fill(1))
const bob = nodeIdOf(new Uint8Array(32).fill(2))
const hour = 3_600_000_000
const day = 24 * hour

/** Distinct bytes each time, the same in every run. */
function counting(): { bytes: (length: number) => Uint8Array; uniform: () => number } {
  let next = 0
  return {
    bytes: (length) => {
      const bytes = Buffer.alloc(length)
      bytes.writeUInt32BE(++next)
      return bytes
    },
    uniform: () => 0,
  }
}

/** A side table as the store's: CBOR inside, names sorted. `durable` says when a write is on disk. */
function sideTable(
  durable: () => Promise<void> = async () => {},
): SideTable & { readonly rows: Map<string, Uint8Array> } {
  const rows = new Map<string, Uint8Array>()
  return {
    rows,
    get: async (name) => {
      const row = rows.get(name)
      return row && (decode(row) as unknown)
    },
    put: async (name, value, options) => {
      assert.notEqual(options?.lazy, true, 'an invite is written with fsync')
      await durable()
      rows.set(name, encode(value))
    },
    delete: async (name) => {
      rows.delete(name)
    },
    entries: async function* (prefix) {
      for (const [name, row] of [...rows].sort(([a], [b]) => (a < b ? -1 : 1)))
        if (name.startsWith(prefix)) yield [name, decode(row) as unknown]
    },
  }
}

async function refused(task: Promise<unknown>, reason: RegExp): Promise<void> {
  await assert.rejects(task, (error: Error) => {
    assert.ok(error instanceof RefusedError, `${error.name}: ${error.message}`)
    assert.match(error.message, reason)
    return true
  })
}

describe('invites', () => {
  it('let one node in, once, and give it the same answer when it asks again', async () => {
    const side = sideTable()
    const invites = openInvites(side, counting())
    const token = await invites.create({ role: 'reader', expires: hour, nowUs: 0 })
    assert.equal(token.length, tokenBytes)
    assert.equal(await invites.open(0), 1)
    assert.deepEqual(await invites.redeem(token, alice, 1), { role: 'reader', again: false })
    assert.deepEqual(await invites.redeem(token, alice, 2), { role: 'reader', again: true })
    await refused(invites.redeem(token, bob, 3), /used by another node/)
    assert.equal(await invites.open(0), 0)
    const reopened = openInvites(side, counting())
    assert.deepEqual(await reopened.redeem(token, alice, 2 * hour), { role: 'reader', again: true })
    await refused(reopened.redeem(token, bob, 3), /used by another node/)
  })

  it('are refused from their expiry on, and when this node did not make them', async () => {
    const invites = openInvites(sideTable(), counting())
    const token = await invites.create({ role: 'writer', expires: hour, nowUs: 0 })
    await refused(invites.redeem(token, alice, hour), /expired/)
    assert.deepEqual(await invites.redeem(token, alice, hour - 1), { role: 'writer', again: false })
    await refused(invites.redeem(new Uint8Array(tokenBytes), alice, 0), /did not make/)
    await refused(invites.redeem(new Uint8Array(0), alice, 0), /did not make/)
    await refused(openInvites(sideTable(), counting()).redeem(token, alice, 0), /did not make/)
    await assert.rejects(invites.create({ role: 'writer', expires: 5, nowUs: 5 }), InvalidInputError)
  })

  it('let only one of two nodes in that come at the same moment', async () => {
    const invites = openInvites(sideTable(), counting())
    const token = await invites.create({ role: 'writer', expires: hour, nowUs: 0 })
    const results = await Promise.allSettled([invites.redeem(token, alice, 1), invites.redeem(token, bob, 1)])
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    )
  })

  it('answer only after the use is on disk, and are unused if it never gets there', async () => {
    let gate = Promise.resolve()
    const invites = openInvites(
      sideTable(() => gate),
      counting(),
    )
    const token = await invites.create({ role: 'writer', expires: hour, nowUs: 0 })
    const failing = Promise.withResolvers<void>()
    gate = failing.promise
    let answered = false
    const redeeming = invites.redeem(token, alice, 1).finally(() => {
      answered = true
    })
    for (let i = 0; i < 50; i++) await Promise.resolve()
    assert.equal(answered, false)
    failing.reject(new Error('disk'))
    await assert.rejects(redeeming, /disk/)
    gate = Promise.resolve()
    assert.deepEqual(await invites.redeem(token, bob, 1), { role: 'writer', again: false })
  })

  it('are stored without their tokens', async () => {
    const side = sideTable()
    const token = await openInvites(side, counting()).create({ role: 'writer', expires: hour, nowUs: 0 })
    const stored = [...side.rows].map(([name, row]) => name + Buffer.from(row).toString('hex')).join('')
    assert.ok(stored.startsWith('peer/invite/'))
    assert.ok(!stored.includes(Buffer.from(token).toString('hex')))
  })

  it('are open in a bounded number; used and expired ones make room', async () => {
    const invites = openInvites(sideTable(), counting())
    const create = (nowUs: number): Promise<Uint8Array> =>
      invites.create({ role: 'writer', expires: nowUs + hour, nowUs })
    const first = await create(0)
    for (let i = 1; i < inviteLimits.open; i++) await create(i)
    await assert.rejects(create(100), LimitError)
    await invites.redeem(first, alice, 100)
    await create(100)
    await assert.rejects(create(100), LimitError)
    await create(day)
  })

  it('that are over are remembered for a while, in a bounded number', async () => {
    const side = sideTable()
    const invites = openInvites(side, counting())
    const old = await invites.create({ role: 'writer', expires: hour, nowUs: 0 })
    await invites.create({ role: 'writer', expires: 2 * day, nowUs: day })
    await refused(invites.redeem(old, alice, day), /expired/)
    await invites.create({ role: 'writer', expires: 9 * day, nowUs: 8 * day })
    await refused(invites.redeem(old, alice, 8 * day), /did not make/)
    for (let i = 0; i < 2 * inviteLimits.remembered; i++) {
      const token = await invites.create({ role: 'writer', expires: 9 * day + i, nowUs: 8 * day })
      await invites.redeem(token, alice, 8 * day)
    }
    assert.ok(side.rows.size <= inviteLimits.remembered, `${side.rows.size} are kept`)
  })
})
