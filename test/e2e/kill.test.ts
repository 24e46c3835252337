import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Gateway, oneDigest, wholeTime } from '../support/e2e-gateway.ts'
import { freePort } from '../support/e2e-ports.ts'
import { ndjson, sleep, until, type Started } from '../support/e2e-process.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

const kills = 10
const firstTime = Date.parse('2026-01-01T00:00:00Z')

describe('kill -9 while appends come in', () => {
  it(`loses nothing that was acknowledged in ${kills} kills, and both gateways end with one digest`, async () => {
    await using folder = await temporaryDirectory()
    const [a, b] = await twoGateways(folder.path)
    await using first = a
    await using second = b
    // One sensor's readings are flushed every 50 ms, the other's every 2 s or 600 readings.
    await first.hedgerow(['policy', 'set', 'kill/quick', '--group', 'quick', '--lane', 'critical'])
    await using quick = new Side(first, 'kill/quick')
    await using normal = new Side(second, 'kill/normal')
    const sides = [quick, normal] as const
    for (let kill = 1; kill <= kills; kill++) {
      for (const side of sides) if (!side.feeding) side.feed()
      const victim = sides[kill % 2] as Side
      await until(
        'a first acknowledgement',
        () => victim.acknowledgedNow(),
        (count) => count > 0,
        { everyMs: 5 },
      )
      await sleep(Math.random() * 1_000)
      await victim.gateway.kill()
      await victim.lost()
      await victim.gateway.run()
      await victim.check(victim.gateway, `kill ${kill}`)
    }
    for (const side of sides) await side.finish()
    await oneDigest([first, second])
    for (const side of sides) for (const gateway of [first, second]) await side.check(gateway, 'the end')
    const [here, there] = [await first.status('--deep'), await second.status('--deep')]
    assert.equal(here.content, there.content)
    for (const { acknowledged } of sides)
      assert.ok(acknowledged.length > 1_000, `only ${acknowledged.length} acknowledged`)
  })
})

async function twoGateways(folder: string): Promise<readonly [Gateway, Gateway]> {
  const gateway = async (name: string): Promise<Gateway> =>
    new Gateway({
      dir: join(folder, name),
      runArgs: ['--no-mdns', '--listen', `/ip4/127.0.0.1/tcp/${await freePort()}`],
    })
  const [first, second] = [await gateway('first'), await gateway('second')]
  await first.hedgerow(['init'])
  await first.run()
  await first.letIn(second, 'second')
  await second.run()
  return [first, second]
}

/** A process that readings go into. */
interface Feed {
  readonly process: Started
  /** Number of its first reading. */
  readonly from: number
  stop: boolean
  written: Promise<void>
}

/** A gateway into whose `append --stdin --json` readings go, one a millisecond of data time, none twice. */
class Side implements AsyncDisposable {
  readonly gateway: Gateway
  readonly #sensor: string
  /** Numbers of the readings that were acknowledged, in all runs. */
  readonly acknowledged: number[] = []
  #next = 0
  #append: Feed | undefined

  constructor(gateway: Gateway, sensor: string) {
    this.gateway = gateway
    this.#sensor = sensor
  }

  get feeding(): boolean {
    return this.#append !== undefined
  }

  /** Starts a process and keeps writing lines to it, in chunks of random size. */
  feed(): void {
    const process = this.gateway.start(['append', '--stdin', '--json'])
    const append: Feed = { process, from: this.#next, stop: false, written: Promise.resolve() }
    append.written = (async () => {
      while (!append.stop && process.running()) {
        const count = 1 + Math.floor(Math.random() * 40)
        const lines = Array.from({ length: count }, () => this.#line(this.#next++))
        process.stdin.write(lines.join(''))
        // At most a few thousand lines lie between us and the node.
        await until(
          'the process to take its input',
          () => process.stdin.writableLength,
          (bytes) => bytes < 65_536 || !process.running(),
          { everyMs: 5 },
        )
        await sleep(Math.random() * 20)
      }
    })()
    this.#append = append
  }

  #line(number: number): string {
    const time = new Date(firstTime + number).toISOString()
    return `${JSON.stringify({ sensor: this.#sensor, time, fields: { number } })}\n`
  }

  /** How many readings of the present process were acknowledged: the first ones that went in, since a sensor's come in order. */
  acknowledgedNow(): number {
    const text = this.#append?.process.stdout() ?? ''
    const whole = text.slice(0, text.lastIndexOf('\n') + 1)
    return ndjson<{ acknowledged?: number }>(whole).reduce((sum, { acknowledged = 0 }) => sum + acknowledged, 0)
  }

  /** Takes the end of the process whose node was killed: it has to fail and say why. */
  async lost(): Promise<void> {
    const append = this.#feed()
    const { code, stderr } = await append.process.ended('append to notice that its node is gone')
    await append.written
    this.#take(append.from)
    this.#append = undefined
    assert.equal(code, 1, stderr)
    assert.match(stderr, /was it stopped/)
  }

  /** Ends the input; everything that was written has to be acknowledged. */
  async finish(): Promise<void> {
    if (this.#append === undefined) return
    const append = this.#feed()
    append.stop = true
    await append.written
    append.process.stdin.end()
    const { code, stderr } = await append.process.ended('append to end with its input')
    assert.equal(code, 0, stderr)
    assert.equal(this.acknowledgedNow(), this.#next - append.from)
    this.#take(append.from)
    this.#append = undefined
  }

  #feed(): Feed {
    assert.ok(this.#append !== undefined)
    return this.#append
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#append?.process[Symbol.asyncDispose]()
  }

  #take(from: number): void {
    for (let i = 0, count = this.acknowledgedNow(); i < count; i++) this.acknowledged.push(from + i)
  }

  /** Throws unless every acknowledged reading is found there. */
  async check(gateway: Gateway, when: string): Promise<void> {
    const csv = await gateway.hedgerow(['query', this.#sensor, ...wholeTime, '--format', 'csv'])
    const found = new Set(
      csv
        .split('\n')
        .slice(1, -1)
        .map((line) => Number(line.split(',')[3])),
    )
    const missing = this.acknowledged.filter((number) => !found.has(number))
    assert.deepEqual(
      missing.slice(0, 5),
      [],
      `${when}: ${missing.length} of ${this.acknowledged.length} acknowledged readings of ${this.#sensor} are gone`,
    )
  }
}
