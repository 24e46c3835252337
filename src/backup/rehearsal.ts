/**
 * Restores backups into scratch stores. A backup that continues the one restored before it is put on top of that, so that
 * a chain costs one restore of each of its bytes.
 */
import type { Store } from '../store/index.ts'
import { applySteps, compareWithChain } from './apply.ts'
import { backupLimits } from './constants.ts'
import { openContents, readEntries, readMembers } from './contents.ts'
import { inParallel } from './in-parallel.ts'
import type { LoadedManifest } from './manifest.ts'
import { restoreChain } from './restore.ts'
import type { Vault } from './vault.ts'
import type { Scratch, VerifyBackupsOptions } from './verify.ts'

export class Rehearsal implements AsyncDisposable {
  readonly #vault: Vault
  readonly #make: NonNullable<VerifyBackupsOptions['scratch']>
  #held: { readonly scratch: Scratch; readonly name: string } | undefined

  constructor(vault: Vault, make: NonNullable<VerifyBackupsOptions['scratch']>) {
    this.#vault = vault
    this.#make = make
  }

  /** Restores the last backup of a chain and compares it. Gives what is wrong; `undefined`: nothing. */
  async restore(links: readonly LoadedManifest[]): Promise<string | undefined> {
    const manifest = links.at(-1) as LoadedManifest
    const held = this.#held
    if (held !== undefined && held.name === manifest.parent?.name) {
      this.#held = undefined
      if ((await this.#trying(() => this.#continue(held.scratch.store, links))) === undefined) {
        this.#held = { scratch: held.scratch, name: manifest.name }
        return undefined
      }
      // What was forgotten in between does not go away on top of what was there: a fresh one decides.
      await held.scratch[Symbol.asyncDispose]()
    }
    await this[Symbol.asyncDispose]()
    return this.#trying(() => this.#afresh(links))
  }

  async #continue(store: Store, links: readonly LoadedManifest[]): Promise<void> {
    const manifest = links.at(-1) as LoadedManifest
    const reader = await openContents(this.#vault, links, { readAheadBytes: backupLimits.readAheadBytes })
    const source = { reader, names: this.#vault.names, node: manifest.node }
    await store.members.add(await readMembers(manifest, reader))
    await inParallel(readEntries(manifest, reader), backupLimits.parallel, (entry) =>
      applySteps(store, [entry], source),
    )
    await compareWithChain(store, links, reader)
  }

  async #afresh(links: readonly LoadedManifest[]): Promise<void> {
    let scratch: Scratch | undefined
    try {
      await restoreChain(links, {
        vault: this.#vault,
        create: async (site, members) => {
          scratch = await this.#make(site, members)
          return scratch.store
        },
      })
    } catch (error) {
      await scratch?.[Symbol.asyncDispose]()
      throw error
    }
    if (scratch !== undefined) this.#held = { scratch, name: (links.at(-1) as LoadedManifest).name }
  }

  async #trying(task: () => Promise<void>): Promise<string | undefined> {
    try {
      await task()
      return undefined
    } catch (error) {
      const { code, message } = error as { readonly code?: string; readonly message: string }
      if (code !== 'DAMAGED' && code !== 'REFUSED') throw error
      return message
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const held = this.#held
    this.#held = undefined
    await held?.scratch[Symbol.asyncDispose]()
  }
}
