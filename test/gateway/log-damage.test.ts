import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openNode } from '../../src/gateway/index.ts'
import { founded } from '../support/founded.ts'
import { reading } from '../support/store.ts'

describe('a damaged database log', () => {
  it('is named in status, though LevelDB drops what stood there without an error', async () => {
    await using place = await founded()
    const dir = join(place.path, 'node')
    {
      await using node = await openNode({ dir, mode: 'offline' })
      for (let i = 0; i < 20; i++)
        await node.store.append([reading('s', 1_700_000_000_000_000 + i, { a: i })], { flush: true })
    }
    {
      await using node = await openNode({ dir, mode: 'offline' })
      const { warnings } = await node.operations.calls.status({}, { signal: new AbortController().signal })
      assert.ok(!warnings.some((warning) => warning.includes('log')), warnings.join())
      await node.store.append([reading('s', 1_700_000_001_000_000, { a: 99 })], { flush: true })
    }
    const store = join(dir, 'store')
    const [log] = (await readdir(store)).filter((name) => name.endsWith('.log'))
    const bytes = await readFile(join(store, log as string))
    const middle = Math.floor(bytes.length / 2)
    bytes[middle] = (bytes[middle] as number) ^ 1
    await writeFile(join(store, log as string), bytes)
    for (let again = 0; again < 2; again++) {
      await using node = await openNode({ dir, mode: 'offline' })
      const { warnings } = await node.operations.calls.status({}, { signal: new AbortController().signal })
      assert.ok(
        warnings.some((warning) => /bytes of the database's log were damaged/.test(warning)),
        warnings.join(),
      )
    }
  })
})
