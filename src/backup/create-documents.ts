/** Stores what a backup names of each document, beside what its parent names already. */
import { createHash } from 'node:crypto'
import { DamagedError, type DocumentId } from '../model/index.ts'
import { decodeStatement, type DocumentState, type StoreSnapshot, type Tip } from '../store/index.ts'
import type { PartId } from './box.ts'
import { frameLength } from './cbor.ts'
import { RootHash, sameFacts, type DocumentFacts } from './document-list.ts'
import type { Resolved } from './contents.ts'
import type { CreateBackupOptions } from './create.ts'
import { ListWriter } from './part-groups.ts'
import type { PartSink } from './part-sink.ts'

export interface DocumentsTask extends Pick<CreateBackupOptions, 'store' | 'vault' | 'onProgress' | 'signal'> {
  readonly snapshot: StoreSnapshot
  readonly sink: PartSink
  /** What the parent backup gives back, in id order. */
  readonly parents: AsyncIterable<Resolved>
}

export interface StoredDocuments {
  readonly root: RootHash
  readonly list: readonly PartId[]
  readonly leftOut: readonly DocumentId[]
}

/** What a damaged document gives: its bytes are not to be trusted. */
const damaged = Symbol('damaged')

export async function backUpDocuments(task: DocumentsTask): Promise<StoredDocuments> {
  const { store, snapshot, sink, signal } = task
  const root = new RootHash()
  const list = new ListWriter((content) => sink.add(content))
  const unreadable = new Set((await store.damage()).map(({ document }) => document))
  const leftOut: DocumentId[] = []
  const totalDocuments = (await store.totals()).documents
  const parents = task.parents[Symbol.asyncIterator]()
  const nextParent = async (): Promise<DocumentFacts | undefined> => {
    const { value, done } = await parents.next()
    return done === true ? undefined : value.facts
  }
  /** A damaged document stays as the parent has it: damage at the source must not reach what is safe. */
  const carry = (parent: DocumentFacts | undefined, id: DocumentId): void => {
    leftOut.push(id)
    if (parent !== undefined) root.add(parent)
  }
  const goneOrCarried = async (parent: DocumentFacts): Promise<void> => {
    if (unreadable.delete(parent.id)) carry(parent, parent.id)
    else await list.push({ id: parent.id, form: 'gone', tips: [], heads: [] }, [])
  }

  let parent = await nextParent()
  let documents = 0
  for await (const state of snapshot.documents()) {
    signal?.throwIfAborted()
    while (parent !== undefined && parent.id < state.id) {
      await goneOrCarried(parent)
      parent = await nextParent()
    }
    const before: DocumentFacts | undefined = parent?.id === state.id ? parent : undefined
    if (before !== undefined) parent = await nextParent()
    unreadable.delete(state.id)
    const facts: DocumentFacts = factsOf(state)
    if (before === undefined || !sameFacts(before, facts)) {
      if ((await storeDocument(task, list, facts, before)) === damaged) {
        carry(before, state.id)
        continue
      }
    }
    root.add(facts)
    task.onProgress?.({
      documents: ++documents,
      totalDocuments: Math.max(totalDocuments, documents),
      bytesWritten: sink.bytesWritten,
    })
  }
  for (; parent !== undefined; parent = await nextParent()) await goneOrCarried(parent)
  leftOut.push(...unreadable)
  await list.end()
  return { root, list: list.pieces, leftOut: leftOut.sort() }
}

function factsOf({ id, tips, heads, seal }: DocumentState): DocumentFacts {
  return { id, tips, heads, ...(seal === undefined ? {} : { seal }) }
}

async function storeDocument(
  task: DocumentsTask,
  list: ListWriter,
  facts: DocumentFacts,
  parent: DocumentFacts | undefined,
): Promise<typeof damaged | undefined> {
  return facts.seal === undefined ? storeChanges(task, list, facts, parent) : storeSealed(task, list, facts)
}

/** Parts of a sealed journal that the vault holds are not even read. */
async function storeSealed(
  { snapshot, sink, vault, signal }: DocumentsTask,
  list: ListWriter,
  facts: DocumentFacts,
): Promise<typeof damaged | undefined> {
  const seal = await snapshot.seal(facts.id)
  if (seal === undefined || createHash('sha256').update(seal.statement).digest('hex') !== facts.seal) return damaged
  const { parts } = decodeStatement(seal.statement)
  try {
    for (const [i, hash] of parts.entries()) {
      signal?.throwIfAborted()
      await sink.ensure(vault.names.ofHash(Buffer.from(hash, 'hex')), () => snapshot.sealedPart(facts.id, i))
    }
  } catch (error) {
    if (error instanceof DamagedError) return damaged
    throw error
  }
  await list.push({ ...facts, form: 'sealed' }, framed([seal.statement, seal.signature, seal.tipSignature]))
}

async function storeChanges(
  { snapshot }: DocumentsTask,
  list: ListWriter,
  facts: DocumentFacts,
  parent: DocumentFacts | undefined,
): Promise<typeof damaged | undefined> {
  const more = parent === undefined ? 0 : lacking(facts.tips, parent.tips)
  if (parent !== undefined && more > 0) {
    const { changes } = await snapshot.changesSince(facts.id, parent.tips)
    // More: a tip of the parent is not in this history, and came as nothing held. Then only the whole will do.
    if (changes.length === more) {
      await list.push({ ...facts, form: 'changes' }, framed(changes))
      return
    }
  }
  const { changes } = await snapshot.changesSince(facts.id, [])
  if (changes.length !== lacking(facts.tips, [])) return damaged
  await list.push({ ...facts, form: 'whole' }, framed(changes))
}

/** An actor's changes are numbered from 1 without gaps. */
function lacking(tips: readonly Tip[], held: readonly Tip[]): number {
  const sum = (all: readonly Tip[]): number => all.reduce((count, { seq }) => count + seq, 0)
  return sum(tips) - sum(held)
}

function framed(items: readonly Uint8Array[]): Uint8Array[] {
  return items.flatMap((item) => [frameLength(item.length), item])
}
