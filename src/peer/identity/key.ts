import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { InvalidInputError, nodeIdOf, type NodeId, type Random, type SiteId } from '../../model/index.ts'
import type { Signer } from '../../store/index.ts'

/** A node's Ed25519 key. Node id, actors and signatures hang on it; nobody else may hold it. */
export interface NodeKey {
  readonly node: NodeId
  /** Raw public key, 32 bytes. */
  readonly publicKey: Uint8Array
  /** RFC 8032 seed, 32 bytes: the secret. */
  readonly privateSeed: Uint8Array
}

/** All that makes a process this node of this site: enough to say hello with an empty store. */
export interface Identity extends NodeKey {
  readonly site: SiteId
  /** The site's pre-shared key, 32 bytes. */
  readonly psk: Uint8Array
  /** The gateway's name, for people. */
  readonly name: string
  /** Members entries that certify this node, each with its chain up to the founder. */
  readonly entries: readonly Uint8Array[]
}

/** PrivateKeyInfo of an Ed25519 key up to the 32 seed bytes (RFC 8410). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Bytes of an Ed25519 SubjectPublicKeyInfo before the raw key (RFC 8410). */
const spkiPrefixBytes = 12

/** Makes a new key. */
export function createNodeKey(random: Random): NodeKey {
  return nodeKeyFromSeed(random.bytes(32))
}

/** Gives the key of a seed (32 bytes): always the same. */
export function nodeKeyFromSeed(seed: Uint8Array): NodeKey {
  const privateKey = privateKeyOf(seed)
  const der = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  const publicKey = Uint8Array.from(der.subarray(spkiPrefixBytes))
  return { node: nodeIdOf(publicKey), publicKey, privateSeed: Uint8Array.from(seed) }
}

/** Signs as this node, synchronously. The same message always has the same signature (Ed25519 needs no randomness). */
export function signerOf(key: NodeKey): Signer {
  const privateKey = privateKeyOf(key.privateSeed)
  return { node: key.node, sign: (message) => new Uint8Array(sign(null, message, privateKey)) }
}

/** The end of a node id: what people compare and screens have room for. */
export function shortNodeId(node: NodeId): string {
  return node.slice(-8)
}

function privateKeyOf(seed: Uint8Array): ReturnType<typeof createPrivateKey> {
  if (seed.length !== 32) throw new InvalidInputError(`an Ed25519 seed has 32 bytes, not ${seed.length}`)
  return createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })
}
