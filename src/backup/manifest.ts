/**
 * A manifest: header, salt, and sealed as the last piece CBOR `[body, signature]`. The body says all that a backup is; the
 * names in it are hashes, so the node's signature covers every byte of the backup. It is written last: a backup exists
 * only when its manifest does.
 */
import { createHash, createPublicKey, verify } from 'node:crypto'
import {
  DamagedError,
  StorageError,
  parseSiteId,
  publicKeyOf,
  type NodeId,
  type Random,
  type SiteId,
} from '../model/index.ts'
import { inspectEntry, type Signer } from '../store/index.ts'
import { lastPiece, makeBox, partIdBytes, partIdOf, prefixBytes, saltBytes, type PartId } from './box.ts'
import { asBytes, asInteger, asList, asMap, asNames, asText, decodeCbor, encode } from './cbor.ts'
import { backupLimits } from './constants.ts'
import { VaultFileError } from './file-error.ts'
import { checkHeaderOf } from './index-block.ts'
import { parseManifestName, type BackupName } from './names.ts'
import type { Vault } from './vault.ts'

export const backupKinds = ['full', 'incremental', 'differential'] as const
export type BackupKind = (typeof backupKinds)[number]

export interface Manifest extends BackupName {
  readonly site: SiteId
  readonly kind: BackupKind
  /** Name and SHA-256 (hex) of the file of the manifest this one continues. Absent for full ones. */
  readonly parent?: { readonly name: string; readonly hash: string }
  /** The node's clock when the backup was taken, µs. For people; backups are ordered by counter. */
  readonly created: number
  /** Root over the documents this backup gives back (hex), and their totals. */
  readonly root: string
  readonly documents: number
  readonly records: number
  readonly bytes: number
  /** Bytes of packs that were new in the vault. */
  readonly addedBytes: number
  /** Documents that were damaged at the source: left out, or as they were in the parent. */
  readonly leftOut: number
  /** Retention marks of the policy: group → µs. */
  readonly marks: Readonly<Record<string, number>>
  /** Pieces of the list of documents, and of the members set, in order. */
  readonly list: readonly PartId[]
  readonly members: readonly PartId[]
  /** Index blocks (hashes) that know every part this backup names by itself. */
  readonly indexes: readonly string[]
  /** The node's certificate with its chain up to the founder: who signed this. */
  readonly certificate: Uint8Array
}

export interface LoadedManifest extends Manifest {
  /** SHA-256 (hex) of the file. */
  readonly hash: string
}

export async function writeManifest(
  vault: Vault,
  manifest: Manifest,
  signer: Signer,
  random: Random,
): Promise<LoadedManifest> {
  const body = encodeBody(vault, manifest)
  const box = makeBox(vault.master, 'manifest', random.bytes(saltBytes))
  const file = Buffer.concat([box.prefix, box.seal(lastPiece, encode([body, signer.sign(signed(body))]))])
  if (file.length > backupLimits.manifestBytes)
    throw new DamagedError(
      `the manifest ${manifest.name} would have ${file.length} bytes: make a full backup into a new vault`,
    )
  if (!(await vault.storage.put(manifest.name, file)))
    throw new StorageError(`vault ${vault.storage.location} holds ${manifest.name} already: run the backup again`)
  return { ...manifest, hash: createHash('sha256').update(file).digest('hex') }
}

/** Reads and verifies one manifest. Throws `VaultFileError`, or `VersionError` for a later format. */
export async function readManifest(vault: Vault, name: string): Promise<LoadedManifest> {
  const { location } = vault.storage
  const fault = (what: string, cause?: unknown): VaultFileError => new VaultFileError(name, what, { location, cause })
  const parsed = parseManifestName(name)
  if (parsed === undefined) throw fault('is not named as a manifest is')
  const file = await vault.storage.get(name, backupLimits.manifestBytes)
  if (file === undefined) throw fault('is missing')
  checkHeaderOf(file, vault, name, 'manifest')
  const box = makeBox(vault.master, 'manifest', file.subarray(prefixBytes - saltBytes, prefixBytes))
  const plain = box.open(lastPiece, file.subarray(prefixBytes))
  if (plain === undefined) throw fault('is damaged: it is not what was written')
  try {
    const [body, signature] = asList(decodeCbor(plain), 2)
    const bytes = asBytes(body)
    if (!verifyBy(parsed.node, signed(bytes), asBytes(signature, 64)))
      throw new DamagedError('is not signed by the node it is named after')
    const manifest = decodeBody(vault, parsed, bytes)
    const { certificate } = inspectEntry(manifest.certificate)
    if (certificate?.node !== parsed.node || certificate.site !== manifest.site)
      throw new DamagedError('is not signed by a member of its site')
    return { ...manifest, hash: createHash('sha256').update(file).digest('hex') }
  } catch (error) {
    throw fault((error as Error).message, error)
  }
}

/** One context string per kind of message that a node's key signs, so that none can pass for another. */
function signed(body: Uint8Array): Uint8Array {
  return encode(['hedgerow manifest 1', createHash('sha256').update(body).digest()])
}

const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')

function verifyBy(node: NodeId, message: Uint8Array, signature: Uint8Array): boolean {
  const key = createPublicKey({ key: Buffer.concat([spkiPrefix, publicKeyOf(node)]), format: 'der', type: 'spki' })
  return verify(null, message, key, signature)
}

function encodeBody(vault: Vault, manifest: Manifest): Uint8Array {
  const { name, site, kind, parent, created, root, documents, records, bytes, addedBytes, leftOut, marks } = manifest
  return encode({
    vault: Buffer.from(vault.id, 'hex'),
    name,
    site,
    kind,
    parent: parent === undefined ? null : [parent.name, Buffer.from(parent.hash, 'hex')],
    created,
    root: Buffer.from(root, 'hex'),
    documents,
    records,
    bytes,
    addedBytes,
    leftOut,
    marks,
    list: Buffer.concat(manifest.list.map(partIdBytes)),
    members: Buffer.concat(manifest.members.map(partIdBytes)),
    indexes: Buffer.concat(manifest.indexes.map((hash) => Buffer.from(hash, 'hex'))),
    certificate: manifest.certificate,
  })
}

function decodeBody(vault: Vault, parsed: BackupName, bytes: Uint8Array): Manifest {
  const map = asMap(decodeCbor(bytes))
  if (asBytes(map['vault']).toString('hex') !== vault.id) throw new DamagedError('belongs to another vault')
  if (map['name'] !== parsed.name) throw new DamagedError(`has the content of ${asText(map['name'])}`)
  const kind = backupKinds.find((one) => one === map['kind'])
  if (kind === undefined) throw new DamagedError('is of a kind this release does not know')
  const parent = map['parent'] === null ? undefined : asList(map['parent'], 2)
  const marks = Object.entries(asMap(map['marks'])).map(([group, mark]) => [group, asInteger(mark)] as const)
  return {
    ...parsed,
    site: parseSiteId(asText(map['site'])),
    kind,
    ...(parent === undefined
      ? {}
      : { parent: { name: asText(parent[0]), hash: asBytes(parent[1], 32).toString('hex') } }),
    created: asInteger(map['created']),
    root: asBytes(map['root'], 32).toString('hex'),
    documents: asInteger(map['documents']),
    records: asInteger(map['records']),
    bytes: asInteger(map['bytes']),
    addedBytes: asInteger(map['addedBytes']),
    leftOut: asInteger(map['leftOut']),
    marks: Object.fromEntries(marks),
    list: asNames(map['list']).map(partIdOf),
    members: asNames(map['members']).map(partIdOf),
    indexes: asNames(map['indexes']).map((hash) => hash.toString('hex')),
    certificate: asBytes(map['certificate']),
  }
}
