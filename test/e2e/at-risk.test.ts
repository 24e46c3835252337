import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { openClient, type NodeClient } from '../../src/gateway/index.ts'
import { parseFieldName, parseSensorId, type SensorId } from '../../src/model/index.ts'
import { Gateway, wholeTime } from '../support/e2e-gateway.ts'
import { freePort } from '../support/e2e-ports.ts'
import { sleep, within } from '../support/e2e-process.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

/** HEDGEROW_E2E_ROUNDS=20 is the long form. */
const rounds = Number(process.env['HEDGEROW_E2E_ROUNDS'] ?? 10)

/**
 * What goes on around the moment: appends all the time; appends paused, so that the number alone has to hold; the same
 * with the others frozen, so that what is sent to them stays in their sockets and dies with them; the others just thawed, so that
 * connections come up and catch-up is under way.
 */
const circumstances = ['appending', 'paused', 'frozen', 'thawing'] as const

describe('atRisk', () => {
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>
  let others: readonly Gateway[] = []

  before(async () => {
    folder = await temporaryDirectory()
    const [founder, other] = [await gateway('founder'), await gateway('other')]
    others = [founder, other]
    await founder.hedgerow(['init'])
    await founder.run()
    await founder.letIn(other, 'other')
    await other.run()
  })

  after(async () => {
    for (const each of others) {
      each.process.signal('SIGCONT')
      await each[Symbol.asyncDispose]()
    }
    await folder[Symbol.asyncDispose]()
  })

  async function gateway(name: string): Promise<Gateway> {
    return new Gateway({
      dir: join(folder.path, name),
      runArgs: ['--no-mdns', '--listen', `/ip4/127.0.0.1/tcp/${await freePort()}`],
    })
  }

  /** Acknowledged records that the number did not have to cover, in all rounds: 0 would mean that it says nothing. */
  let covered = 0

  for (let round = 1; round <= rounds; round++) {
    const circumstance = circumstances[round % circumstances.length] as (typeof circumstances)[number]
    it(`is at least what is lost when the gateway and its disk are gone a moment later (${round}, ${circumstance})`, async () => {
      await using victim = await gateway(`victim-${round}`)
      await others[0]?.letIn(victim, `victim-${round}`)
      if (circumstance === 'thawing') freeze(others)
      await victim.run()
      const client = await openClient(victim.dir)
      assert.ok(client.remote)
      const sensor = parseSensorId(`at-risk/${round}`)
      const appender = new Appender(client, sensor)
      appender.start()
      await sleep(200 + Math.random() * 1_300)
      // Waiting for their lane's interval, the first ones may all be unacknowledged by now.
      await within('a first acknowledgement', appender.first)
      if (circumstance === 'frozen') {
        freeze(others)
        await sleep(Math.random() * 500)
      }
      if (circumstance === 'thawing') {
        for (const each of others) each.process.signal('SIGCONT')
        await sleep(Math.random() * 1_500)
      }
      if (circumstance === 'paused' || circumstance === 'frozen') await appender.pause()
      if (circumstance === 'paused') await sleep(Math.random() * 100)

      const before = appender.acknowledged.size
      const { atRisk } = await within('status', client.call('status', {}))
      await victim.kill()
      await appender.ended()
      await rm(victim.dir, { recursive: true })
      const after = appender.acknowledged.size - before
      if (circumstance === 'frozen') {
        for (const each of others) await each.kill()
        for (const each of others) await each.run()
      }

      const found = new Set<string>()
      for (const each of others) for (const time of await times(each, sensor)) found.add(time)
      const lost = [...appender.acknowledged].filter((time) => !found.has(time)).length
      const told = `${appender.acknowledged.size} acknowledged, ${atRisk} at risk, ${after} acknowledged after that, ${lost} lost`
      assert.ok(appender.acknowledged.size > 0)
      assert.ok(lost <= atRisk + after, told)
      covered += Math.max(0, before - atRisk)
    })
  }

  it('falls when others have acknowledged', () => {
    assert.ok(covered > 0)
  })
})

function freeze(gateways: readonly Gateway[]): void {
  for (const each of gateways) each.process.signal('SIGSTOP')
}

/** Times of a sensor's records on a gateway. */
async function times(gateway: Gateway, sensor: SensorId): Promise<string[]> {
  const csv = await gateway.hedgerow(['query', sensor, ...wholeTime, '--format', 'csv'])
  return csv
    .split('\n')
    .slice(1, -1)
    .map((line) => line.split(',')[1] ?? '')
}

const start = Date.parse('2026-01-01T00:00:00Z')

/** Appends batches of random size, several under way at once, each record with a time of its own. */
class Appender {
  readonly #client: NodeClient
  readonly #sensor: SensorId
  /** Times of the records that were acknowledged. */
  readonly acknowledged = new Set<string>()
  readonly #first = Promise.withResolvers<void>()
  readonly #underWay = new Set<Promise<void>>()
  #next = 0
  #stop = false
  #loop: Promise<void> = Promise.resolve()

  constructor(client: NodeClient, sensor: SensorId) {
    this.#client = client
    this.#sensor = sensor
  }

  start(): void {
    this.#loop = (async () => {
      while (!this.#stop) {
        const batch = this.#append(1 + Math.floor(Math.random() * 50))
        const tracked = batch.finally(() => this.#underWay.delete(tracked))
        this.#underWay.add(tracked)
        await (this.#underWay.size < 4 ? sleep(Math.random() * 20) : Promise.race(this.#underWay))
      }
    })()
  }

  async #append(count: number): Promise<void> {
    const all = Array.from({ length: count }, () => start + 1_000 * this.#next++)
    const field = parseFieldName('value')
    try {
      // Half of them wait for their lane's interval.
      await this.#client.call('append', {
        readings: all.map((ms) => ({
          sensor: this.#sensor,
          time: ms * 1_000,
          fields: [{ field, value: ms % 7_919 }],
        })),
        flush: Math.random() < 0.5,
      })
    } catch {
      // The node was killed: what was not acknowledged does not count.
      this.#stop = true
      return
    }
    for (const ms of all) this.acknowledged.add(new Date(ms).toISOString().replace('.000Z', 'Z'))
    this.#first.resolve()
  }

  /** Resolves with the first acknowledgement. */
  get first(): Promise<void> {
    return this.#first.promise
  }

  /** Appends nothing more, and waits for what is under way. */
  async pause(): Promise<void> {
    this.#stop = true
    await within('the acknowledgements under way', this.#loop)
    await within('the acknowledgements under way', Promise.all(this.#underWay))
  }

  /** Waits until the killed node's connection has broken. */
  async ended(): Promise<void> {
    await this.pause()
    await this.#client.close()
  }
}
