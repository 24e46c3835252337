/** Stores of one site for tests: real keys, real documents, on LevelDB in a folder or in memory. */
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { Level } from 'level'
import { MemoryLevel } from 'memory-level'
import {
  nodeIdOf,
  parseFieldName,
  parseSensorId,
  systemClock,
  type Clock,
  type Random,
  type Reading,
  type Value,
} from '../../src/model/index.ts'
import {
  createStore,
  foundSite,
  issueCertificate,
  openStore,
  type Engine,
  type Signer,
  type Store,
  type StoreOptions,
} from '../../src/store/index.ts'

/** A node's signer from a number: the same number is the same node. */
export function testSigner(n: number): Signer {
  const seed = createHash('sha256').update(`test signer ${n}`).digest()
  const key = createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]),
    format: 'der',
    type: 'pkcs8',
  })
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  return { node: nodeIdOf(publicKey), sign: (message) => sign(null, message, key) }
}

/** Random bytes that are the same for the same seed. */
export function testRandom(seed: number): Random {
  let n = 0
  const bytes = (length: number): Uint8Array => {
    const out = Buffer.alloc(length)
    for (let at = 0; at < length; at += 32)
      createHash('sha256').update(`test random ${seed} ${n++}`).digest().copy(out, at)
    return out
  }
  return { bytes, uniform: () => Buffer.from(bytes(6)).readUIntBE(0, 6) / 2 ** 48 }
}

export function diskEngine(folder: string): Engine {
  return new Level(folder, { keyEncoding: 'utf8', valueEncoding: 'view' }) as unknown as Engine
}

export function memoryEngine(): Engine {
  return new MemoryLevel({ keyEncoding: 'utf8', valueEncoding: 'view' }) as unknown as Engine
}

export interface TestNode {
  readonly store: Store
  readonly signer: Signer
  readonly options: StoreOptions
}

/** Opens stores of one site, in memory unless engines are given; the first is the founder, the others are writers. */
export async function openTestSite(
  count: number,
  options: {
    readonly engine?: (n: number) => Engine
    readonly clock?: Clock
    readonly store?: Partial<StoreOptions>
    readonly seed?: number
  } = {},
): Promise<TestNode[]> {
  const founder = testSigner(0)
  const { site, entry } = foundSite(founder, 'node-0')
  const nodes: TestNode[] = []
  const entries = [entry]
  for (let n = 0; n < count; n++) {
    const signer = testSigner(n)
    const storeOptions: StoreOptions = {
      engine: options.engine?.(n) ?? memoryEngine(),
      clock: options.clock ?? systemClock,
      random: testRandom((options.seed ?? 0) * 1000 + n),
      signer,
      ...options.store,
    }
    if (n > 0)
      entries.push(
        issueCertificate(founder, (nodes[0] as TestNode).store.members, {
          node: signer.node,
          name: `node-${n}`,
          role: 'writer',
        }),
      )
    const store = await createStore(storeOptions, { site, members: entries })
    nodes.push({ store, signer, options: storeOptions })
  }
  for (const { store } of nodes) await store.members.add(entries)
  return nodes
}

export { openStore }

export function reading(sensor: string, time: number, fields: Readonly<Record<string, Value>>): Reading {
  return {
    sensor: parseSensorId(sensor),
    time,
    fields: Object.entries(fields).map(([field, value]) => ({ field: parseFieldName(field), value })),
  }
}

/** Sends everything `to` lacks from `from`, as a peer would. */
export async function copyAll(from: TestNode, to: TestNode, options: { readonly seals?: boolean } = {}): Promise<void> {
  await using snapshot = await from.store.snapshot()
  await using held = await to.store.snapshot()
  for await (const { id, seal, heads } of snapshot.documents()) {
    const state = await held.state(id)
    if (state !== undefined && state.heads.join() === heads.join() && state.seal === seal) continue
    const signed = seal !== undefined && options.seals !== false ? await snapshot.seal(id) : undefined
    if (signed !== undefined) {
      await to.store.receiveSealed(signed, (index) => snapshot.sealedPart(id, index), from.signer.node)
      continue
    }
    const changes = await snapshot.changesSince(id, state?.tips ?? [])
    if (changes.changes.length > 0) await to.store.receive(changes, from.signer.node)
  }
}
