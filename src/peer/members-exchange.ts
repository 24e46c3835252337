/** Brings two members sets together: digests, then keys, then the entries that either side lacks. */
import { RefusedError, type NodeId } from '../model/index.ts'
import type { MembersSet } from '../store/index.ts'
import { peerLimits, protocols } from './constants.ts'
import { deadline, type PeerContext } from './context.ts'
import { closeOnAbort, Mailbox } from './mailbox.ts'
import { decodeMembers, encodeMembers, type KnownMember } from './messages.ts'

/** Where other members can be reached, as this node knows, and what to do with what the other side knows. */
export interface AddressBook {
  share(except: NodeId): readonly KnownMember[]
  learn(known: readonly KnownMember[]): void
}

export async function exchangeMembers(
  { store, network, clock }: PeerContext,
  book: AddressBook,
  node: NodeId,
  signal: AbortSignal,
): Promise<void> {
  const { members } = store
  using limit = deadline(clock, peerLimits.exchangeMs, `exchange of members with ${node}`, signal)
  const theirKeys = new Mailbox<readonly string[]>(1)
  using _ = closeOnAbort(theirKeys, limit.signal)
  const outgoing = speak(members, book.share(node), theirKeys)
  for await (const bytes of network.open(node, protocols.members, outgoing, { signal: limit.signal })) {
    const message = decodeMembers(bytes)
    if (message.kind === 'same') {
      book.learn(message.known)
      theirKeys.close()
    } else if (message.kind === 'keys') {
      book.learn(message.known)
      theirKeys.put(message.keys)
      theirKeys.close()
    } else if (message.kind === 'entries') await members.add(message.entries)
    else throw new RefusedError(`${node} sent ${message.kind} in an exchange of members`)
  }
}

async function* speak(
  members: MembersSet,
  known: readonly KnownMember[],
  theirKeys: Mailbox<readonly string[]>,
): AsyncGenerator<Uint8Array> {
  yield encodeMembers({ kind: 'digest', digest: members.digest(), known })
  for await (const keys of theirKeys) {
    const theirs = new Set(keys)
    const lacking = members.keys().filter((key) => !theirs.has(key))
    for (const entries of entryPages(members, lacking)) yield encodeMembers({ kind: 'entries', entries })
    yield encodeMembers({ kind: 'wanted', keys: keys.filter((key) => members.get(key) === undefined) })
  }
}

export async function* answerMembers(
  members: MembersSet,
  book: AddressBook,
  from: NodeId,
  incoming: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  for await (const bytes of incoming) {
    const message = decodeMembers(bytes)
    if (message.kind === 'digest') {
      book.learn(message.known)
      const known = book.share(from)
      if (message.digest === members.digest()) {
        yield encodeMembers({ kind: 'same', known })
        return
      }
      yield encodeMembers({ kind: 'keys', keys: members.keys(), known })
    } else if (message.kind === 'entries') await members.add(message.entries)
    else if (message.kind === 'wanted') {
      for (const entries of entryPages(members, message.keys)) yield encodeMembers({ kind: 'entries', entries })
      return
    } else throw new RefusedError(`${from} sent ${message.kind} in an exchange of members`)
  }
}

/** The entries of these keys in pages that fit a message; unknown keys are left out. */
export function* entryPages(members: MembersSet, keys: readonly string[]): Generator<Uint8Array[]> {
  let page: Uint8Array[] = []
  let bytes = 0
  for (const key of keys) {
    const entry = members.get(key)
    if (entry === undefined) continue
    if (page.length > 0 && bytes + entry.length > peerLimits.pageBytes) {
      yield page
      page = []
      bytes = 0
    }
    page.push(entry)
    bytes += entry.length + 5
  }
  if (page.length > 0) yield page
}
