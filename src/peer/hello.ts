/**
 * The first words on a connection. The dialler proves itself, the answerer checks it and only then says who it is itself,
 * the dialler checks that and says `ready`. Nothing else is answered before, and a refusal carries a reason's name only.
 */
import { NetworkError, NotAllowedError, RefusedError, type NodeId } from '../model/index.ts'
import { inspectEntry, type Member, type MembersSet } from '../store/index.ts'
import { peerLimits, protocols } from './constants.ts'
import { deadline, type PeerContext } from './context.ts'
import { closeOnAbort, Mailbox } from './mailbox.ts'
import { decodeHello, encodeHello, type Hello, type HelloMessage, type Refusal } from './messages.ts'

/** A node that does not get in: `reason` is what it was told, `detail` what is logged. */
export class NotAdmittedError extends NotAllowedError {
  readonly reason: Refusal
  readonly detail: string

  constructor(node: NodeId, reason: Refusal, detail: string) {
    super(`${node} is not let in (${reason}): ${detail}`)
    this.reason = reason
    this.detail = detail
  }
}

/** Checks what a node said about itself against who the transport proved it to be. Throws `NotAdmittedError`. */
export async function admission(members: MembersSet, hello: Hello, from: NodeId, nowUs: number): Promise<Member> {
  const refuse = (reason: Refusal, detail: string): never => {
    throw new NotAdmittedError(from, reason, detail)
  }
  if (hello.site !== members.site) refuse('wrong-site', `it belongs to site ${hello.site}`)
  if (hello.node !== from) refuse('not-a-member', `it calls itself ${hello.node}`)
  try {
    const { site, certificate } = inspectEntry(hello.certificate)
    if (site !== members.site) refuse('not-a-member', `its certificate is of site ${site}`)
    if (certificate?.node !== from) refuse('not-a-member', 'its certificate is not about itself')
    await members.add([hello.certificate])
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error
    refuse('not-a-member', error.message)
  }
  const member = members.member(from)
  if (member === undefined || member.adopted) return refuse('not-a-member', 'no valid certificate is known')
  if (member.revoked) return refuse('revoked', 'it was revoked')
  const { expires } = member.certificate
  if (expires !== undefined && expires <= nowUs) return refuse('expired', 'its certificate has expired')
  return member
}

export function ownHello({ store, network, clock }: PeerContext, addresses: readonly string[]): Hello {
  const certificate = store.members.certificateEntry(network.node)
  if (certificate === undefined)
    throw new NotAllowedError('this node is not a member of the site: let it join with an invite')
  return {
    site: store.site,
    node: network.node,
    run: store.run,
    certificate,
    addresses: addresses.slice(0, peerLimits.helloAddresses),
    order: clock.nowUs(),
    members: store.members.digest(),
  }
}

/**
 * The dialler's side. Resolves with the other's hello once both have let each other in. `onAccepted` is called before the
 * other can open anything but a hello: from then on its streams are to be answered.
 */
export async function greet(
  context: PeerContext,
  node: NodeId,
  addresses: readonly string[],
  signal: AbortSignal,
  onAccepted: (hello: Hello) => void,
): Promise<Hello> {
  const { network, store, clock } = context
  using limit = deadline(clock, peerLimits.helloMs, `hello with ${node}`, signal)
  const outgoing = new Mailbox<Uint8Array>(2)
  using _ = closeOnAbort(outgoing, limit.signal)
  outgoing.put(encodeHello({ kind: 'hello', ...ownHello(context, addresses) }))
  let answer: Hello | undefined
  for await (const bytes of network.open(node, protocols.hello, outgoing, { signal: limit.signal })) {
    const message = decodeHello(bytes)
    if (message.kind === 'refused') throw new NotAdmittedError(node, message.reason, 'the other node refused this one')
    if (message.kind !== 'hello' || answer !== undefined) throw new RefusedError(`${node} did not answer hello`)
    await admission(store.members, message, node, clock.nowUs())
    answer = message
    onAccepted(message)
    network.admit(node)
    outgoing.put(encodeHello({ kind: 'ready' }))
    outgoing.close()
  }
  if (answer === undefined) throw new NetworkError(`${node} ended the connection without a hello`)
  return answer
}

/**
 * The answering side: calls `onAccepted` as `greet` does, `onReady` when both have let each other in, and `onRefused`
 * before the reason is sent.
 */
export async function* answerHello(
  context: PeerContext,
  from: NodeId,
  addresses: readonly string[],
  incoming: AsyncIterable<Uint8Array>,
  events: {
    /** The node misbehaved in this very run: it is told to come back later. */
    readonly isLeftAlone: (hello: Hello) => boolean
    readonly onAccepted: (hello: Hello) => void
    readonly onReady: () => void
    readonly onRefused: (error: NotAdmittedError) => void
  },
): AsyncIterable<Uint8Array> {
  const { network, store, clock } = context
  const messages = incoming[Symbol.asyncIterator]()
  const first = await nextOf(messages)
  let hello: Hello
  try {
    if (first.kind === 'refused') throw new NotAdmittedError(from, 'version', 'it speaks another version')
    if (first.kind !== 'hello') throw new RefusedError(`${from} did not begin with hello`)
    await admission(store.members, first, from, clock.nowUs())
    if (events.isLeftAlone(first)) throw new NotAdmittedError(from, 'busy', 'it is left alone for what it sent before')
    hello = first
  } catch (error) {
    if (!(error instanceof NotAdmittedError)) throw error
    events.onRefused(error)
    yield encodeHello({ kind: 'refused', reason: error.reason })
    return
  }
  events.onAccepted(hello)
  network.admit(from)
  yield encodeHello({ kind: 'hello', ...ownHello(context, addresses) })
  const second = await nextOf(messages)
  if (second.kind !== 'ready') throw new RefusedError(`${from} did not say ready`)
  events.onReady()
}

async function nextOf(messages: AsyncIterator<Uint8Array>): Promise<HelloMessage> {
  const { value, done } = await messages.next()
  if (done === true) throw new RefusedError('the hello ended early')
  return decodeHello(value)
}
