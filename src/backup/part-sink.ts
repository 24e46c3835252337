/** Where a new backup puts its parts: those the vault has are named, the others stored. */
import type { Random } from '../model/index.ts'
import type { PartId } from './box.ts'
import { writeIndexBlocks } from './index-block.ts'
import type { PackListing } from './pack.ts'
import { PackWriter } from './pack-writer.ts'
import type { PartIndex } from './part-index.ts'
import type { Vault } from './vault.ts'

export class PartSink implements AsyncDisposable {
  readonly #vault: Vault
  readonly #held: PartIndex
  readonly #random: Random
  readonly #writer: PackWriter
  readonly #own = new Set<PartId>()
  readonly #reused = new Set<PackListing>()

  constructor(vault: Vault, held: PartIndex, random: Random, packBytes?: number) {
    this.#vault = vault
    this.#held = held
    this.#random = random
    this.#writer = new PackWriter(vault, random, packBytes)
  }

  get bytesWritten(): number {
    return this.#writer.bytesWritten
  }

  get packsWritten(): number {
    return this.#writer.written.length
  }

  /** Makes sure of a part of which the name is known; reads its content only if the vault lacks it. */
  async ensure(id: PartId, content: () => Promise<Uint8Array>): Promise<void> {
    if (this.#own.has(id)) return
    const place = this.#held.get(id)
    if (place !== undefined) {
      this.#reused.add(place.pack)
      return
    }
    const bytes = await content()
    this.#own.add(id)
    await this.#writer.add(id, bytes)
  }

  /** Waits for what is being stored. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#writer.settle()
  }

  async add(content: Uint8Array): Promise<PartId> {
    const id = this.#vault.names.of(content)
    await this.ensure(id, async () => content)
    return id
  }

  /** Stores what is left, then the index. Gives the hashes of the blocks that know every part of this backup. */
  async finish(writer: string): Promise<string[]> {
    await this.#writer.finish()
    const blocks = new Set<string>()
    const unlisted: PackListing[] = [...this.#writer.written]
    for (const pack of this.#reused) {
      const block = this.#held.blockOf(pack)
      if (block === undefined) unlisted.push(pack)
      else blocks.add(block)
    }
    const own = await writeIndexBlocks(this.#vault, writer, unlisted, this.#random)
    return [...[...blocks].sort(), ...own]
  }
}
