/** Puts what a backup names into a store. Everything goes through the store's own gate, so every signature is verified. */
import { DamagedError, type NodeId } from '../model/index.ts'
import { decodeStatement, type ReceiveResult, type SealStatement, type SignedSeal, type Store } from '../store/index.ts'
import type { PartId, PartNames } from './box.ts'
import { readFrames } from './cbor.ts'
import { backupLimits } from './constants.ts'
import { readRecord, resolvedDocuments } from './contents.ts'
import { RootHash, sameFacts, type DocumentFacts, type ListEntry } from './document-list.ts'
import type { LoadedManifest } from './manifest.ts'
import type { PartReader } from './part-reader.ts'

export interface Source {
  readonly reader: PartReader
  readonly names: PartNames
  /** The node whose backup this is. */
  readonly node: NodeId
}

/** Applies the entries of one document in order. Throws `DamagedError`, or what the store refuses. */
export async function applySteps(store: Store, steps: readonly ListEntry[], source: Source): Promise<void> {
  for (const step of steps) {
    if (step.form === 'gone') throw new DamagedError(`document ${step.id} is gone: nothing restores it`)
    const { missing } =
      step.form === 'sealed' ? await applySealed(store, step, source) : await applyChanges(store, step, source)
    if (missing) throw new DamagedError(`document ${step.id}: the backup lacks changes that its others depend on`)
  }
}

async function applySealed(store: Store, entry: ListEntry, { reader, names, node }: Source): Promise<ReceiveResult> {
  const { seal, parts } = await readSeal(entry, reader, names)
  return store.receiveSealed(
    seal,
    (index) => {
      const id = parts[index]
      if (id === undefined) throw new DamagedError(`document ${entry.id}: its seal has no part ${index}`)
      return reader.read(id)
    },
    node,
  )
}

async function applyChanges(store: Store, entry: ListEntry, { reader, node }: Source): Promise<ReceiveResult> {
  const changes = readFrames(await readRecord(entry.record, reader))
  return store.receive({ document: entry.id, changes, tips: entry.tips }, node)
}

/** Reads the seal of a sealed journal, and under which names the parts of its chunk lie. */
export async function readSeal(
  entry: ListEntry,
  reader: PartReader,
  names: PartNames,
): Promise<{ readonly seal: SignedSeal; readonly statement: SealStatement; readonly parts: readonly PartId[] }> {
  const [statement, signature, tipSignature, ...more] = readFrames(await readRecord(entry.record, reader))
  if (statement === undefined || signature === undefined || tipSignature === undefined || more.length > 0)
    throw new DamagedError(`document ${entry.id}: its seal does not have its form`)
  const decoded = decodeStatement(statement)
  return {
    seal: { statement, signature, tipSignature },
    statement: decoded,
    parts: decoded.parts.map((hash) => names.ofHash(Buffer.from(hash, 'hex'))),
  }
}

/** What applying a document may hold in memory. */
export function weightOf({ tips }: DocumentFacts): number {
  return Math.min(
    backupLimits.inFlightBytes,
    tips.reduce((sum, { bytes }) => sum + bytes, 4_096),
  )
}

/**
 * Compares a store with what a chain gives back: ids, tips, heads, seals, counts and marks. Throws `DamagedError` naming
 * the first document that differs.
 */
export async function compareWithChain(
  store: Store,
  links: readonly LoadedManifest[],
  reader: PartReader,
): Promise<void> {
  const manifest = links.at(-1) as LoadedManifest
  const root = new RootHash()
  await using snapshot = await store.snapshot()
  const expected = resolvedDocuments(links, reader)[Symbol.asyncIterator]()
  for await (const { id, tips, heads, seal } of snapshot.documents()) {
    const facts: DocumentFacts = { id, tips, heads, ...(seal === undefined ? {} : { seal }) }
    const { value, done } = await expected.next()
    const { facts: wanted } = (done === true ? {} : value) as { readonly facts?: ListEntry }
    if (wanted === undefined || wanted.id > id) throw new DamagedError(`document ${id} is there, but not in the backup`)
    if (wanted.id < id) throw new DamagedError(`document ${wanted.id} was not restored`)
    if (!sameFacts(facts, wanted)) throw new DamagedError(`document ${id} is restored, but not as it was backed up`)
    root.add(facts)
  }
  const { done, value } = await expected.next()
  if (done !== true) throw new DamagedError(`document ${(value as { facts: ListEntry }).facts.id} was not restored`)
  const { documents, records } = root
  if (root.digest() !== manifest.root || documents !== manifest.documents || records !== manifest.records)
    throw new DamagedError(
      `what was restored is not what was backed up: ${documents} documents with ${records} records instead of ${manifest.documents} with ${manifest.records}`,
    )
  const { marks } = await store.policy()
  if (sortedText(marks) !== sortedText(manifest.marks))
    throw new DamagedError('the retention marks are not those backed up')
}

function sortedText(marks: Readonly<Record<string, number>>): string {
  return JSON.stringify(Object.entries(marks).sort(([a], [b]) => (a < b ? -1 : 1)))
}
