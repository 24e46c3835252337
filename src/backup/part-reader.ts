/** Reads parts by name, each verified. Memory is bounded by a cache of shared parts and a few windows of packs. */
import { DamagedError } from '../model/index.ts'
import { partIdBytes, type Box, type PartId } from './box.ts'
import { backupLimits } from './constants.ts'
import { VaultFileError } from './file-error.ts'
import { fileOf, openPart, packBox, type PartPlace } from './pack.ts'
import type { PartIndex } from './part-index.ts'
import type { Vault } from './vault.ts'

/** Windows and boxes kept: readers of one backup go through a few packs at a time. */
const windows = 4
const boxes = 64

interface Window {
  readonly offset: number
  readonly bytes: Uint8Array
}

export interface PartReaderOptions {
  /** Bytes read at once where parts follow each other; 0 reads single parts. */
  readonly readAheadBytes?: number
  /** Called with each file that is read from. */
  readonly onUse?: (place: PartPlace) => void
}

export class PartReader {
  readonly #vault: Vault
  readonly #index: PartIndex
  readonly #options: PartReaderOptions
  readonly #cache = new Map<PartId, Buffer>()
  #cached = 0
  readonly #windows = new Map<string, Window>()
  readonly #boxes = new Map<string, Box>()

  constructor(vault: Vault, index: PartIndex, options: PartReaderOptions = {}) {
    this.#vault = vault
    this.#index = index
    this.#options = options
  }

  /** Gives a part. Throws `VaultFileError` naming the file that is missing or damaged. `keep`: others share it. */
  async read(id: PartId, options: { readonly keep?: boolean } = {}): Promise<Buffer> {
    const cached = this.#cache.get(id)
    if (cached !== undefined) return cached
    const place = this.place(id)
    this.#options.onUse?.(place)
    const sealed = await this.#sealed(place)
    const content = openPart(this.#box(place), this.#vault.names, id, place.piece, sealed)
    if (content === undefined)
      throw this.#fault(place, `is damaged: part ${place.piece} at byte ${place.offset} is not what was written`)
    if (options.keep === true) this.#keep(id, content)
    return content
  }

  /** Where a part lies. Throws `DamagedError` if no index block knows it. */
  place(id: PartId): PartPlace {
    const place = this.#index.get(id)
    if (place === undefined)
      throw new DamagedError(
        `no index block of vault ${this.#vault.storage.location} lists part ${partIdBytes(id).toString('hex').slice(0, 16)}`,
      )
    return place
  }

  async #sealed(place: PartPlace): Promise<Uint8Array> {
    const file = fileOf(place.pack)
    const window = this.#windows.get(file)
    const end = place.offset + place.length
    if (window !== undefined && place.offset >= window.offset && end <= window.offset + window.bytes.length)
      return window.bytes.subarray(place.offset - window.offset, end - window.offset)
    const length = Math.max(place.length, this.#options.readAheadBytes ?? 0)
    const bytes = await this.#vault.storage.getRange(file, place.offset, Math.min(length, backupLimits.packMaxBytes))
    if (bytes === undefined) throw this.#fault(place, 'is missing')
    if (bytes.length < place.length) throw this.#fault(place, 'is truncated')
    if (bytes.length > place.length) {
      this.#windows.delete(file)
      this.#windows.set(file, { offset: place.offset, bytes })
      dropOldest(this.#windows, windows)
    }
    return bytes.subarray(0, place.length)
  }

  #box({ pack }: PartPlace): Box {
    let box = this.#boxes.get(pack.hash)
    if (box === undefined) {
      box = packBox(this.#vault.master, pack.salt)
      this.#boxes.set(pack.hash, box)
      dropOldest(this.#boxes, boxes)
    }
    return box
  }

  #keep(id: PartId, content: Buffer): void {
    if (this.#cache.has(id)) return
    this.#cache.set(id, content)
    this.#cached += content.length
    for (const [oldest, bytes] of this.#cache) {
      if (this.#cached <= backupLimits.cacheBytes) break
      this.#cache.delete(oldest)
      this.#cached -= bytes.length
    }
  }

  #fault({ pack }: PartPlace, what: string): VaultFileError {
    return new VaultFileError(fileOf(pack), what, { location: this.#vault.storage.location })
  }
}

function dropOldest<T>(map: Map<string, T>, most: number): void {
  for (const key of map.keys()) {
    if (map.size <= most) return
    map.delete(key)
  }
}
