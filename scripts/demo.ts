/**
 * `npm run demo [-- FILE.csv… [--profile FILE]]`: three gateways as three processes take in a third of the data each; one
 * is cut off, both sides go on and correct, some of them the same values; healed, nothing is lost. Then the founder is
 * killed, its directory deleted, and it comes back from its exported identity and a backup. Ends non-zero if anything differs.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { systemRandom } from '../src/model/index.ts'
import {
  correct,
  countRivals,
  lostCorrections,
  planCorrections,
  type Correction,
  type Plan,
} from './demo/corrections.ts'
import { cutIntoThirds, generateThirds } from './demo/data.ts'
import { Gateway, hedgerow, until } from './demo/gateway.ts'

const corrections = 1_000
const contested = 100
const minuteMs = 60_000

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { profile: { type: 'string' }, 'no-header': { type: 'boolean' }, keep: { type: 'boolean' } },
})

const began = performance.now()
const say = (text: string): void =>
  console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s  ${text}`)

const folder = await mkdtemp(join(tmpdir(), 'hedgerow-demo-'))
const gateways: Gateway[] = []
const failures: string[] = []
const check = (what: string, good: boolean): void => {
  say(`${good ? 'ok  ' : 'FAIL'} ${what}`)
  if (!good) failures.push(what)
}

try {
  await demo()
} catch (error) {
  failures.push((error as Error).message)
  console.error(error)
} finally {
  for (const gateway of gateways) {
    await gateway.stop()
    gateway.relay.close()
  }
  if (options.keep === true || failures.length > 0) say(`everything is kept in ${folder}`)
  else await rm(folder, { recursive: true, force: true })
}
if (failures.length > 0) {
  console.error(`\nthe demo failed:\n${failures.map((failure) => `  - ${failure}`).join('\n')}`)
  process.exitCode = 1
} else say('all three gateways hold the same records, and nothing was lost')

async function demo(): Promise<void> {
  const [a, b, c] = await foundSite()
  const imported = await takeIn([a, b, c])
  await same(`three gateways hold ${imported} records`, [a, b, c])
  const before = await countRivals(a.client)

  const { made, plan } = await correctApart(a, b, c)
  await same('healed: three gateways show the same', [a, b, c])
  for (const { name, client } of [a, b, c]) {
    const lost = await lostCorrections(client, made)
    check(`${name} holds every correction: ${made.length} written, ${lost.length} lost`, lost.length === 0)
    const { conflicts, dropped } = await countRivals(client)
    const found = conflicts - before.conflicts
    check(`${name} shows ${found} conflicts where both sides corrected one value`, found === plan.contested)
    check(`last-write-wins would have lost ${dropped} corrections without a trace`, dropped === plan.contested)
  }
  const resolved = await resolveOne(a)
  await same('one conflict resolved, everywhere', [a, b, c])
  const after = await countRivals(c.client)
  check('one conflict less', after.conflicts === before.conflicts + plan.contested - 1)

  await loseFounder(a, b, c)
  await same('the founder is back: three gateways show the same', [a, b, c])
  const lost = await lostCorrections(
    a.client,
    made.filter((one) => `${one.sensor} ${one.time}` !== resolved),
  )
  check(`the founder holds every correction again: ${lost.length} lost`, lost.length === 0)
  const { records } = await b.status()
  check(`what was written is there: ${records} entries`, (await a.status()).records === records)
}

/** Makes three gateways of one site. The third can be reached, and reaches the others, through relays only. */
async function foundSite(): Promise<[Gateway, Gateway, Gateway]> {
  const [a, b, c] = [
    await Gateway.make('barn', folder),
    await Gateway.make('greenhouse', folder),
    await Gateway.make('field', folder),
  ] as const
  gateways.push(a, b, c)
  await hedgerow(['init', '--dir', a.dir, '--site', 'demo farm', '--name', a.name])
  await a.start()
  for (const gateway of [b, c]) {
    const { code } = await a.client.call('invite', { role: 'writer', expiresMs: 10 * minuteMs })
    await hedgerow(['join', code, '--dir', gateway.dir, '--name', gateway.name])
    await gateway.start(gateway === b ? [a.direct] : [])
  }
  const { site } = await a.status()
  say(`site ${site}: three gateways, three processes`)
  return [a, b, c]
}

async function takeIn(all: readonly Gateway[]): Promise<number> {
  const thirds =
    files.length === 0
      ? (await generateThirds(folder)).map((file) => [file])
      : await cutIntoThirds(files, folder, options['no-header'] !== true)
  const profile = options.profile === undefined ? [] : ['--profile', options.profile]
  const added = await Promise.all(
    all.map(async (gateway, i) => {
      let records = 0
      for (const file of thirds[i] ?? []) {
        const said = await hedgerow(['import', file, '--dir', gateway.dir, '--json', ...profile])
        for (const line of said.trim().split('\n')) records += (JSON.parse(line) as { appended?: number }).appended ?? 0
      }
      return records
    }),
  )
  const expected = added.reduce((sum, records) => sum + records, 0)
  say(`each gateway took in its own third: ${added.join(' + ')} records`)
  await until(`the ${expected} records to be everywhere`, minuteMs, async () => {
    const counts = await Promise.all(all.map(async (gateway) => (await gateway.status()).records))
    return counts.every((count) => count === expected)
  })
  return expected
}

/** Cuts the third gateway off; both sides go on and correct; then heals. Gives all corrections. */
async function correctApart(
  a: Gateway,
  b: Gateway,
  c: Gateway,
): Promise<{ readonly made: readonly Correction[]; readonly plan: Plan }> {
  const plan = await planCorrections(a.client, corrections, contested)
  for (const { relay } of [a, b, c]) relay.cut()
  await until('the cut to be noticed', 30_000, async () => {
    const { peers } = await c.status()
    return peers.every(({ connected }) => !connected)
  })
  say(`${c.name} is cut off`)
  const now = new Date().toISOString()
  await hedgerow(['append', '--dir', b.dir, '--sensor', 'mainland', '--time', now, 'while_apart=1'])
  await hedgerow(['append', '--dir', c.dir, '--sensor', 'island', '--time', now, 'while_apart=1'])
  const half = Math.floor(plan.mainland.length / 2)
  await Promise.all([
    correct(a.client, plan.mainland.slice(0, half), 'anna'),
    correct(b.client, plan.mainland.slice(half), 'ben'),
    correct(c.client, plan.island, 'carla'),
  ])
  const made = [...plan.mainland, ...plan.island]
  say(`${made.length} corrections on both sides, ${plan.contested} values by both`)
  const [here, there] = [(await a.status()).digest, (await c.status()).digest]
  check('the two sides differ now', here !== there)
  for (const { relay } of [a, b, c]) relay.heal()
  say('the cable is back')
  return { made, plan }
}

/** Gives the sensor and time whose rival corrections were settled. */
async function resolveOne(gateway: Gateway): Promise<string> {
  for await (const { sensor, time, fields, seen } of gateway.client.stream('query', {
    onlyConflicts: true,
    seen: true,
  })) {
    const field = fields.find(({ conflict }) => conflict !== undefined)
    const value = field?.amendments[0]?.value
    if (field?.conflict !== 'amend/amend' || value === undefined) continue
    await gateway.client.call('resolve', {
      sensor,
      time,
      field: field.field,
      choice: { value },
      seen,
      user: 'anna',
      why: 'checked by hand',
    })
    say(`anna resolved ${sensor} ${field.field}: ${value}`)
    return `${sensor} ${time}`
  }
  throw new Error('there was no conflict to resolve')
}

/** Full and incremental backup of the founder, then its end and its return. */
async function loseFounder(a: Gateway, b: Gateway, c: Gateway): Promise<void> {
  const vault = join(folder, 'vault')
  const secret = { HEDGEROW_PASSPHRASE: Buffer.from(systemRandom.bytes(16)).toString('hex') }
  const key = join(folder, 'barn-identity.txt')
  await hedgerow(['identity', 'export', key, '--dir', a.dir], secret)
  await hedgerow(['vault', 'init', vault, '--dir', a.dir], secret)
  await hedgerow(['backup', 'create', '--vault', vault, '--full', '--dir', a.dir], secret)
  await hedgerow(['append', '--dir', a.dir, '--sensor', 'barn/door', 'open=true'])
  await hedgerow(['backup', 'create', '--vault', vault, '--incremental', '--dir', a.dir], secret)
  say('full and incremental backup made')
  await hedgerow(['append', '--dir', a.dir, '--sensor', 'barn/door', 'open=false'])
  await until('nothing to be at risk', 30_000, async () => (await a.status()).atRisk === 0)
  await a.kill()
  await a.destroy()
  say(
    `${a.name}, the founder, was killed and its directory deleted, key included: ${existsSync(a.dir) ? 'still there' : 'gone'}`,
  )
  await hedgerow(['append', '--dir', b.dir, '--sensor', 'greenhouse/vent', 'open=true'])
  await hedgerow(['backup', 'restore', '--vault', vault, '--to', a.dir], secret)
  await hedgerow(['identity', 'import', key, '--dir', a.dir], secret)
  await hedgerow(['append', '--dir', a.dir, '--sensor', 'barn/door', 'open=true'])
  await a.start([b.direct])
  say('restored from the vault, with its exported identity; rejoining')
  await until('the founder to be connected', 30_000, async () =>
    (await c.status()).peers.every(({ connected }) => connected),
  )
}

/** Waits until all show one digest, then compares the contents. */
async function same(what: string, all: readonly Gateway[]): Promise<void> {
  await until(`one digest (${what})`, minuteMs, async () => {
    const digests = await Promise.all(all.map(async (gateway) => (await gateway.status()).digest))
    return new Set(digests).size === 1
  })
  const states = await Promise.all(all.map((gateway) => gateway.status(true)))
  check(
    `${what}: digest ${states[0]?.digest.slice(0, 12)}, content ${states[0]?.content?.slice(0, 12)}`,
    new Set(states.map(({ digest, content }) => `${digest} ${content}`)).size === 1,
  )
  await writeFile(join(folder, 'last-state.json'), JSON.stringify(states, null, 2))
}
