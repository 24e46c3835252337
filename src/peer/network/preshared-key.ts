/**
 * The site's pre-shared key before anything else (libp2p private networks specification, version 1).
 *
 * `@libp2p/pnet` 3.0.27 hands whole buffers to a cipher whose memory cannot grow, which ends the process on large
 * ones, and never gives back the cipher's place in a small pool, which a few thousand connections of strangers use up
 * (libp2p/js-libp2p#3585, not released yet). Both are mended here from outside; with the fix released, this is one call.
 */
import type { ConnectionProtector } from '@libp2p/interface'
import { preSharedKey } from '@libp2p/pnet'
import { InvalidInputError, NetworkError } from '../../model/index.ts'
import { constants } from './constants.ts'

/** Bytes given to the cipher at once. Its memory is 640 KiB for all connections together. */
const chunkBytes = 32_768

interface Cipher {
  update(bytes: Uint8Array): Uint8Array
  finalize(): void
}

/** Makes libp2p's connection protector from a raw pre-shared key of 32 bytes. */
export function presharedKey(key: Uint8Array): () => ConnectionProtector {
  if (key.length !== 32) throw new InvalidInputError(`a pre-shared key has 32 bytes, not ${key.length}`)
  const text = `/key/swarm/psk/1.0.0/\n/base16/\n${Buffer.from(key).toString('hex')}`
  return () => {
    const protector = preSharedKey({ psk: Buffer.from(text), timeout: constants.inboundUpgradeMs })()
    return {
      [Symbol.toStringTag]: 'PresharedKey',
      async protect(connection, options) {
        // libp2p would hold 4 MiB of whatever a stranger sends.
        connection.maxReadBufferLength = constants.handshakeBufferBytes
        const stream = await protector.protect(connection, options)
        stream.maxReadBufferLength = constants.handshakeBufferBytes
        const inside = stream as unknown as { inboundXor?: Cipher; outboundXor?: Cipher }
        const { inboundXor, outboundXor } = inside
        if (inboundXor === undefined || outboundXor === undefined)
          throw new NetworkError('this version of @libp2p/pnet is not known: install the one of package-lock.json')
        const inbound = inChunks(inboundXor)
        const outbound = inChunks(outboundXor)
        inside.inboundXor = inbound
        inside.outboundXor = outbound
        const release = (): void => {
          inbound.finalize()
          outbound.finalize()
        }
        if (connection.status === 'open' || connection.status === 'closing')
          connection.addEventListener('close', release)
        else release()
        return stream
      },
    }
  }
}

/** Uses a cipher in chunks, and releases it once; afterwards nothing comes out of it. */
function inChunks(cipher: Cipher): Cipher {
  let released = false
  return {
    update(bytes) {
      if (released) return new Uint8Array(0)
      if (bytes.length <= chunkBytes) return cipher.update(bytes)
      const output = new Uint8Array(bytes.length)
      for (let at = 0; at < bytes.length; at += chunkBytes)
        output.set(cipher.update(bytes.subarray(at, at + chunkBytes)), at)
      return output
    },
    finalize() {
      if (released) return
      released = true
      cipher.finalize()
    },
  }
}
