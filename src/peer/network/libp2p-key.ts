import { createPrivateKey, createPublicKey } from 'node:crypto'
import { InvalidInputError, nodeIdOf, type NodeId } from '../../model/index.ts'

/** PKCS #8 wrapping of a raw Ed25519 private key (RFC 8410). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Gives the node id of a raw Ed25519 private key (32 bytes, RFC 8032). */
export function nodeIdOfSeed(seed: Uint8Array): NodeId {
  if (seed.length !== 32) throw new InvalidInputError(`an Ed25519 private key has 32 bytes, not ${seed.length}`)
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })
  return nodeIdOf(new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)))
}
