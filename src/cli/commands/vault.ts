import { resolve } from 'node:path'
import type { Command } from 'commander'
import { initVaultAt } from '../../gateway/index.ts'
import { systemRandom } from '../../model/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { passphrase } from '../secrets.ts'

interface InitOptions {
  readonly unencrypted?: boolean
  readonly passphraseFile?: string
}

export function addVault(root: Command, runner: Runner): void {
  const group = root.command('vault').description('places that keep backups')
  const command = group
    .command('init')
    .description('make a vault in an empty folder, on another disk than the data')
    .argument('<dir>', 'the folder')
    .option('--unencrypted', 'anyone who gets at the folder can read the backups')
    .option(
      '--passphrase-file <file>',
      'file with the passphrase (else HEDGEROW_PASSPHRASE, HEDGEROW_PASSPHRASE_FILE, or asked)',
    )
    .action(action(runner, init))
  examples(command, 'hedgerow vault init /media/usb/hedgerow')
}

async function init(
  { output, surroundings }: Context,
  { unencrypted, passphraseFile }: InitOptions,
  dir: string,
): Promise<void> {
  const vault = resolve(dir)
  const { recoveryPhrase } = await initVaultAt(
    vault,
    unencrypted === true
      ? { unencrypted }
      : {
          passphrase: await passphrase(surroundings, {
            purpose: `the vault ${vault}`,
            confirm: true,
            ...(passphraseFile === undefined ? {} : { file: passphraseFile }),
          }),
        },
    systemRandom,
  )
  if (output.json) {
    await output.object({
      vault,
      encrypted: recoveryPhrase !== undefined,
      ...(recoveryPhrase === undefined ? {} : { recoveryPhrase }),
    })
    return
  }
  output.note(`${vault} is a vault now${recoveryPhrase === undefined ? ', not encrypted' : ''}`)
  if (recoveryPhrase === undefined) return
  output.note('Recovery phrase, shown this once. Write it down: it opens the vault when the passphrase is lost.')
  await output.line(recoveryPhrase)
}
