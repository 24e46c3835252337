/** What a new backup need not store again: the parts of every pack that is there with all its bytes. */
import { DamagedError } from '../model/index.ts'
import { prefixBytes, saltBytes } from './box.ts'
import { backupLimits } from './constants.ts'
import { inParallel } from './in-parallel.ts'
import { readIndexBlock } from './index-block.ts'
import { packHash, packName } from './names.ts'
import { openDirectory, packBox, type PackListing } from './pack.ts'
import { PartIndex } from './part-index.ts'
import type { Vault } from './vault.ts'

/**
 * Reads every index block, and the directories of packs that none lists: what an interrupted backup left. Packs that are
 * missing or have lost bytes are left out, so their parts are stored anew; `verify` is what reports them.
 */
export async function loadReusable(vault: Vault): Promise<PartIndex> {
  const sizes = new Map<string, number>()
  for await (const { name, bytes } of vault.storage.list('packs/')) sizes.set(name, bytes)
  const index = new PartIndex()
  const listed = new Set<string>()
  const blocks: string[] = []
  for await (const { name } of vault.storage.list('index/')) blocks.push(name)
  await inParallel(blocks, backupLimits.parallel, async (name) => {
    const block = await damagedAsAbsent(readIndexBlock(vault, name))
    if (block === undefined) return
    for (const { hash } of block.packs) listed.add(packName(hash))
    index.addBlock(block, ({ hash, bytes }) => sizes.get(packName(hash)) === bytes)
  })
  const orphans = [...sizes].filter(([name]) => !listed.has(name))
  await inParallel(orphans, backupLimits.parallel, async ([name, bytes]) => {
    const pack = await damagedAsAbsent(readDirectory(vault, name, bytes))
    if (pack !== undefined) index.addPack(pack)
  })
  return index
}

async function readDirectory(vault: Vault, name: string, bytes: number): Promise<PackListing | undefined> {
  const { storage, master } = vault
  const hash = packHash(name)
  if (hash === undefined || bytes < prefixBytes + 4 || bytes > backupLimits.packMaxBytes) return undefined
  const prefix = await storage.getRange(name, 0, prefixBytes)
  const end = await storage.getRange(name, bytes - 4, 4)
  if (prefix?.length !== prefixBytes || end?.length !== 4) return undefined
  const length = Buffer.from(end).readUInt32BE()
  if (length > bytes - prefixBytes - 4) return undefined
  const sealed = await storage.getRange(name, bytes - 4 - length, length)
  const salt = Buffer.from(prefix.subarray(prefixBytes - saltBytes))
  const directory = sealed === undefined ? undefined : openDirectory(packBox(master, salt), sealed)
  return directory === undefined ? undefined : { ...directory, hash, bytes, salt }
}

async function damagedAsAbsent<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading
  } catch (error) {
    // Not ours to report: a backup stores again what it cannot reuse.
    if (error instanceof DamagedError || (error as { code?: string }).code === 'VERSION') return undefined
    throw error
  }
}
