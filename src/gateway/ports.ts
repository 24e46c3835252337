import { createServer } from 'node:net'
import { LockedError } from '../model/index.ts'

/** The port a node listens on unless told otherwise, and how many after it are tried when it is taken. */
export const defaultPort = 47_474
const portsTried = 100

/** Finds the first free TCP port from `preferred` on, free on IPv4 and, where the machine has it, on IPv6. */
export async function freePort(preferred: number): Promise<number> {
  for (let port = preferred; port < preferred + portsTried && port < 65_536; port++)
    if ((await isFree(port, '0.0.0.0')) && (await isFree(port, '::'))) return port
  throw new LockedError(
    `no free port from ${preferred} to ${Math.min(65_535, preferred + portsTried - 1)}: name one with --listen /ip4/0.0.0.0/tcp/PORT`,
  )
}

/** Multiaddrs of a port on all addresses of the machine. */
export function listenAddresses(port: number): readonly string[] {
  return [`/ip4/0.0.0.0/tcp/${port}`, `/ip6/::/tcp/${port}`]
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false)
      // No IPv6 here: nobody can hold the port there.
      else if (error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL') resolve(true)
      else reject(error)
    })
    server.listen({ port, host, ipv6Only: true, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
