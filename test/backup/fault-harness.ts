/**
 * Injects random faults into the files of a vault, one at a time, and looks whether each is noticed: `verifyBackups` must
 * name the file and a backup, and whatever still restores must be exactly what was backed up.
 */
import assert from 'node:assert/strict'
import { verifyBackups, type Vault } from '../../src/backup/index.ts'
import { DamagedError, type Random } from '../../src/model/index.ts'
import { copyAll, openTestSite, testRandom, type TestNode } from '../support/store.ts'
import { amend, appendMany, backUp, filesOf, restore, scratch } from './vault-site.ts'

export interface FaultRun {
  readonly files: number
  readonly faults: number
  /** What went wrong, one line each; empty: every fault was reported and no wrong value restored. */
  readonly failures: readonly string[]
  readonly kinds: Readonly<Record<string, number>>
  /** Restores that failed, and that gave exactly what was backed up, beside a fault. */
  readonly refused: number
  readonly exact: number
}

/** Fills a vault with chains of two nodes. Gives the digest of each backup. */
export async function fillVault(vault: Vault): Promise<Map<string, string>> {
  const digests = new Map<string, string>()
  const [a, b] = (await openTestSite(2)) as [TestNode, TestNode]
  const take = async (node: TestNode, kind?: 'full' | 'differential'): Promise<void> => {
    const { backup } = await backUp(node, vault, { kind, packBytes: 8_192 })
    digests.set(backup.id, await node.store.digest())
  }
  await appendMany(a, 'greenhouse/air', 0, 3_000, 300)
  await a.store.sealOpen()
  await appendMany(a, 'greenhouse/air', 3_000, 200)
  await take(a)
  for (let i = 0; i < 5; i++) await amend(a, 'greenhouse/air', i, i)
  await take(a)
  await appendMany(b, 'cellar/door', 0, 1_000, 100)
  await copyAll(a, b)
  await take(b)
  await copyAll(b, a)
  await a.store.sealOpen()
  await take(a)
  await take(a, 'differential')
  for (const { store } of [a, b]) await store.close()
  return digests
}

type Fault = 'flip' | 'truncate' | 'missing'

export async function injectFaults(
  vault: Vault,
  count: number,
  seed: number,
  onFault?: (n: number) => void,
): Promise<FaultRun> {
  const digests = await fillVault(vault)
  const clean = await verifyBackups(vault, { scratch })
  assert.deepEqual(clean.problems, [])
  assert.deepEqual(clean.unreferenced, [])
  const files = [...(await filesOf(vault)).keys()]
  const random = testRandom(seed)
  const failures: string[] = []
  const kinds: Record<string, number> = {}
  let refused = 0
  let exact = 0
  for (let n = 0; n < count; n++) {
    onFault?.(n)
    const file = pick(random, files)
    const fault = pick<Fault>(random, ['flip', 'truncate', 'missing'])
    const label = `fault ${n} of seed ${seed}: ${fault} ${file}`
    kinds[fault] = (kinds[fault] ?? 0) + 1
    const original = (await vault.storage.get(file, 1e9)) as Uint8Array
    await vault.storage.delete(file)
    const bytes = damaged(original, fault, random)
    if (bytes !== undefined) await vault.storage.put(file, bytes)

    const report = await verifyBackups(vault, { scratch })
    const problem = report.problems.find((one) => one.file === file)
    if (problem === undefined || problem.backups.length === 0) failures.push(`${label}: not reported`)
    const [id, digest] = pick(random, [...digests])
    const outcome = await attempt(vault, id, digest)
    if (outcome === 'wrong') failures.push(`${label}: backup ${id} restored as something else`)
    if (outcome === 'refused') refused++
    else exact++
    const verdict = report.backups.find(({ backup }) => backup.id === id)
    if (verdict?.restored === true && outcome !== 'exact')
      failures.push(`${label}: ${id} verified, but does not restore`)

    await vault.storage.delete(file)
    await vault.storage.put(file, original)
  }
  assert.equal((await verifyBackups(vault, { scratch })).ok, true)
  return { files: files.length, faults: count, failures, kinds, refused, exact }
}

async function attempt(vault: Vault, id: string, digest: string): Promise<'exact' | 'refused' | 'wrong'> {
  try {
    await using store = await restore(vault, id)
    return (await store.digest()) === digest ? 'exact' : 'wrong'
  } catch (error) {
    // A lost manifest is a backup that is not there.
    if (error instanceof DamagedError || (error as { code?: string }).code === 'INVALID_INPUT') return 'refused'
    throw error
  }
}

function damaged(original: Uint8Array, fault: Fault, random: Random): Uint8Array | undefined {
  if (fault === 'missing') return undefined
  if (fault === 'truncate') return original.subarray(0, Math.floor(random.uniform() * original.length))
  const bytes = Uint8Array.from(original)
  const at = Math.floor(random.uniform() * bytes.length)
  bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(random.uniform() * 8))
  return bytes
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random.uniform() * items.length)] as T
}
