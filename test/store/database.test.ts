import assert from 'node:assert/strict'
import { ClosedError, DamagedError, StorageError } from '../../src/model/index.ts'
import { Database, DamagedValueError, type Operation } from '../../src/store/database.ts'
import { diskFull, failingEngine, flipBit, fsyncFailed, newEngine, type WriteFault } from '../support/faulty-engine.ts'
import { diskEngine } from '../support/store.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

const put = (key: string, text: string): Operation => ({ type: 'put', key, value: Buffer.from(text) })
const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString()

/** A database whose batches fail as told; with what it read again after each recovery. */
async function failing(
  faults: Readonly<Record<number, WriteFault>>,
): Promise<{ database: Database; reopened: (string | undefined)[]; failures: Error[] }> {
  const database = await Database.open(failingEngine(newEngine(), (n) => faults[n]))
  const reopened: (string | undefined)[] = []
  const failures: Error[] = []
  database.onReopened(async (disk) => {
    reopened.push(text(await disk.get('k')))
  })
  database.onFailure((error) => failures.push(error))
  return { database, reopened, failures }
}

describe('database', () => {
  it('gives back what was written, under its key only, and nothing after a delete', async () => {
    await using database = await Database.open(newEngine())
    await database.write([put('a', '1'), put('b', '')])
    assert.equal(text(await database.get('a')), '1')
    assert.equal(text(await database.get('b')), '')
    await database.write([{ type: 'del', key: 'a' }])
    assert.equal(await database.get('a'), undefined)
    assert.deepEqual(await Array.fromAsync(database.keys({})), ['b'])
  })

  it('notices every flipped bit of a value, and a value that stands at another key', async () => {
    const engine = newEngine()
    await using database = await Database.open(engine)
    await database.write([put('a', 'some text'), put('b', 'other text')])
    const bits = (4 + 'some text'.length) * 8
    for (let bit = 0; bit < bits; bit++) {
      await flipBit(engine, 'a', bit)
      await assert.rejects(database.get('a'), DamagedValueError)
      await assert.rejects(Array.fromAsync(database.entries({})), { key: 'a' })
      await flipBit(engine, 'a', bit)
    }
    assert.equal(text(await database.get('a')), 'some text')
    const options = { keyEncoding: 'utf8', valueEncoding: 'view' } as never
    await engine.put('b' as never, (await engine.get('a' as never, options)) as never, options)
    await assert.rejects(database.get('b'), DamagedError)
  })

  it('shows a snapshot its own moment', async () => {
    await using database = await Database.open(newEngine())
    await database.write([put('k', 'before')])
    await using snapshot = database.snapshot()
    await database.write([put('k', 'after'), put('l', 'new')])
    assert.equal(text(await snapshot.get('k')), 'before')
    assert.deepEqual(await Array.fromAsync(snapshot.keys({})), ['k'])
  })

  it('reads the disk again after a failed write, and lets the writes that waited go on', async () => {
    for (const written of [false, true]) {
      const { database, reopened, failures } = await failing({ 2: { error: diskFull(), written } })
      await database.write([put('k', 'old')])
      const failed = database.write([put('k', 'new')])
      await Promise.resolve()
      const waiting = database.write([put('l', 'waited')])
      await assert.rejects(
        failed,
        (error: Error) => error instanceof StorageError && /No space left/.test(error.message),
      )
      // This read was asked for during the recovery.
      assert.equal(text(await database.get('k')), written ? 'new' : 'old')
      await waiting
      assert.deepEqual(reopened, [written ? 'new' : 'old'])
      assert.deepEqual(failures, [])
      assert.equal(text(await database.get('l')), 'waited')
      await database.close()
    }
  })

  it('refuses every write after one that fsync may have failed, and tells once', async () => {
    const { database, reopened, failures } = await failing({ 1: { error: fsyncFailed() } })
    await assert.rejects(database.write([put('k', '1')]), StorageError)
    await assert.rejects(database.write([put('k', '2')]), StorageError)
    assert.deepEqual([reopened.length, failures.length], [0, 1])
    assert.equal(await database.get('k'), undefined)
    await database.close()
  })

  it('gives up when the first write after a recovery fails too', async () => {
    const { database, reopened, failures } = await failing({ 2: { error: diskFull() }, 3: { error: diskFull() } })
    await database.write([put('k', '1')])
    await assert.rejects(database.write([put('k', '2')]), StorageError)
    await assert.rejects(database.write([put('k', '3')]), StorageError)
    await assert.rejects(database.write([put('k', '4')]), StorageError)
    assert.deepEqual([reopened.length, failures.length], [1, 1])
    await database.close()
  })

  it('fails a snapshot of before a recovery, and never shows it another moment', async () => {
    const { database } = await failing({ 2: { error: diskFull(), written: true } })
    await database.write([put('k', 'old')])
    const snapshot = database.snapshot()
    await assert.rejects(database.write([put('k', 'new')]), StorageError)
    await database.ready()
    await assert.rejects(snapshot.get('k'), StorageError)
    await database.close()
  })

  it('recovers on LevelDB too, while a snapshot and an iterator are open, and keeps what it wrote', async () => {
    await using folder = await temporaryDirectory()
    const faults = new Map<number, WriteFault>([[3, { error: diskFull() }]])
    const database = await Database.open(failingEngine(diskEngine(folder.path), (n) => faults.get(n)))
    database.onReopened(async (disk) => assert.equal(text(await disk.get('a')), '1'))
    await database.write([put('a', '1')])
    await database.write([put('b', '2'), put('c', '3')])
    const snapshot = database.snapshot()
    const iterator = database.entries({})[Symbol.asyncIterator]()
    assert.equal((await iterator.next()).done, false)
    await assert.rejects(database.write([put('a', 'x'), put('d', 'x')]), StorageError)
    await database.write([put('e', '5')])
    assert.deepEqual(await Array.fromAsync(database.keys({})), ['a', 'b', 'c', 'e'])
    assert.equal(text(await database.get('a')), '1')
    await assert.rejects(snapshot.get('a'), StorageError)
    await iterator.return?.()
    await database.close()
    await using again = await Database.open(diskEngine(folder.path))
    assert.deepEqual(await Array.fromAsync(again.keys({})), ['a', 'b', 'c', 'e'])
  })

  it('refuses to work once it is closed, and closes twice without an error', async () => {
    const database = await Database.open(newEngine())
    const written = database.write([put('k', '1')])
    await Promise.all([database.close(), database.close()])
    await written
    await assert.rejects(database.write([put('k', '2')]), ClosedError)
    await assert.rejects(database.get('k'), ClosedError)
    assert.throws(() => database.snapshot(), ClosedError)
  })
})
