/** What is signed about documents, and its verification (Ed25519, RFC 8032). */
import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto'
import { encode } from 'cborg'
import { publicKeyOf, type ActorId, type ChangeHash, type DocumentId, type NodeId } from '../model/index.ts'

/** Bytes a tip's signature covers. One context string per kind of message, so that none can pass for another. */
export function tipMessage(document: DocumentId, actor: ActorId, seq: number, hash: ChangeHash): Uint8Array {
  return encode(['hedgerow tip 1', document, Buffer.from(actor, 'hex'), seq, Buffer.from(hash, 'hex')])
}

/** Bytes a seal's signature covers. */
export function sealMessage(statement: Uint8Array): Uint8Array {
  return encode(['hedgerow seal 1', createHash('sha256').update(statement).digest()])
}

const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')
/** Keys of members seen lately: making a KeyObject costs as much as verifying with it. */
const cachedKeys = 1_000
const publicKeys = new Map<NodeId, KeyObject>()

/** Whether `signature` is the node's over `message`. */
export function verifyBy(node: NodeId, message: Uint8Array, signature: Uint8Array): boolean {
  let key = publicKeys.get(node)
  if (key === undefined) {
    key = createPublicKey({ key: Buffer.concat([spkiPrefix, publicKeyOf(node)]), format: 'der', type: 'spki' })
    if (publicKeys.size >= cachedKeys) publicKeys.clear()
    publicKeys.set(node, key)
  }
  return signature.length === 64 && verify(null, message, key, signature)
}
