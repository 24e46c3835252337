/** Gathers parts into packs and stores them. Memory: one pack being gathered, one being stored. */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { constants, zstdCompress } from 'node:zlib'
import type { Random } from '../model/index.ts'
import { lastPiece, prefixBytes, saltBytes, type Box, type PartId } from './box.ts'
import { backupLimits } from './constants.ts'
import { encodeDirectory, packBox, packPlain, type PackListing } from './pack.ts'
import { packName } from './names.ts'
import type { Vault } from './vault.ts'

const compress = promisify(zstdCompress)
/** zstd's default level: 300 MB/s and more on one core. */
const level = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }

interface OpenPack {
  readonly box: Box
  readonly salt: Buffer
  readonly pieces: Buffer[]
  readonly parts: PartId[]
  readonly lengths: number[]
  bytes: number
}

export class PackWriter {
  readonly #vault: Vault
  readonly #random: Random
  readonly #packBytes: number
  /** Packs that are in the vault, in order. */
  readonly written: PackListing[] = []
  #bytesWritten = 0
  #open: OpenPack | undefined
  #storing: Promise<void> = Promise.resolve()

  constructor(vault: Vault, random: Random, packBytes: number = backupLimits.packBytes) {
    this.#vault = vault
    this.#random = random
    this.#packBytes = packBytes
  }

  get bytesWritten(): number {
    return this.#bytesWritten
  }

  /** Adds a part of at most `backupLimits.partBytes`. It is durable after `finish`. */
  async add(id: PartId, content: Uint8Array): Promise<void> {
    const plain = packPlain(content, await compress(content, level))
    const pack = (this.#open ??= this.#begin())
    const sealed = pack.box.seal(pack.parts.length, plain)
    pack.pieces.push(sealed)
    pack.parts.push(id)
    pack.lengths.push(sealed.length)
    pack.bytes += sealed.length
    if (pack.bytes >= this.#packBytes || pack.parts.length >= backupLimits.packParts) await this.#close()
  }

  /** Stores what is left. All parts added are then durable, in `written`. */
  async finish(): Promise<void> {
    if (this.#open !== undefined) await this.#close()
    await this.#storing
  }

  /** Waits for the pack that is being stored, whatever becomes of it: before a caller goes away with an error. */
  async settle(): Promise<void> {
    await Promise.allSettled([this.#storing])
  }

  #begin(): OpenPack {
    const salt = Buffer.from(this.#random.bytes(saltBytes))
    return { box: packBox(this.#vault.master, salt), salt, pieces: [], parts: [], lengths: [], bytes: prefixBytes }
  }

  async #close(): Promise<void> {
    const pack = this.#open as OpenPack
    this.#open = undefined
    // One at a time: the next is gathered meanwhile.
    await this.#storing
    this.#storing = this.#store(pack)
    // Whoever awaits it next gets the failure; nobody is late.
    this.#storing.catch(() => undefined)
  }

  async #store({ box, salt, pieces, parts, lengths }: OpenPack): Promise<void> {
    const directory = box.seal(lastPiece, encodeDirectory({ hash: '', bytes: 0, salt, parts, lengths }))
    const length = Buffer.alloc(4)
    length.writeUInt32BE(directory.length)
    const file = Buffer.concat([box.prefix, ...pieces, directory, length])
    const hash = createHash('sha256').update(file).digest('hex')
    await this.#vault.storage.put(packName(hash), file)
    this.#bytesWritten += file.length
    this.written.push({ hash, bytes: file.length, salt, parts, lengths })
  }
}
