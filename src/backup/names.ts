/** Names of a vault's files. */
import { parseNodeId, type NodeId } from '../model/index.ts'

/** What a manifest's name says: `manifests/<node>/<counter, 8 digits or more>-<id, 16 hex digits>`. */
export interface BackupName {
  readonly name: string
  readonly node: NodeId
  /** Counts a node's backups in this vault, from 1. */
  readonly counter: number
  readonly id: string
}

const sha256Form = /^[0-9a-f]{64}$/

export function manifestName(node: NodeId, counter: number, id: string): string {
  return `manifests/${node}/${String(counter).padStart(8, '0')}-${id}`
}

/** `undefined` if this is no manifest's name. */
export function parseManifestName(name: string): BackupName | undefined {
  const match = /^manifests\/([^/]+)\/([0-9]{8,15})-([0-9a-f]{16})$/.exec(name)
  if (match === null) return undefined
  const [, node, counter, id] = match as unknown as [string, string, string, string]
  const parsed = { name, node: node as NodeId, counter: Number(counter), id }
  if (manifestName(parsed.node, parsed.counter, id) !== name) return undefined
  try {
    parseNodeId(node)
  } catch {
    // No node's id: no manifest's name.
    return undefined
  }
  return parsed
}

export function packName(sha256: string): string {
  return `packs/${sha256.slice(0, 2)}/${sha256}`
}

/** SHA-256 (hex) that a pack's name promises. */
export function packHash(name: string): string | undefined {
  const hash = name.slice(name.lastIndexOf('/') + 1)
  return sha256Form.test(hash) && packName(hash) === name ? hash : undefined
}

export function indexName(sha256: string): string {
  return `index/${sha256}`
}

export function indexHash(name: string): string | undefined {
  const hash = name.slice('index/'.length)
  return sha256Form.test(hash) && indexName(hash) === name ? hash : undefined
}
