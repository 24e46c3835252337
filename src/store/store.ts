/** The store's facade over ledger, writer, intake and records. */
import { createHash } from 'node:crypto'
import { decode, encode } from 'cborg'
import {
  ClosedError,
  DamagedError,
  HedgerowError,
  limits,
  NotAllowedError,
  parseDocumentId,
  type DocumentId,
  type NodeId,
  type SiteId,
  type Timer,
} from '../model/index.ts'
import { Database } from './database.ts'
import { DocumentWriter } from './document-writer.ts'
import { DiskWatch } from './disk-watch.ts'
import { Intake } from './intake.ts'
import { keys } from './keys.ts'
import { Ledger } from './ledger.ts'
import { type MembersSet } from './members.ts'
import { receiveChanges } from './receive.ts'
import { receiveSealed } from './receive-sealed.ts'
import { type PolicyResolver, type Records } from './records/index.ts'
import { scrub } from './scrub.ts'
import { sealLeftOpen } from './sealing.ts'
import { sideTable } from './side-table.ts'
import { LedgerSnapshot } from './snapshot.ts'
import type { Query, Store } from './types.ts'

/** How often quiet documents are looked for. */
const settleEveryMs = 60_000

/** What a store is made of. */
export interface Parts {
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

export class LevelStore implements Store {
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
