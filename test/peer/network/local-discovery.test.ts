import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { networkInterfaces } from 'node:os'
import { announcedAddresses, heardAddresses, interfaceAddresses } from '../../../src/peer/network/local-discovery.ts'

const id = '/p2p/12D3KooWGfWmiknjRt3bsGJRfHPVN2n98pdNn35zJBP1Ly5Ffcvu'

describe('an announcement on an interface', () => {
  it('names the address of that interface first, then the others, never more than four', () => {
    const all = ['127.0.0.1', '172.17.0.1', '172.18.0.1', '172.19.0.1', '172.20.0.1', '192.168.1.9'].map(
      (address) => `/ip4/${address}/tcp/47474${id}`,
    )
    const announced = announcedAddresses([`/ip6/fd00::1/tcp/47474${id}`, ...all], '192.168.1.9')
    assert.equal(announced.length, 4)
    assert.equal(announced[0], all[5])
    assert.ok(!announced.some((address) => address.includes('127.0.0.1')))
  })

  it('names loopback only if there is nothing else, and never link-local IPv6', () => {
    const loopback = `/ip4/127.0.0.1/tcp/47474${id}`
    const local = `/ip6/fe80::1/tcp/47474${id}`
    assert.deepEqual(announcedAddresses([local, loopback], '192.168.1.9'), [loopback])
    assert.deepEqual(announcedAddresses([local], '192.168.1.9'), [])
  })

  it('is heard without the addresses in it that cannot be read', () => {
    const good = `/ip4/192.168.1.9/tcp/47474${id}`
    assert.deepEqual(heardAddresses(['dnsaddr=/ip4/300.1.1.1/tcp/1', `dnsaddr=${good}`, 'other=text']), [good])
  })

  it('goes out on every interface with IPv4, on loopback only if there is no other', () => {
    const entry = (address: string, internal: boolean): unknown => ({
      address,
      internal,
      family: address.includes(':') ? 'IPv6' : 'IPv4',
    })
    const host = {
      lo: [entry('127.0.0.1', true)],
      docker0: [entry('172.17.0.1', false)],
      eth0: [entry('fe80::1', false), entry('192.168.1.9', false), entry('192.168.1.10', false)],
      wlan0: [entry('fe80::2', false)],
    } as unknown as ReturnType<typeof networkInterfaces>
    assert.deepEqual(interfaceAddresses(host), ['172.17.0.1', '192.168.1.9'])
    assert.deepEqual(interfaceAddresses({ lo: host['lo'] ?? [] }), ['127.0.0.1'])
  })
})

// ---------------------------------------------------------------------------------------------- real interfaces

const names = ['switch', 'a', 'b', 'c'].map((name) => `hgld${process.pid}${name}`)
const [net, hostA, hostB, hostC] = names as [string, string, string, string]

function ip(...args: string[]): boolean {
  return spawnSync('ip', args).status === 0
}

/** Three hosts without a default route; the second has another interface before the one that leads to the others. */
function makeHosts(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  const cable = (host: string, device: string, bridge: string, address: string): boolean =>
    ip('link', 'add', device, 'netns', host, 'type', 'veth', 'peer', 'name', `${device}${host.at(-1)}`, 'netns', net) &&
    ip('-n', net, 'link', 'set', `${device}${host.at(-1)}`, 'master', bridge, 'up') &&
    ip('-n', host, 'link', 'set', device, 'up') &&
    ip('-n', host, 'addr', 'add', address, 'dev', device)
  return (
    names.every((name) => ip('netns', 'add', name) && ip('-n', name, 'link', 'set', 'lo', 'up')) &&
    ['br0', 'br1'].every(
      (bridge) =>
        ip('-n', net, 'link', 'add', bridge, 'type', 'bridge', 'mcast_snooping', '0') &&
        ip('-n', net, 'link', 'set', bridge, 'up'),
    ) &&
    cable(hostB, 'eth0', 'br0', '172.17.0.1/16') &&
    cable(hostB, 'eth1', 'br1', '10.77.0.2/24') &&
    cable(hostA, 'eth0', 'br1', '10.77.0.1/24') &&
    cable(hostC, 'eth0', 'br1', '10.77.0.3/24')
  )
}

const program = `
  import { createLibp2pNetwork } from ${JSON.stringify(new URL('../../../src/peer/index.ts', import.meta.url).href)}
  import { systemClock } from ${JSON.stringify(new URL('../../../src/model/index.ts', import.meta.url).href)}
  const network = createLibp2pNetwork({ privateSeed: new Uint8Array(32).fill(Number(process.argv[1])),
    psk: new Uint8Array(32), listen: ['/ip4/0.0.0.0/tcp/47474'], mdns: { tag: '_hg-test._udp.local' },
    log: (_level, message, { error }) => console.error(message, error), clock: systemClock })
  const found = new Set()
  network.onDiscover((node) => {
    found.add(node)
    if (found.size === 2) console.log('found both')
  })
  await network.start()
`

describe('discovery on the local network', () => {
  afterEach(() => {
    for (const name of names) ip('netns', 'del', name)
  })

  it('finds everybody where there is no default route, and past an interface that leads elsewhere', async function () {
    if (!makeHosts()) this.skip()
    const children = [hostA, hostB, hostC].map((host, i) =>
      spawn('ip', ['netns', 'exec', host, process.execPath, '--input-type=module', '-e', program, String(i + 1)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    )
    try {
      const signal = AbortSignal.timeout(25_000)
      await Promise.all(children.map(({ stdout }) => once(stdout, 'data', { signal })))
    } finally {
      const ended = children.map((child) => once(child, 'exit'))
      for (const child of children) child.kill()
      await Promise.all(ended)
    }
  }).timeout(40_000)
})
