/** Opens, founds and moves stores: puts ledger, writer, intake and records together over one LevelDB. */
import { decode, encode } from 'cborg'
import {
  DamagedError,
  makeRunId,
  NotAllowedError,
  NotFoundError,
  policyId,
  VersionError,
  type SiteId,
} from '../model/index.ts'
import { Database, type Operation } from './database.ts'
import { DocumentWriter } from './document-writer.ts'
import { DiskWatch } from './disk-watch.ts'
import { Intake } from './intake.ts'
import { keys, under } from './keys.ts'
import { Ledger } from './ledger.ts'
import { openMembersSet } from './members.ts'
import { OrderClock } from './order.ts'
import { createRecords, type PolicyResolver, type Records } from './records/index.ts'
import { LedgerSnapshot } from './snapshot.ts'
import type { Store, StoreOptions } from './types.ts'
import { LevelStore } from './store.ts'

/** Version of the layout of keys and rows. */
const formatVersion = 1

/** Opens a store that was created before. Throws `NotFoundError` where there is none, `LockedError` if it is in use. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const database = await Database.open(options.engine)
  try {
    const stored = await database.get(keys.meta)
    if (stored === undefined)
      throw new NotFoundError('there is no store here: make one with `hedgerow init` or `hedgerow join`')
    const [version, site] = decode(stored) as [number, SiteId]
    if (version !== formatVersion)
      throw new VersionError(
        `this store has format ${version}; this release reads format ${formatVersion}: use a newer Hedgerow`,
      )
    return await assemble(database, options, site)
  } catch (error) {
    await database.close()
    throw error
  }
}

/** Creates an empty store of a site with the entries of its members set. Throws `NotAllowedError` if there is one already. */
export async function createStore(
  options: StoreOptions,
  founding: { readonly site: SiteId; readonly members: readonly Uint8Array[] },
): Promise<Store> {
  const database = await Database.open(options.engine)
  try {
    if ((await database.get(keys.meta)) !== undefined) throw new NotAllowedError('there is a store here already')
    await database.write(await foundingOperations(founding))
    return await assemble(database, options, founding.site)
  } catch (error) {
    await database.close()
    throw error
  }
}

/**
 * Makes the store another site's: its documents stay, its members set and policy are left behind. For a node that joins
 * after it had founded a site of its own. With `keepPolicy` the policy stays too: for a new site that adopts the old one.
 * The store must be closed.
 */
export async function moveStore(
  options: StoreOptions,
  to: { readonly site: SiteId; readonly members: readonly Uint8Array[]; readonly keepPolicy?: boolean },
): Promise<Store> {
  const database = await Database.open(options.engine)
  try {
    const operations: Operation[] = []
    const left = to.keepPolicy === true ? ['m'] : ['m', `c\0${policyId}`]
    for (const prefix of left)
      for await (const key of database.keys(under(prefix))) operations.push({ type: 'del', key })
    if (to.keepPolicy !== true) operations.push({ type: 'del', key: keys.document(policyId) })
    await database.write([...operations, ...(await foundingOperations(to))])
    return await assemble(database, options, to.site)
  } catch (error) {
    await database.close()
    throw error
  }
}

/** What makes a store one of a site, in one batch: an interrupted founding leaves no store without members. */
async function foundingOperations(founding: {
  readonly site: SiteId
  readonly members: readonly Uint8Array[]
}): Promise<Operation[]> {
  const operations: Operation[] = [{ type: 'put', key: keys.meta, value: encode([formatVersion, founding.site]) }]
  const verified = await openMembersSet({
    site: founding.site,
    load: async function* () {},
    save: async (entries) => {
      for (const [hash, value] of entries) operations.push({ type: 'put', key: keys.member(hash), value })
    },
  })
  await verified.add(founding.members)
  return operations
}

async function assemble(database: Database, options: StoreOptions, site: SiteId): Promise<Store> {
  const { clock, random, signer } = options
  const log = options.log ?? ((): void => undefined)
  const members = await openMembersSet({
    site,
    load: () => memberEntries(database),
    save: (entries) => database.write(entries.map(([hash, value]) => ({ type: 'put', key: keys.member(hash), value }))),
    onDamaged: (key, reason) => log('error', 'members entry left out until a peer sends it again', { key, reason }),
  })
  const run = makeRunId(clock.nowUs() / 1000, random.bytes(4))
  const order = new OrderClock(clock, 0)
  const ledger = new Ledger({
    database,
    members,
    clock,
    random,
    order,
    run,
    signer,
    log,
    keepActors: options.unsafeKeepActors ?? false,
  })
  const unread = await ledger.load()
  database.onReopened(async (disk, cause) => {
    const damaged = await ledger.load(disk)
    log('warn', 'a write failed: the database was opened anew, intake goes on in new journals', {
      reason: cause.message,
    })
    // Not before the recovery is over: it writes.
    ledger.quarantineUnread(damaged).catch((error: unknown) => {
      log('error', 'taking damaged documents out of use failed', { reason: String(error) })
    })
  })
  await ledger.quarantineUnread(unread)
  const writer = new DocumentWriter(ledger)
  const records = createRecords({
    documents: writer,
    node: signer?.node,
    log,
  })
  const policy = cachedPolicy(ledger, records)
  const disk = new DiskWatch(clock, options.freeBytes)
  const intake = new Intake(ledger, writer, policy, disk)
  return new LevelStore({ database, members, ledger, writer, records, policy, disk, intake, site })
}

async function* memberEntries(database: Database): AsyncIterable<readonly [string, Uint8Array]> {
  for await (const key of database.keys(under('m'))) {
    const value = await database.get(key).catch((error: unknown) => {
      // The members set names the entry as damaged by its key.
      if (error instanceof DamagedError) return new Uint8Array(0)
      throw error
    })
    if (value !== undefined) yield [key.slice(2), value]
  }
}

/** The policy as of its document's newest state; read again only after that changed. */
function cachedPolicy(ledger: Ledger, records: Records): () => Promise<PolicyResolver> {
  let current: Promise<PolicyResolver> | undefined
  ledger.onChange(({ state }) => {
    if (state.id === policyId) current = undefined
  })
  return () => {
    current ??= (async () => {
      await using snapshot = await LedgerSnapshot.take(ledger)
      return await records.policy(snapshot)
    })()
    current.catch(() => (current = undefined))
    return current
  }
}
