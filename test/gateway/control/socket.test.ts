import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { connectControl } from '../../../src/gateway/control/client.ts'
import { serveControl } from '../../../src/gateway/control/server.ts'
import { socketPlace } from '../../../src/gateway/control/socket-place.ts'
import { wireLimits } from '../../../src/gateway/control/wire.ts'
import type { NodeClient, OperationContext, Operations } from '../../../src/gateway/operations.ts'
import { ClosedError, ConflictError } from '../../../src/model/index.ts'
import { temporaryDirectory } from '../../support/temp-dir.ts'

/** Operations that show what arrives: the socket does not know what they mean. */
interface Probe {
  readonly produced: number
  readonly ended: Promise<void>
  readonly operations: Operations
}

function probe(items: number): Probe {
  const { promise, resolve } = Promise.withResolvers<void>()
  const state = { produced: 0, ended: promise }
  const operations = {
    calls: {
      append: async (input: unknown) => input,
      remove: async () => {
        throw new ConflictError('the record changed')
      },
      amend: (_input: unknown, { signal }: OperationContext) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            resolve()
            reject(signal.reason)
          })
        }),
    },
    streams: {
      async *query() {
        try {
          for (; state.produced < items; state.produced++) yield { n: state.produced, text: 'x'.repeat(1_000) }
        } finally {
          resolve()
        }
      },
    },
  }
  return Object.assign(state, { operations: operations as unknown as Operations })
}

async function connected(dir: string): Promise<NodeClient> {
  const client = await connectControl(socketPlace(dir))
  assert.ok(client !== undefined)
  return client
}

const fail = (error: unknown): void => assert.fail(String(error))
const anything = {} as never

describe('control socket', () => {
  it('answers many calls at once on one connection, each its own', async () => {
    await using dir = await temporaryDirectory()
    await using _server = await serveControl(probe(0).operations, socketPlace(dir.path), fail)
    await using client = await connected(dir.path)
    const inputs = Array.from({ length: 50 }, (_, n) => ({ readings: [], n: BigInt(n) }))
    assert.deepEqual(await Promise.all(inputs.map((input) => client.call('append', input))), inputs)
  })

  it('lets only its owner in', async () => {
    await using dir = await temporaryDirectory()
    await using _server = await serveControl(probe(0).operations, socketPlace(dir.path), fail)
    assert.equal(statSync(join(dir.path, 'node.sock')).mode & 0o777, 0o600)
  })

  it('throws errors as the class they were thrown as', async () => {
    await using dir = await temporaryDirectory()
    await using _server = await serveControl(probe(0).operations, socketPlace(dir.path), fail)
    await using client = await connected(dir.path)
    await assert.rejects(client.call('remove', anything), new ConflictError('the record changed'))
  })

  it('streams everything in order', async () => {
    await using dir = await temporaryDirectory()
    await using _server = await serveControl(probe(5_000).operations, socketPlace(dir.path), fail)
    await using client = await connected(dir.path)
    let next = 0
    for await (const item of client.stream('query', {})) assert.equal((item as unknown as { n: number }).n, next++)
    assert.equal(next, 5_000)
  })

  it('holds the producer back while nobody takes', async () => {
    await using dir = await temporaryDirectory()
    const source = probe(1_000_000)
    await using _server = await serveControl(source.operations, socketPlace(dir.path), fail)
    await using client = await connected(dir.path)
    const stream = client.stream('query', {})[Symbol.asyncIterator]()
    await stream.next()
    let before = -1
    while (source.produced !== before) {
      before = source.produced
      await client.call('append', anything)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.ok(source.produced <= (wireLimits.windowChunks + 2) * wireLimits.chunkItems)
    await stream.return?.()
    await source.ended
  })

  it('ends the producer when the reader leaves the loop', async () => {
    await using dir = await temporaryDirectory()
    const source = probe(1_000_000)
    await using _server = await serveControl(source.operations, socketPlace(dir.path), fail)
    await using client = await connected(dir.path)
    for await (const _ of client.stream('query', {})) break
    await source.ended
    assert.ok(source.produced < 1_000_000)
  })

  it('aborts what a client asked for when the signal or the connection ends', async () => {
    await using dir = await temporaryDirectory()
    const source = probe(0)
    await using _server = await serveControl(source.operations, socketPlace(dir.path), fail)
    await using client = await connected(dir.path)
    const abort = new AbortController()
    const call = client.call('amend', anything, { signal: abort.signal })
    abort.abort()
    await assert.rejects(call)
    await source.ended
  })

  it('tells waiting calls that the node has stopped', async () => {
    await using dir = await temporaryDirectory()
    const server = await serveControl(probe(0).operations, socketPlace(dir.path), fail)
    await using client = await connected(dir.path)
    const call = client.call('amend', anything)
    await client.call('append', anything)
    await server.close()
    await assert.rejects(call, ClosedError)
    assert.equal(existsSync(join(dir.path, 'node.sock')), false)
  })

  it('counts a socket that a crash left as no node, and is replaced by the next one', async () => {
    await using dir = await temporaryDirectory()
    const path = join(dir.path, 'node.sock')
    writeFileSync(path, '')
    assert.equal(await connectControl(socketPlace(dir.path)), undefined)
    await using _server = await serveControl(probe(0).operations, socketPlace(dir.path), fail)
    await using client = await connected(dir.path)
    assert.deepEqual(await client.call('append', { readings: [] }), { readings: [] })
  })

  it('is found where the directory has a path too long for a socket', async () => {
    await using temporary = await temporaryDirectory()
    const dir = join(temporary.path, 'd'.repeat(120))
    mkdirSync(dir)
    const server = await serveControl(probe(0).operations, socketPlace(dir), fail)
    const far = readFileSync(join(dir, 'node.sock.path'), 'utf8').trim()
    assert.equal(statSync(dirname(far)).mode & 0o777, 0o700)
    await using client = await connected(dir)
    assert.deepEqual(await client.call('append', { readings: [] }), { readings: [] })
    await server.close()
    assert.equal(existsSync(dirname(far)), false)
    assert.equal(await connectControl(socketPlace(dir)), undefined)
  })

  it('gives a peer that speaks nonsense the end of the stream, and goes on', async () => {
    await using dir = await temporaryDirectory()
    const faults: unknown[] = []
    await using _server = await serveControl(probe(0).operations, socketPlace(dir.path), (error) => faults.push(error))
    const { connect } = await import('node:net')
    const stranger = connect(join(dir.path, 'node.sock'))
    const closed = new Promise((resolve) => stranger.on('close', resolve))
    stranger.on('error', () => undefined)
    stranger.write('GET / HTTP/1.1\r\n\r\n')
    await closed
    assert.equal(faults.length, 1)
    await using client = await connected(dir.path)
    assert.deepEqual(await client.call('append', { readings: [] }), { readings: [] })
  })

  it('does not take a file that another kind of server made for its own', async () => {
    await using dir = await temporaryDirectory()
    const other = createServer((socket) => socket.resume().end('hello'))
    await new Promise<void>((resolve) => {
      other.listen(join(dir.path, 'node.sock'), resolve)
    })
    const client = await connected(dir.path)
    await assert.rejects(client.call('append', { readings: [] }))
    await client.close()
    await new Promise((resolve) => other.close(resolve))
  })
})
