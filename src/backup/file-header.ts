/**
 * The first eight bytes of every file in a vault: `HGRV`, its type (one ASCII letter), the format version (1), its
 * encryption (0 none, 1 AES-256-GCM), 0.
 */
import { DamagedError, VersionError } from '../model/index.ts'

export type FileType = 'config' | 'key' | 'pack' | 'index' | 'manifest'
export type Encryption = 'none' | 'aes-256-gcm'

export const headerBytes = 8
export const formatVersion = 1

const magic = Buffer.from('HGRV')
const letters: Readonly<Record<FileType, string>> = { config: 'c', key: 'k', pack: 'p', index: 'i', manifest: 'm' }

export function fileHeader(type: FileType, encryption: Encryption): Buffer {
  return Buffer.concat([
    magic,
    Buffer.from(letters[type]),
    Uint8Array.of(formatVersion, encryption === 'none' ? 0 : 1, 0),
  ])
}

/**
 * Checks the header of a file. `file` names it in errors: `DamagedError`, or `VersionError` for a later format. Without
 * `encryption` either kind passes.
 */
export function checkHeader(bytes: Uint8Array, type: FileType, file: string, encryption?: Encryption): void {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, headerBytes))
  if (
    header.length < headerBytes ||
    !header.subarray(0, 4).equals(magic) ||
    header.toString('latin1', 4, 5) !== letters[type]
  )
    throw new DamagedError(`${file} is damaged: it does not begin as a file of a vault does`)
  const version = header[5] as number
  if (version > formatVersion)
    throw new VersionError(`${file} has format version ${version}: it needs a later release of hedgerow`)
  const code = encryption === undefined ? (header[6] as number) & 1 : encryption === 'none' ? 0 : 1
  if (version !== formatVersion || header[6] !== code || header[7] !== 0)
    throw new DamagedError(`${file} is damaged: its header is not one that was written`)
}
