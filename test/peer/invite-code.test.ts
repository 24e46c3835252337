import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { HedgerowError, InvalidInputError, nodeIdOf, siteIdOf } from '../../src/model/index.ts'
import { decodeInvite, encodeInvite, inviteCodeChars, type Invite } from '../../src/peer/invite-code.ts'

const inviter = nodeIdOf(new Uint8Array(32).fill(3))
const minute = 60_000_000

function inviteWith(addresses: readonly string[]): Invite {
  return {
    site: siteIdOf(new Uint8Array(32).fill(1)),
    psk: new Uint8Array(32).fill(2),
    token: new Uint8Array(16).fill(4),
    inviter,
    expires: 29_000_000 * minute,
    role: 'writer',
    addresses,
  }
}

function addressesAfter(addresses: readonly string[]): string[] {
  return decodeInvite(encodeInvite(inviteWith(addresses))).addresses.map((address) => {
    assert.ok(address.endsWith(`/p2p/${inviter}`))
    return address.slice(0, -`/p2p/${inviter}`.length)
  })
}

/** Wraps bytes as an invite with a right checksum. */
function wrapped(body: Uint8Array): string {
  const sum = createHash('sha256').update('hedgerow1:').update(body).digest().subarray(0, 4)
  return `hedgerow1:${Buffer.concat([body, sum]).toString('base64url')}`
}

function bodyOf(code: string): Buffer {
  return Buffer.from(code.slice('hedgerow1:'.length), 'base64url').subarray(0, -4)
}

describe('invite code', () => {
  it('is one line of at most 300 characters that gives the invite back', () => {
    const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })
    const address = fc.oneof(
      fc.tuple(fc.ipV4(), fc.integer({ min: 1, max: 65_535 })).map(([ip, port]) => `/ip4/${ip}/tcp/${port}`),
      fc.ipV6().map((ip) => `/ip6/${ip}/tcp/47474`),
      fc.domain().map((name) => `/dns4/${name}/tcp/47474`),
    )
    const invite = fc.record({
      site: bytes(32).map(siteIdOf),
      psk: bytes(32),
      token: bytes(16),
      inviter: bytes(32).map(nodeIdOf),
      expires: fc.nat({ max: 60_000_000 }).map((minutes) => minutes * minute),
      role: fc.constantFrom('admin' as const, 'writer' as const, 'reader' as const),
      addresses: fc.array(address, { maxLength: 30 }),
    })
    fc.assert(
      fc.property(invite, (invite) => {
        const code = encodeInvite(invite)
        assert.ok(code.length <= inviteCodeChars)
        assert.match(code, /^hedgerow1:[A-Za-z0-9_-]+$/)
        const back = decodeInvite(code)
        assert.deepEqual({ ...back, addresses: [] }, { ...invite, addresses: [] })
        // What came back fits again, in the same order: with or without the node id at the end.
        assert.equal(encodeInvite(back), code)
      }),
      { numRuns: 500 },
    )
  })

  it('rounds its expiry up to the minute', () => {
    const invite = { ...inviteWith([]), expires: 5 * minute + 1 }
    assert.equal(decodeInvite(encodeInvite(invite)).expires, 6 * minute)
  })

  it('carries the address that is likeliest to be reached first, and loopback only if there is no other', () => {
    const loopback = ['/ip4/127.0.0.1/tcp/47474', '/ip6/::1/tcp/47474']
    const ranked = [
      '/ip4/192.168.1.20/tcp/47474',
      '/ip4/10.0.0.1/tcp/47474',
      '/ip4/203.0.113.5/tcp/47474',
      '/dns4/gw.example.org/tcp/47474',
      '/ip6/fd00::5/tcp/47474',
      '/ip6/2001:db8::1/tcp/47474',
      '/ip4/169.254.7.7/tcp/47474',
    ]
    const [lan1, lan2, ...others] = ranked as [string, string, ...string[]]
    const given = [...loopback, '/ip4/0.0.0.0/tcp/47474', ...others.toReversed(), lan1, lan2, lan1]
    assert.deepEqual(addressesAfter(given), ranked)
    assert.deepEqual(addressesAfter(loopback), loopback)
    assert.deepEqual(addressesAfter(['/ip4/0.0.0.0/tcp/1', '/ip6/::/tcp/1']), [])
  })

  it('leaves out what does not fit, the least likely first', () => {
    const lan = Array.from({ length: 11 }, (_, i) => `/ip4/10.0.0.${i + 1}/tcp/47474`)
    const far = Array.from({ length: 20 }, (_, i) => `/ip4/203.0.113.${i + 1}/tcp/47474`)
    const carried = addressesAfter([...far, ...lan])
    assert.deepEqual(carried.slice(0, 11), lan)
    assert.equal(carried.length, 12)
  })

  it('refuses what cannot be in an invite', () => {
    for (const invite of [
      { ...inviteWith([]), psk: new Uint8Array(31) },
      { ...inviteWith([]), token: new Uint8Array(17) },
      { ...inviteWith([]), expires: -minute },
      inviteWith(['192.168.1.20:47474']),
    ])
      assert.throws(() => encodeInvite(invite), InvalidInputError)
  })
})

describe('text that is no invite', () => {
  const code = encodeInvite(inviteWith(['/ip4/192.168.1.20/tcp/47474']))

  function refused(text: string, reason: RegExp): void {
    assert.throws(
      () => decodeInvite(text),
      (error: Error) => {
        assert.ok(error instanceof InvalidInputError, `${error.name}: ${error.message}`)
        assert.match(error.message, reason)
        return true
      },
    )
  }

  it('is an invite all the same with blanks and line breaks that a terminal put in', () => {
    assert.deepEqual(decodeInvite(` ${code.slice(0, 40)}\r\n  ${code.slice(40)}\n`), decodeInvite(code))
  })

  it('is refused by what is wrong with it', () => {
    refused('', /does not begin with hedgerow1:/)
    refused('https://example.org/', /does not begin with hedgerow1:/)
    refused(code.replace('hedgerow1', 'hedgerow2'), /newer hedgerow/)
    refused(code.slice(0, -1), /mistyped or cut off/)
    refused(`${code}AAAA`, /mistyped or cut off/)
    refused(`${code}${'A'.repeat(300)}`, /more than 300 characters/)
    refused('hedgerow1:', /mistyped or cut off/)
  })

  it('is noticed whichever character is mistyped', () => {
    const mistyped = fc.tuple(
      fc.integer({ min: 10, max: code.length - 1 }),
      fc.constantFrom('a', 'b', 'X', 'Z', '0', '9', '-', '_', '!', '.', ' ', 'é'),
    )
    fc.assert(
      fc.property(mistyped, ([at, character]) => {
        fc.pre(code[at] !== character)
        refused(code.slice(0, at) + character + code.slice(at + 1), /mistyped or cut off/)
      }),
      { numRuns: 1_000 },
    )
  })

  it('with a right checksum over wrong bytes is refused too, never with another error', () => {
    const body = bodyOf(code)
    refused(wrapped(body.subarray(0, 50)), /not complete/)
    refused(wrapped(body.subarray(0, -1)), /not complete/)
    refused(wrapped(body.with(104, 9)), /not complete/)
    refused(wrapped(Buffer.concat([body, Buffer.of(3, 255, 255, 255)])), /address/)
    refused(wrapped(Buffer.concat([body, Buffer.of(0)])), /empty/)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 90 }), (tail) => {
        try {
          decodeInvite(wrapped(Buffer.concat([body.subarray(0, 105), tail])))
        } catch (error) {
          assert.ok(error instanceof HedgerowError, String(error))
        }
      }),
      { numRuns: 1_000 },
    )
  })
})
