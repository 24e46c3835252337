/**
 * The gate before libp2p's own services: identify and gossipsub see neither a stream nor a connection of a node that
 * this side has not admitted. `libp2p.use` would be the place, but it adds the protocol's handler to the stored
 * list of middleware on each inbound stream (libp2p 3.3.11), so that handlers run several times; hence the registrar.
 */
import type { Connection } from '@libp2p/interface'
import type { Registrar } from '@libp2p/interface-internal'
import { NetworkError } from '../../model/index.ts'

export interface Gate {
  isAdmitted(connection: Connection): boolean
  /** An admitted node opened a stream of this service: it has admitted us too. */
  onAdmittedStream(connection: Connection): void
}

/** Wraps a registrar for one service so that it handles and hears admitted connections only. */
export function gatedRegistrar(registrar: Registrar, gate: Gate): Registrar {
  return new Proxy(registrar, {
    get(target, name, receiver): unknown {
      if (name === 'handle')
        return (...[protocol, handler, options]: Parameters<Registrar['handle']>) =>
          target.handle(
            protocol,
            async (stream, connection) => {
              if (!gate.isAdmitted(connection)) {
                stream.abort(new NetworkError(`${connection.remotePeer.toString()} is not admitted`))
                return
              }
              gate.onAdmittedStream(connection)
              await handler(stream, connection)
            },
            options,
          )
      if (name === 'register')
        return (...[protocol, topology]: Parameters<Registrar['register']>) =>
          target.register(protocol, {
            ...topology,
            onConnect: (peer, connection) => {
              if (gate.isAdmitted(connection)) return topology.onConnect?.(peer, connection)
            },
          })
      const value: unknown = Reflect.get(target, name, receiver)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
