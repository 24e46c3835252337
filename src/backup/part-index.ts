/** Where parts lie: index blocks in memory. */
import type { PartId } from './box.ts'
import type { IndexBlock } from './index-block.ts'
import { placesOf, type PackListing, type PartPlace } from './pack.ts'

export class PartIndex {
  readonly #places = new Map<PartId, PartPlace>()
  /** Blocks that list a pack, by the pack's hash. */
  readonly #blocks = new Map<string, string>()

  /** Adds a block's packs; those that `usable` refuses are left out. Of a part in two packs the first one added counts. */
  addBlock(block: IndexBlock, usable: (pack: PackListing) => boolean = () => true): void {
    for (const pack of block.packs) {
      if (!usable(pack)) continue
      if (!this.#blocks.has(pack.hash)) this.#blocks.set(pack.hash, block.hash)
      this.addPack(pack)
    }
  }

  addPack(pack: PackListing): void {
    for (const [id, place] of placesOf(pack)) if (!this.#places.has(id)) this.#places.set(id, place)
  }

  get(id: PartId): PartPlace | undefined {
    return this.#places.get(id)
  }

  /** The block that lists a pack; `undefined` for a pack that no block lists. */
  blockOf(pack: PackListing): string | undefined {
    return this.#blocks.get(pack.hash)
  }
}
