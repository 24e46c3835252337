import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Level } from 'level'
import { initDirectory, openClient, openNode, joinDirectory } from '../../src/gateway/index.ts'
import { systemClock, systemRandom } from '../../src/model/index.ts'
import type { BenchResult } from './index.ts'
import { inFolder, timed, workload } from './workload.ts'

const readings = 1_000_000
const batch = 600
const cli = fileURLToPath(new URL('../../bin/hedgerow.js', import.meta.url))
const environment = { clock: systemClock, random: systemRandom, log: (): void => undefined }

/** An empty node takes in a million sealed two-field readings from a node in another process, over libp2p on loopback. */
export function catchup(): Promise<BenchResult> {
  return inFolder(async (folder) => {
    const source = join(folder, 'source')
    const empty = join(folder, 'empty')
    await initDirectory(source, { name: 'source', ...environment })
    await append(source)
    const { ms, bytes } = await runCatchup(source, empty)
    const plain = await timed(() => plainCopy(join(folder, 'plain')))
    return {
      value: Math.round((readings / ms) * 1000),
      unit: 'readings/s',
      baseline: Math.round((readings / plain) * 1000),
      baselineWhat: 'the same readings as JSON lines over TCP into level, synced batches of 600',
      readings,
      documentBytesPerReading: Number((bytes / readings).toFixed(2)),
    }
  })
}

async function append(dir: string): Promise<void> {
  await using node = await openNode({ dir, mode: 'offline' })
  const all = workload(readings)
  for (let at = 0; at < all.length; at += batch) await node.store.append(all.slice(at, at + batch), { flush: true })
}

async function runCatchup(source: string, empty: string): Promise<{ readonly ms: number; readonly bytes: number }> {
  const child = spawn(
    process.execPath,
    [cli, 'run', '--dir', source, '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json'],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  )
  try {
    const { addresses } = JSON.parse(await firstLine(child)) as { addresses: string[] }
    await using client = await openClient(source)
    const { code } = await client.call('invite', { role: 'writer', expiresMs: 3_600_000 })
    await joinDirectory(empty, code, { ...environment, signal: AbortSignal.timeout(30_000) })
    await using node = await openNode({
      dir: empty,
      mode: 'run',
      listen: ['/ip4/127.0.0.1/tcp/0'],
      staticPeers: addresses,
      mdns: false,
    })
    const ms = await timed(async () => {
      while ((await node.store.totals()).records < readings) await systemClock.sleep(5)
    })
    return { ms, bytes: (await node.store.totals()).bytes }
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
}

async function firstLine(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) return line
  throw new Error('the source node ended before it said its addresses')
}

/** The plain way: one process sends JSON lines, this one writes each as a value. */
async function plainCopy(folder: string): Promise<void> {
  const server = createServer((socket) => {
    void (async () => {
      for (const reading of workload(readings))
        if (!socket.write(`${JSON.stringify(reading)}\n`)) await once(socket, 'drain')
      socket.end()
    })()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const db = new Level(folder)
  let waiting: { type: 'put'; key: string; value: string }[] = []
  for await (const line of createInterface({ input: connect(port, '127.0.0.1') })) {
    const { sensor, time } = JSON.parse(line) as { sensor: string; time: number }
    waiting.push({ type: 'put', key: `${sensor}!${time}`, value: line })
    if (waiting.length < batch) continue
    await db.batch(waiting, { sync: true })
    waiting = []
  }
  await db.batch(waiting, { sync: true })
  await db.close()
  server.close()
}
