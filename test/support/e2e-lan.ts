/** Real networks for the end-to-end tests: Linux network namespaces on one bridge, which itself lies in a namespace. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { run, runOk } from './e2e-process.ts'

/** Whether this machine lets us make network namespaces, and with `programs` there, too. */
export function canMakeLan(...programs: string[]): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || !['ip', ...programs].every(isInstalled)) return false
  const name = `hg${process.pid}-probe`
  const made = spawnSync('ip', ['netns', 'add', name]).status === 0
  if (made) spawnSync('ip', ['netns', 'del', name])
  return made
}

/** Whether a program is on PATH or in /usr/sbin, where Debian keeps administrators' programs. */
export function isInstalled(program: string): boolean {
  return [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'].some((folder) =>
    existsSync(`${folder}/${program}`),
  )
}

let made = 0
const present = new Set<string>()
process.on('exit', () => {
  for (const name of present) spawnSync('ip', ['netns', 'del', name])
})

/** Hosts on one switch. Each has one interface, `eth0`, and no other way to anyone. */
export class Lan implements AsyncDisposable {
  readonly #switch: string
  readonly #hosts: readonly string[]

  private constructor(id: string, hosts: number) {
    this.#switch = `${id}-switch`
    this.#hosts = Array.from({ length: hosts }, (_, i) => `${id}-host${i + 1}`)
  }

  /** Makes namespaces, a bridge and a cable from each host to it; host n has the address 10.77.0.n. */
  static async create(hosts: number): Promise<Lan> {
    const lan = new Lan(`hg${process.pid}-${++made}`, hosts)
    try {
      await lan.#make()
      return lan
    } catch (error) {
      await lan[Symbol.asyncDispose]()
      throw error
    }
  }

  async #make(): Promise<void> {
    for (const name of [this.#switch, ...this.#hosts]) {
      present.add(name)
      await ip('netns', 'add', name)
    }
    // Without snooping the bridge passes multicast on to everyone, as a plain switch does.
    await ip('-n', this.#switch, 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0')
    await ip('-n', this.#switch, 'link', 'set', 'br0', 'up')
    for (const [i, host] of this.#hosts.entries()) {
      await ip(
        'link',
        'add',
        'eth0',
        'netns',
        host,
        'type',
        'veth',
        'peer',
        'name',
        `port${i + 1}`,
        'netns',
        this.#switch,
      )
      await ip('-n', this.#switch, 'link', 'set', `port${i + 1}`, 'master', 'br0', 'up')
      await ip('-n', host, 'link', 'set', 'lo', 'up')
      await ip('-n', host, 'link', 'set', 'eth0', 'up')
    }
    await this.number(0)
  }

  /** Gives every host a new address, 10.77.`network`.n, in place of the one it has. */
  async number(network: number): Promise<void> {
    for (const [i, host] of this.#hosts.entries()) {
      await ip('-n', host, 'addr', 'flush', 'dev', 'eth0')
      await ip('-n', host, 'addr', 'add', `10.77.${network}.${i + 1}/24`, 'dev', 'eth0')
      await ip('-n', host, 'route', 'replace', 'default', 'dev', 'eth0')
    }
  }

  /** What runs a command on host n, from 1. */
  on(host: number): readonly string[] {
    return ['ip', 'netns', 'exec', this.#name(host)]
  }

  /** Pulls the cable of host n out of the switch. */
  async unplug(host: number): Promise<void> {
    await ip('-n', this.#switch, 'link', 'set', `port${host}`, 'down')
  }

  async plug(host: number): Promise<void> {
    await ip('-n', this.#switch, 'link', 'set', `port${host}`, 'up')
  }

  /** From now on every host loses this percentage of the packets that reach it. */
  async lose(percent: number): Promise<void> {
    const rules = `table inet loss {
      chain input {
        type filter hook input priority 0;
        iifname "eth0" numgen random mod 100 < ${percent} counter drop
      }
    }`
    for (const host of this.#hosts) await runOk(['ip', 'netns', 'exec', host, 'nft', '-f', '-'], { input: rules })
  }

  /** Packets that a host has lost by `lose`. */
  async lost(host: number): Promise<number> {
    const rules = await runOk([...this.on(host), 'nft', 'list', 'table', 'inet', 'loss'])
    return Number(/counter packets (\d+)/.exec(rules)?.[1] ?? 0)
  }

  #name(host: number): string {
    const name = this.#hosts[host - 1]
    if (name === undefined) throw new Error(`no host ${host}`)
    return name
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [...this.#hosts, this.#switch]) {
      if (!present.delete(name)) continue
      await run(['ip', 'netns', 'del', name])
    }
  }
}

async function ip(...args: string[]): Promise<void> {
  await runOk(['ip', ...args])
}
