import { createServer, type AddressInfo } from 'node:net'

/** Finds a TCP port of loopback that is free now: for programs that cannot say which one they took, or must keep it. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
