/**
 * Damages files of vaults at random and looks whether every fault is noticed: bit flips, truncations, missing files, in
 * encrypted and unencrypted vaults. Prints one JSON line; exit code 1 if a fault was missed or a wrong value restored.
 *
 *   node scripts/backup-faults.ts [--count 200] [--seed 1]
 */
import { parseArgs } from 'node:util'
import { injectFaults } from '../test/backup/fault-harness.ts'
import { encryptedVault, plainVault, temporaryFolder } from '../test/backup/vault-site.ts'

const { values } = parseArgs({
  options: { count: { type: 'string', default: '200' }, seed: { type: 'string', default: '1' } },
})
const count = Number(values.count)
const seed = Number(values.seed)
if (!Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(seed))
  throw new Error('usage: node scripts/backup-faults.ts [--count N] [--seed N]')

const failures: string[] = []
for (const [encryption, make, share] of [
  ['aes-256-gcm', encryptedVault, Math.ceil(count / 2)],
  ['none', plainVault, Math.floor(count / 2)],
] as const) {
  if (share === 0) continue
  const folder = await temporaryFolder()
  try {
    const run = await injectFaults(await make(folder.path), share, seed, (n) => {
      if (process.stderr.isTTY) process.stderr.write(`\r${encryption}: ${n + 1} of ${share} faults `)
    })
    if (process.stderr.isTTY) process.stderr.write('\n')
    failures.push(...run.failures)
    console.log(JSON.stringify({ script: 'backup-faults', encryption, seed, ...run, failures: run.failures.length }))
  } finally {
    await folder.remove()
  }
}
for (const failure of failures) console.error(failure)
if (failures.length > 0) process.exitCode = 1
