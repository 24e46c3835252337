/** Puts the store together: ledger, writer, intake and records over one LevelDB. */
import { createHash } from 'node:crypto'
import { decode, encode } from 'cborg'
import {
  ClosedError,
  DamagedError,
  HedgerowError,
  limits,
  makeRunId,
  NotAllowedError,
  NotFoundError,
  parseDocumentId,
  policyId,
  VersionError,
  type DocumentId,
  type NodeId,
  type SiteId,
  type Timer,
} from '../model/index.ts'
import { decodeBatch, summarizeBatch } from './batch-codec/index.ts'
import { Database, type Operation } from './database.ts'
import { DocumentWriter } from './document-writer.ts'
import { DiskWatch } from './disk-watch.ts'
import { Intake } from './intake.ts'
import { keys, under } from './keys.ts'
import { Ledger } from './ledger.ts'
import { openMembersSet, type MembersSet } from './members.ts'
import { OrderClock } from './order.ts'
import { receiveChanges } from './receive.ts'
import { receiveSealed } from './receive-sealed.ts'
import { createRecords, type PolicyResolver, type Records } from './records/index.ts'
import { scrub } from './scrub.ts'
import { sealLeftOpen } from './sealing.ts'
import { sideTable } from './side-table.ts'
import { LedgerSnapshot } from './snapshot.ts'
import type { Query, Store, StoreOptions } from './types.ts'

/** Version of the layout of keys and rows. */
const formatVersion = 1
/** How often quiet documents are looked for. */
const settleEveryMs = 60_000

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
    codec: { decode: decodeBatch, spans: (batch) => summarizeBatch(batch).sensors },
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

interface Parts {
  readonly database: Database
  readonly members: MembersSet
  readonly ledger: Ledger
  readonly writer: DocumentWriter
  readonly records: Records
  readonly policy: () => Promise<PolicyResolver>
  readonly disk: DiskWatch
  readonly intake: Intake
  readonly site: SiteId
}

class LevelStore implements Store {
  readonly site: Store['site']
  readonly run: Store['run']
  readonly node: Store['node']
  readonly members: MembersSet
  readonly side: Store['side']
  readonly #parts: Parts
  #settling: Timer
  #closing: Promise<void> | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    this.site = parts.site
    this.run = parts.ledger.options.run
    this.node = parts.ledger.options.signer?.node
    this.members = parts.members
    this.side = sideTable(parts.database, parts.ledger.options.log)
    this.#settling = this.#settleLater()
  }

  #settleLater(): Timer {
    const { ledger } = this.#parts
    return ledger.options.clock.setTimer(() => {
      ledger
        .settle()
        .catch((error: unknown) => ledger.options.log('error', 'settling documents failed', { reason: String(error) }))
        .finally(() => {
          if (this.#closing === undefined) this.#settling = this.#settleLater()
        })
    }, settleEveryMs)
  }

  #writable(): void {
    if (this.#closing !== undefined) throw new ClosedError('the store is closed')
    if (this.node === undefined)
      throw new NotAllowedError(
        'this directory has no identity: give it one with `hedgerow identity import` or `hedgerow join`',
      )
    if (!this.members.mayWrite(this.node) || this.members.revocation(this.node) !== undefined)
      throw new NotAllowedError('this node may read this site, not write to it: ask an admin for the role writer')
  }

  append: Store['append'] = async (readings, options) => {
    this.#writable()
    return this.#parts.intake.append(readings, options)
  }

  flush: Store['flush'] = async () => {
    await this.#parts.intake.entered()
    await this.#parts.writer.flush()
  }

  amend: Store['amend'] = async (request) => {
    this.#writable()
    return this.#parts.records.amend(request)
  }

  remove: Store['remove'] = async (request) => {
    this.#writable()
    return this.#parts.records.remove(request)
  }

  resolve: Store['resolve'] = async (request) => {
    this.#writable()
    return this.#parts.records.resolve(request)
  }

  async *query(query: Query = {}): ReturnType<Store['query']> {
    await using snapshot = await this.#snapshot()
    yield* this.#parts.records.query(snapshot, query)
  }

  record: Store['record'] = async (sensor, time) => {
    await using snapshot = await this.#snapshot()
    return await this.#parts.records.record(snapshot, sensor, time)
  }

  nearest: Store['nearest'] = async (sensor, time, count) => {
    await using snapshot = await this.#snapshot()
    return await this.#parts.records.nearest(snapshot, sensor, time, count)
  }

  async *sensors(patterns?: Parameters<Store['sensors']>[0]): ReturnType<Store['sensors']> {
    await using snapshot = await this.#snapshot()
    yield* this.#parts.records.sensors(snapshot, patterns)
  }

  span: Store['span'] = async (patterns) => {
    await using snapshot = await this.#snapshot()
    return await this.#parts.records.span(snapshot, patterns)
  }

  policy: Store['policy'] = async () => (await this.#parts.policy()).policy

  setPolicy: Store['setPolicy'] = async (change) => {
    this.#writable()
    if (!this.members.mayAdminister(this.node as NodeId))
      throw new NotAllowedError('only an admin of the site may set its policy')
    await this.#parts.records.setPolicy(change)
  }

  setCatalog: Store['setCatalog'] = async (change) => {
    this.#writable()
    await this.#parts.records.setCatalog(change)
  }

  fieldTypes: Store['fieldTypes'] = async (sensor) => {
    await using snapshot = await this.#snapshot()
    return await this.#parts.records.fieldTypes(snapshot, sensor)
  }

  importMark: Store['importMark'] = async (mark) => {
    try {
      const stored = await this.#parts.database.get(keys.imported(mark))
      return stored === undefined ? undefined : { at: decode(stored) as number }
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      // Importing again adds nothing that is here already.
      this.#parts.ledger.options.log('warn', 'the mark of an imported file is damaged', { reason: error.message })
      return undefined
    }
  }

  setImportMark: Store['setImportMark'] = async (mark) => {
    const at = this.#parts.ledger.options.clock.nowUs()
    await this.#parts.database.write([{ type: 'put', key: keys.imported(mark), value: encode(at) }])
  }

  async #snapshot(): Promise<LedgerSnapshot> {
    if (this.#closing !== undefined) throw new ClosedError('the store is closed')
    return LedgerSnapshot.take(this.#parts.ledger)
  }

  snapshot: Store['snapshot'] = () => this.#snapshot()

  receive: Store['receive'] = async (changes, from) => {
    await this.#parts.disk.check()
    return receiveChanges(this.#parts.ledger, changes, from)
  }

  receiveSealed: Store['receiveSealed'] = async (seal, part, from) => {
    await this.#parts.disk.check()
    return receiveSealed(this.#parts.ledger, seal, part, from)
  }

  onChange: Store['onChange'] = (listener) => this.#parts.ledger.onChange(listener)

  onFailure: Store['onFailure'] = (listener) => this.#parts.database.onFailure(listener)

  digest: Store['digest'] = async () => {
    const hash = createHash('sha256')
    await using snapshot = await this.#snapshot()
    for await (const { id, heads } of snapshot.documents()) hash.update(`${id}\0${heads.join('\0')}\n`)
    const { policy } = await this.#parts.records.policy(snapshot)
    hash.update(JSON.stringify(Object.entries(policy.marks).sort(([a], [b]) => (a < b ? -1 : 1))))
    return hash.digest('hex')
  }

  content: Store['content'] = async () => {
    await using snapshot = await this.#snapshot()
    return await this.#parts.records.content(snapshot)
  }

  totals: Store['totals'] = () => this.#parts.ledger.totals.value()

  damage: Store['damage'] = async () => {
    const damage: { document: DocumentId; reason: string; at: number }[] = []
    for (const document of [...this.#parts.ledger.quarantined].sort()) {
      const row = await this.#parts.ledger.readable(document, this.#parts.ledger.options.database)
      if (row?.quarantined === undefined) continue
      const { reason, at } = row.quarantined
      damage.push({ document, reason, at })
    }
    for (const [document, count] of this.#parts.records.unreadable)
      damage.push({ document, reason: `${count} entries cannot be read and are left out`, at: 0 })
    return damage
  }

  scrub: Store['scrub'] = (options) => scrub(this.#parts.ledger, options)

  observeOrder: Store['observeOrder'] = (order) => this.#parts.ledger.options.order.observe(order)

  sealLeftOpen: Store['sealLeftOpen'] = async (confirmed) => {
    const { ledger } = this.#parts
    const { signer, run, clock, log } = ledger.options
    if (signer === undefined) return
    for (const id of [...ledger.open]) {
      const parsed = parseDocumentId(id)
      if (parsed.kind !== 'journal' || parsed.node !== signer.node || parsed.run === run) continue
      const row = await ledger.readable(id, ledger.options.database)
      if (row === undefined || row.quarantined !== undefined) continue
      const alone = clock.nowUs() - row.touched >= limits.sealAloneMs * 1000
      if (!confirmed(id) && !alone) continue
      await sealLeftOpen(ledger, signer, id).catch((error: unknown) => {
        if (!(error instanceof HedgerowError)) throw error
        log('error', 'sealing a journal that was left open failed', { document: id, reason: error.message })
      })
    }
  }

  sealOpen: Store['sealOpen'] = () => this.#parts.writer.seal()

  compact: Store['compact'] = () => this.#parts.database.compact()

  close: Store['close'] = () => {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { database, writer, ledger } = this.#parts
    this.#settling.cancel()
    try {
      // Durable and confirmed by this very disk: a clean stop needs no peer to seal.
      await writer.seal()
    } catch (error) {
      if (!(error instanceof HedgerowError)) throw error
      ledger.options.log('error', 'sealing at close failed: the next run seals', { reason: error.message })
    } finally {
      writer.abandon()
      ledger.shared.close()
      await database.close()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
