import assert from 'node:assert/strict'
import { createSeededRandom, createVirtualClock, type VirtualClock } from '../../src/peer/index.ts'
import type { Engine } from '../../src/store/index.ts'
import { SimulatedDisk } from '../../scripts/simulate/crashable-level.ts'

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

interface Setup {
  readonly clock: VirtualClock
  readonly disk: SimulatedDisk
  readonly open: () => Promise<Engine>
  /** Runs the clock until a write is done. */
  readonly put: (engine: Engine, key: string, value: string, sync: boolean) => Promise<void>
}

function setUp(seed = 1): Setup {
  const clock = createVirtualClock(0)
  const disk = new SimulatedDisk({ clock, random: createSeededRandom(seed), syncMs: [5, 10] })
  return {
    clock,
    disk,
    async open() {
      const engine = disk.engine()
      await engine.open()
      return engine
    },
    async put(engine, key, value, sync) {
      await Promise.all([write(engine, key, value, sync), clock.runFor(sync ? 10 : 0)])
    },
  }
}

function write(engine: Engine, key: string, value: string, sync: boolean): Promise<void> {
  return engine.batch([{ type: 'put', key, value: bytes(value) }] as never, { sync } as never)
}

async function keysOf(engine: Engine): Promise<string[]> {
  return (await engine.keys().all()) as unknown as string[]
}

describe('simulated disk', () => {
  it('keeps synced batches, and all before them, through a crash', async () => {
    const { disk, open, put } = setUp()
    const engine = await open()
    await put(engine, 'a', '1', false)
    await put(engine, 'b', '2', true)
    await put(engine, 'c', '3', false)
    assert.deepEqual(await keysOf(engine), ['a', 'b', 'c'])
    disk.crash()
    assert.deepEqual(await keysOf(await open()), ['a', 'b'])
  })

  it('keeps everything when the engine is closed', async () => {
    const { open, put } = setUp()
    const engine = await open()
    await put(engine, 'a', '1', false)
    await engine.close()
    assert.deepEqual(await keysOf(await open()), ['a'])
  })

  it('lets no write of a crashed process through', async () => {
    const { disk, open, put } = setUp()
    const engine = await open()
    disk.crash()
    await assert.rejects(put(engine, 'a', '1', true), /the power was cut/)
    assert.deepEqual(await keysOf(await open()), [])
  })

  it('acknowledges no batch that a crash cut short, whether it reached the disk or not', async () => {
    const landed = new Set<number>()
    for (let seed = 0; seed < 16; seed++) {
      const { clock, disk, open } = setUp(seed)
      const engine = await open()
      const refused = assert.rejects(write(engine, 'a', '1', true), /the power was cut/)
      await clock.runFor(4)
      disk.crash()
      await refused
      landed.add((await keysOf(await open())).length)
    }
    assert.deepEqual(landed, new Set([0, 1]))
  })

  it('comes up in an earlier state', async () => {
    const { clock, disk, open, put } = setUp()
    const engine = await open()
    await put(engine, 'a', '1', true)
    const thenMs = clock.monotonicMs()
    await put(engine, 'a', '2', true)
    await put(engine, 'b', '3', true)
    disk.rollback(thenMs)
    const again = await open()
    assert.deepEqual(await keysOf(again), ['a'])
    assert.deepEqual(Buffer.from((await again.get('a' as never)) as Uint8Array).toString(), '1')
  })

  it('opens an engine again that was closed, and none after a crash', async () => {
    const { disk, open, put } = setUp()
    const engine = await open()
    await put(engine, 'a', '1', true)
    await engine.close()
    await engine.open()
    assert.deepEqual(await keysOf(engine), ['a'])
    disk.crash()
    await engine.close()
    await assert.rejects(async () => engine.open())
  })

  it('holds one engine at a time', async () => {
    const { disk, open } = setUp()
    await open()
    assert.throws(() => disk.engine(), /the disk is in use/)
  })
})
