/**
 * From a connection to an admitted session: says or answers hello, refuses and closes, and gives strangers a short time.
 * Two connections of one pair (both dialled at once) end as one session: the first hello that succeeds begins it.
 */
import { NetworkError, NotAllowedError, type DocumentId, type NodeId, type RunId } from '../model/index.ts'
import { PassedOnError } from './blame.ts'
import { peerLimits } from './constants.ts'
import { reasonOf, type PeerContext } from './context.ts'
import { answerHello, greet, NotAdmittedError } from './hello.ts'
import type { Hello } from './messages.ts'
import { Refusals } from './refusals.ts'

export interface ConnectionEvents {
  /** We let the node in: its streams are to be answered. Once per connection, or twice if both say hello at once. */
  readonly onAccepted: (hello: Hello) => void
  /** Both sides have let each other in. Once per connection, after `onAccepted`. */
  readonly onAdmitted: (node: NodeId) => void
  /** A connection is gone; `admitted`: it had come as far as that. */
  readonly onClosed: (node: NodeId, error: Error, admitted: boolean) => void
  readonly onRefused: (node: NodeId, reason: string) => void
  readonly addresses: () => readonly string[]
}

interface Connection {
  admitted: boolean
  /** Settles with the hello that is under way from our side. */
  greeting: Promise<void> | undefined
  joining: boolean
  /** Known once it was let in. */
  run: RunId | undefined
  readonly abort: AbortController
}

export class Connections {
  readonly #context: PeerContext
  readonly #events: ConnectionEvents
  readonly #refusals: Refusals
  readonly #connections = new Map<NodeId, Connection>()

  constructor(context: PeerContext, events: ConnectionEvents) {
    this.#context = context
    this.#events = events
    this.#refusals = new Refusals(context.clock)
  }

  isAdmitted(node: NodeId): boolean {
    return this.#connections.get(node)?.admitted === true
  }

  isConnected(node: NodeId): boolean {
    return this.#connections.has(node)
  }

  opened(node: NodeId, inbound: boolean): void {
    this.closed(node, new NetworkError(`${node} connected anew`))
    if (this.#connections.size >= peerLimits.sessions) {
      this.#close(node)
      return
    }
    const connection: Connection = {
      admitted: false,
      greeting: undefined,
      joining: false,
      run: undefined,
      abort: new AbortController(),
    }
    this.#connections.set(node, connection)
    this.#limitStranger(node, connection)
    if (!inbound) this.#context.tasks.run('hello', () => this.greet(node), connection.abort.signal)
  }

  closed(node: NodeId, error: Error): void {
    const connection = this.#connections.get(node)
    if (connection === undefined) return
    this.#connections.delete(node)
    connection.abort.abort(error)
    this.#events.onClosed(node, error, connection.admitted)
  }

  /** Says hello once per connection. Throws `NotAllowedError` if either side does not want the other. */
  async greet(node: NodeId): Promise<void> {
    const connection = this.#connections.get(node)
    if (connection === undefined) throw new NetworkError(`${node} is not connected`)
    if (connection.admitted) return
    connection.greeting ??= this.#greet(node, connection).finally(() => {
      connection.greeting = undefined
    })
    await connection.greeting
  }

  async #greet(node: NodeId, connection: Connection): Promise<void> {
    try {
      const { signal } = connection.abort
      await greet(this.#context, node, this.#events.addresses(), signal, (hello) => this.#accept(connection, hello))
      this.#admit(connection, node)
    } catch (error) {
      // The other side's own hello may have succeeded meanwhile.
      if (connection.admitted) return
      if (error instanceof NotAdmittedError) this.#refuse(node, error)
      throw error
    }
  }

  async *answer(from: NodeId, incoming: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const connection = this.#connections.get(from)
    if (connection === undefined) throw new NetworkError(`${from} is not connected`)
    yield* answerHello(this.#context, from, this.#events.addresses(), incoming, {
      isLeftAlone: ({ run }) => this.#refusals.isLeftAlone(from, run),
      onAccepted: (hello) => this.#accept(connection, hello),
      onReady: () => this.#admit(connection, from),
      onRefused: (error) => this.#refuse(from, error),
    })
  }

  /** A join is under way: the node is a stranger, but not idle. */
  async *joining(from: NodeId, messages: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const connection = this.#connections.get(from)
    if (connection !== undefined) connection.joining = true
    try {
      yield* messages
    } finally {
      if (connection !== undefined) connection.joining = false
    }
  }

  /** A document from a node was refused. Too many by its own fault: it is disconnected and left alone for a while. */
  misbehaved(node: NodeId, id: DocumentId, error: Error): void {
    this.#context.log('warn', 'a document from a peer was refused', { node, document: id, reason: error.message })
    if (error instanceof PassedOnError || !this.#refusals.count(node, id)) return
    this.#refusals.leaveAlone(node, this.#connections.get(node)?.run)
    this.#events.onRefused(node, 'its bytes were refused again and again')
    this.disconnect(node, error)
  }

  disconnect(node: NodeId, error: Error): void {
    this.closed(node, error)
    this.#close(node)
  }

  #accept(connection: Connection, hello: Hello): void {
    if (this.#connections.get(hello.node) !== connection)
      throw new NetworkError(`the connection with ${hello.node} ended during its hello`)
    connection.run = hello.run
    this.#events.onAccepted(hello)
  }

  #admit(connection: Connection, node: NodeId): void {
    if (connection.admitted || connection.abort.signal.aborted) return
    connection.admitted = true
    this.#events.onAdmitted(node)
  }

  #refuse(node: NodeId, { reason, detail }: NotAdmittedError): void {
    if (this.#refusals.shouldLog(node)) this.#context.log('warn', 'a peer was refused', { node, reason, detail })
    this.#events.onRefused(node, reason)
    // Time for the reason to reach it.
    this.#context.clock.setTimer(() => {
      if (!this.isAdmitted(node)) this.disconnect(node, new NotAllowedError(`${node} was refused`))
    }, peerLimits.partingMs)
  }

  #limitStranger(node: NodeId, connection: Connection): void {
    const check = (ms: number, last: boolean): void => {
      this.#context.clock.setTimer(() => {
        if (connection.admitted || connection.abort.signal.aborted) return
        if (connection.joining && !last) return check(peerLimits.joinMs, true)
        if (this.#refusals.shouldLog(node))
          this.#context.log('warn', 'a peer was refused', {
            node,
            reason: 'no-hello',
            detail: 'it said no hello in time',
          })
        this.disconnect(node, new NetworkError(`${node} said no hello in time`))
      }, ms)
    }
    check(peerLimits.strangerMs, false)
  }

  #close(node: NodeId): void {
    const { tasks, network, log } = this.#context
    tasks.run('closing a connection', async () => {
      try {
        await network.disconnect(node)
      } catch (error) {
        log('info', 'a connection was already closed', { node, reason: reasonOf(error) })
      }
    })
  }
}
