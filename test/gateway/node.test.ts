import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { copyFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { directory } from '../../src/gateway/directory.ts'
import { initDirectory, joinDirectory, openClient, openNode, whenFree, type Node } from '../../src/gateway/index.ts'
import { redeem } from '../../src/gateway/join-site.ts'
import { freePort } from '../../src/gateway/ports.ts'
import { finishSiteChange, planSiteChange } from '../../src/gateway/site-change.ts'
import {
  LockedError,
  NotAllowedError,
  NotFoundError,
  parseFieldName,
  parseSensorId,
  StorageError,
  systemClock,
  systemRandom,
  WrongSiteError,
  type Reading,
} from '../../src/model/index.ts'
import { temporaryDirectory } from '../support/temp-dir.ts'

const environment = { clock: systemClock, random: systemRandom }
const listen = ['/ip4/127.0.0.1/tcp/0']
const reading: Reading = { sensor: parseSensorId('a'), time: 1, fields: [{ field: parseFieldName('v'), value: 1 }] }

describe('node', () => {
  it('keeps its directory and key to its owner', async () => {
    await using dir = await temporaryDirectory()
    const path = join(dir.path, 'node')
    await initDirectory(path, environment)
    assert.equal((await stat(path)).mode & 0o777, 0o700)
    assert.equal((await stat(join(path, 'identity.key'))).mode & 0o777, 0o600)
  })

  it('is not opened where there is no store, and makes nothing there', async () => {
    await using dir = await temporaryDirectory()
    await assert.rejects(openNode({ dir: dir.path, mode: 'offline' }), NotFoundError)
    assert.deepEqual(await readdir(dir.path), [])
  })

  it('names the holder when its store is in use, and can be opened once that closes', async () => {
    await using dir = await temporaryDirectory()
    await initDirectory(dir.path, environment)
    const first = await openNode({ dir: dir.path, mode: 'offline' })
    await assert.rejects(openNode({ dir: dir.path, mode: 'offline' }), (error) => {
      assert.ok(error instanceof LockedError)
      assert.match(error.message, new RegExp(`${dir.path} is in use by process ${process.pid}`))
      return true
    })
    await first.close()
    await first.close()
    await using _second = await openNode({ dir: dir.path, mode: 'offline' })
  })

  it('waits for its store while a short command has it', async () => {
    await using dir = await temporaryDirectory()
    await initDirectory(dir.path, environment)
    const first = await openNode({ dir: dir.path, mode: 'offline' })
    let refused = 0
    await using second = await whenFree(dir.path, async () => {
      try {
        return await openNode({ dir: dir.path, mode: 'run', listen, mdns: false })
      } catch (error) {
        refused++
        await first.close()
        throw error
      }
    })
    assert.equal(refused, 1)
    assert.ok(second.peer !== undefined)
    await assert.rejects(
      whenFree(dir.path, () => {
        refused++
        return openNode({ dir: dir.path, mode: 'run', listen, mdns: false })
      }),
      LockedError,
    )
    assert.equal(refused, 2)
  })

  it('refuses a key of another site', async () => {
    await using dir = await temporaryDirectory()
    const [one, other] = [join(dir.path, 'one'), join(dir.path, 'other')]
    await initDirectory(one, environment)
    await initDirectory(other, environment)
    await copyFile(join(other, 'identity.key'), join(one, 'identity.key'))
    await assert.rejects(openNode({ dir: one, mode: 'offline' }), WrongSiteError)
    await using node = await openNode({ dir: other, mode: 'offline' })
    assert.ok(node.identity !== undefined)
  })

  it('without an identity can be read, but neither written nor run', async () => {
    await using dir = await temporaryDirectory()
    await initDirectory(dir.path, environment)
    {
      await using node = await openNode({ dir: dir.path, mode: 'offline' })
      await node.store.append([reading], { flush: true })
    }
    await rm(join(dir.path, 'identity.key'))
    await using node = await openNode({ dir: dir.path, mode: 'offline' })
    assert.equal((await node.store.totals()).records, 1)
    await assert.rejects(node.store.append([reading], { flush: true }), NotAllowedError)
    await node.close()
    await assert.rejects(
      openNode({ dir: dir.path, mode: 'run', listen, mdns: false }),
      /identity import FILE.*join CODE.*--new-site/,
    )
  })

  it('keeps a reserve on the disk', async () => {
    await using dir = await temporaryDirectory()
    await initDirectory(dir.path, environment)
    await using _node = await openNode({ dir: dir.path, mode: 'offline' })
    const { size, blocks } = await stat(join(dir.path, 'reserve'))
    assert.ok(blocks * 512 >= size && size > 0)
  })

  it('answers through its socket while it runs, and the store answers when it does not', async () => {
    await using dir = await temporaryDirectory()
    await initDirectory(dir.path, environment)
    {
      await using _node = await openNode({ dir: dir.path, mode: 'run', listen, mdns: false })
      await using client = await openClient(dir.path)
      assert.equal(client.remote, true)
      assert.deepEqual(await client.call('append', { readings: [reading], flush: true }), {
        appended: 1,
        duplicates: 0,
      })
    }
    await using client = await openClient(dir.path)
    assert.equal(client.remote, false)
    assert.deepEqual(await client.call('append', { readings: [reading], flush: true }), { appended: 0, duplicates: 1 })
  })

  it('finishes a change of site that a crash interrupted', async () => {
    await using dir = await temporaryDirectory()
    const [barn, house] = [join(dir.path, 'barn'), join(dir.path, 'house')]
    await initDirectory(barn, { ...environment, name: 'barn' })
    const { node: before } = await initDirectory(house, { ...environment, name: 'house' })
    {
      await using node = await openNode({ dir: house, mode: 'offline' })
      await node.store.append([reading], { flush: true })
    }
    await using inviter = await openNode({ dir: barn, mode: 'run', listen, mdns: false })
    const { code } = await inviter.operations.calls.invite(
      { role: 'writer', expiresMs: 60_000 },
      { signal: new AbortController().signal },
    )
    let identity
    {
      await using node = await openNode({ dir: house, mode: 'offline' })
      identity = node.identity
    }
    const joined = await redeem(
      code,
      'house',
      { ...environment, log: () => undefined, signal: new AbortController().signal },
      identity,
    )
    await planSiteChange(directory(house), joined)
    // The crash. Nothing but the plan is there; opening the directory does the rest, once.
    {
      await using node = await openNode({ dir: house, mode: 'offline' })
      assert.equal(node.store.site, inviter.store.site)
      assert.equal(node.store.node, before)
      assert.equal((await node.store.totals()).records, 1)
    }
    assert.equal(existsSync(directory(house).joining), false)
    await finishSiteChange(directory(house), environment)
    await planSiteChange(directory(house), joined)
    await using again = await openNode({ dir: house, mode: 'offline' })
    assert.equal((await again.store.totals()).records, 1)
  })
})

describe('founding a site', () => {
  it('begins anew where an attempt was interrupted', async () => {
    await using dir = await temporaryDirectory()
    const { node } = await initDirectory(dir.path, environment)
    const { store, founding } = directory(dir.path)
    // As a kill before the last step leaves it.
    await rename(store, founding)
    const again = await initDirectory(dir.path, environment)
    assert.notEqual(again.node, node)
    await using _node = await openNode({ dir: dir.path, mode: 'offline' })
    assert.equal(existsSync(founding), false)
  })

  it('names a directory that cannot be made', async () => {
    await using dir = await temporaryDirectory()
    await writeFile(join(dir.path, 'file'), '')
    for (const [path, reason] of [
      [join(dir.path, 'file'), /a file of that name is there/],
      [join(dir.path, 'file', 'node'), /ENOTDIR/],
      ['/proc/node', /ENOENT/],
    ] as const)
      await assert.rejects(initDirectory(path, environment), (error) => {
        assert.ok(error instanceof StorageError)
        assert.match(error.message, reason)
        return error.message.includes(path)
      })
  })
})

describe('joining a site', () => {
  const invited = async (inviter: Node): Promise<string> =>
    (
      await inviter.operations.calls.invite(
        { role: 'writer', expiresMs: 60_000 },
        { signal: new AbortController().signal },
      )
    ).code

  it('is the same node and the same invite again where the answer was lost', async () => {
    await using dir = await temporaryDirectory()
    const [barn, house] = [join(dir.path, 'barn'), join(dir.path, 'house')]
    await initDirectory(barn, environment)
    const lost = new AbortController()
    await using inviter = await openNode({
      dir: barn,
      mode: 'run',
      listen,
      mdns: false,
      log: (_level, message) => {
        if (message === 'a node joined') lost.abort(new Error('the answer is lost'))
      },
    })
    const code = await invited(inviter)
    const attempt = (signal: AbortSignal) =>
      joinDirectory(house, code, { ...environment, log: () => undefined, signal })
    await assert.rejects(attempt(lost.signal), /the answer is lost/)
    assert.equal(inviter.store.members.members().length, 2)
    const { node } = await attempt(new AbortController().signal)
    assert.ok(inviter.store.members.member(node) !== undefined)
    assert.equal(inviter.store.members.members().length, 2)
    assert.equal(existsSync(directory(house).joiningKey), false)
  })

  it('that is refused leaves nothing behind', async () => {
    await using dir = await temporaryDirectory()
    const [barn, house] = [join(dir.path, 'barn'), join(dir.path, 'house')]
    await initDirectory(barn, environment)
    await using inviter = await openNode({ dir: barn, mode: 'run', listen, mdns: false })
    const code = await invited(inviter)
    const options = { ...environment, log: () => undefined, signal: new AbortController().signal }
    await joinDirectory(join(dir.path, 'other'), code, options)
    await assert.rejects(joinDirectory(house, code, options), NotAllowedError)
    assert.equal(existsSync(house), false)
  })
})

describe('listening port', () => {
  it('is the next free one where the preferred one is taken', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve)
    })
    const { port } = server.address() as { port: number }
    const found = await freePort(port)
    assert.ok(found > port && found < port + 100)
    await new Promise((resolve) => server.close(resolve))
  })
})
