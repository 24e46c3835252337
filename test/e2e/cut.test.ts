import assert from 'node:assert/strict'
import { join } from 'node:path'
import { everything, Gateway, oneDigest } from '../support/e2e-gateway.ts'
import { canMakeLan, Lan } from '../support/e2e-lan.ts'
import { until, waitMs } from '../support/e2e-process.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

/** Three gateways of one site, each on its own host of one network, running. */
interface Site extends AsyncDisposable {
  readonly lan: Lan
  readonly gateways: readonly [Gateway, Gateway, Gateway]
}

async function site(): Promise<Site> {
  await using made = new AsyncDisposableStack()
  const folder = made.use(await temporaryDirectory())
  const lan = made.use(await Lan.create(3))
  const gateway = (host: number): Gateway =>
    made.use(new Gateway({ dir: join(folder.path, `gateway-${host}`), prefix: lan.on(host) }))
  const gateways = [gateway(1), gateway(2), gateway(3)] as const
  const [first, second, third] = gateways
  await first.hedgerow(['init'])
  await first.run()
  for (const [other, name] of [
    [second, 'two'],
    [third, 'three'],
  ] as const) {
    await first.letIn(other, name)
    await other.run()
  }
  await oneDigest(gateways)
  const all = made.move()
  return { lan, gateways, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

const minute = (n: number): string => new Date(Date.parse('2026-06-01T00:00:00Z') + n * 60_000).toISOString()

/** Appends `count` records, one a minute of data time. */
async function append(gateway: Gateway, sensor: string, count: number): Promise<void> {
  const lines = Array.from({ length: count }, (_, n) =>
    JSON.stringify({ sensor, time: minute(n), fields: { temperature: n / 4, n } }),
  )
  await gateway.hedgerow(['append', '--stdin'], { input: `${lines.join('\n')}\n` })
}

/** Values that a gateway shows: lines below the CSV's header. */
async function values(gateway: Gateway): Promise<number> {
  return (await everything(gateway)).trimEnd().split('\n').length - 1
}

const limitMs = 4 * waitMs

describe('gateways on a network that fails', () => {
  before(function () {
    if (!canMakeLan('nft')) this.skip()
  })

  it('go on on both sides of a cut, one even restarted, and show the same once it is healed', async () => {
    await using it = await site()
    const { lan, gateways } = it
    const [first, second, third] = gateways
    await append(first, 'barn/air', 20)
    await oneDigest(gateways)

    await lan.unplug(1)
    await append(first, 'barn/here', 500)
    await append(second, 'barn/there', 500)
    await first.hedgerow(['amend', 'barn/air', minute(0), 'temperature=1', '--why', 'checked here'])
    await second.hedgerow(['amend', 'barn/air', minute(0), 'temperature=2', '--why', 'checked there'])
    await first.hedgerow(['remove', 'barn/air', minute(1)])
    await third.hedgerow(['amend', 'barn/air', minute(1), 'temperature=3'])
    await first.hedgerow(['amend', 'barn/air', minute(2), 'temperature=4'])
    await second.hedgerow(['amend', 'barn/air', minute(3), 'temperature=5'])
    await second.kill()
    await second.run()
    const there = await oneDigest([second, third])
    const alone = await first.status()
    assert.notEqual(alone.digest, there)
    assert.ok(!(await everything(first)).includes('barn/there'))
    assert.ok(!(await everything(second)).includes('barn/here'))

    await lan.plug(1)
    await oneDigest(gateways, limitMs)
    const shown = await Promise.all(gateways.map(everything))
    assert.equal(shown[1], shown[0])
    assert.equal(shown[2], shown[0])
    const temperature = (n: number): string[] =>
      (shown[0] ?? '')
        .split('\n')
        .filter((line) => line.startsWith(`barn/air,${minute(n).replace('.000Z', 'Z')},temperature,`))
        .map((line) => `${line.split(',')[3]} ${line.split(',').at(-1)}`)
        .sort()
    assert.deepEqual(temperature(0), ['1 amend/amend', '2 amend/amend'])
    assert.deepEqual(temperature(1), [' amend/remove', '3 amend/remove'])
    assert.deepEqual([temperature(2), temperature(3), temperature(4)], [['4 '], ['5 '], ['1 ']])
    const conflicts = await Promise.all(gateways.map((each) => each.hedgerow(['conflicts', '--json'])))
    assert.equal(conflicts[0]?.trim().split('\n').length, 2)
    assert.equal(conflicts[1], conflicts[0])
    assert.equal(conflicts[2], conflicts[0])
    const contents = await Promise.all(gateways.map(async (each) => (await each.status('--deep')).content))
    assert.deepEqual(contents, [contents[0], contents[0], contents[0]])
  })

  it('converge while every one of them loses 30 % of the packets that reach it', async () => {
    await using it = await site()
    const { lan, gateways } = it
    await lan.lose(30)
    await Promise.all(gateways.map((each, i) => append(each, `barn/${i}`, 3_000)))
    await gateways[0].hedgerow(['amend', 'barn/0', minute(0), 'temperature=1'])
    await oneDigest(gateways, limitMs)
    for (const each of gateways) assert.equal(await values(each), 18_000)
    for (const host of [1, 2, 3]) assert.ok((await lan.lost(host)) > 0, `host ${host} lost nothing`)

    // A new connection has to get through, too.
    await gateways[2].kill()
    await append(gateways[0], 'barn/later', 100)
    await gateways[2].run()
    await until(
      'the restarted gateway to catch up',
      () => values(gateways[2]),
      (count) => count === 18_200,
      { limitMs, everyMs: 1_000 },
    )
    await oneDigest(gateways, limitMs)
  })
})
