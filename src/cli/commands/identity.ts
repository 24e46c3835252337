import { existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import type { Command } from 'commander'
import { exportDirectoryIdentity, importDirectoryIdentity, readExport } from '../../gateway/index.ts'
import { NotAllowedError, systemClock, systemRandom } from '../../model/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { confirmed, passphrase } from '../secrets.ts'
import { named } from '../values.ts'

interface PassphraseOptions {
  readonly passphraseFile?: string
}

export function addIdentity(root: Command, runner: Runner): void {
  const group = root.command('identity').description("this node's key: who it is, and all it may do")
  examples(
    group.command('show').description('say who this node is').action(action(runner, show)),
    'hedgerow identity show',
  )
  const secret = '--passphrase-file <file>'
  const from = 'file with the passphrase (else HEDGEROW_PASSPHRASE, HEDGEROW_PASSPHRASE_FILE, or asked)'
  examples(
    group
      .command('export')
      .description('write an encrypted copy of the identity, to keep elsewhere')
      .argument('<file>', 'the copy')
      .option(secret, from)
      .action(action(runner, exportTo)),
    'hedgerow identity export /media/usb/barn.identity',
  )
  examples(
    group
      .command('import')
      .description('bring an exported identity into a restored or empty directory')
      .argument('<file>', 'the copy')
      .option(secret, from)
      .action(action(runner, importFrom)),
    'hedgerow identity import /media/usb/barn.identity',
  )
}

async function show({ output, client: open, signal }: Context): Promise<void> {
  await using client = await open()
  const who = await client.call('whoami', undefined, { signal })
  if (output.json) {
    await output.object(who)
    return
  }
  await output.line(`node     ${who.node ?? 'none: this directory was restored and has no identity yet'}`)
  await output.line(`site     ${named(who.site, who.siteName)}`)
  if (who.name !== undefined) await output.line(`name     ${who.name}`)
  await output.line(`role     ${who.role ?? 'none'}${who.founder ? ', founder' : ''}`)
  await output.line(`exported ${who.exported ? 'yes' : 'no'}`)
  for (const address of who.addresses) await output.line(`address  ${address}`)
}

async function exportTo(context: Context, options: PassphraseOptions, file: string): Promise<void> {
  const { output, signal } = context
  const dir = context.dir()
  if (existsSync(file) && !(await confirmed(context.surroundings, `${file} exists. Replace it?`, context.yes)))
    throw new NotAllowedError(`${file} was left as it is`)
  const secret = await passphrase(context.surroundings, {
    purpose: 'the exported identity',
    confirm: true,
    ...(options.passphraseFile === undefined ? {} : { file: options.passphraseFile }),
  })
  await writeSecretly(file, await exportDirectoryIdentity(dir, secret, systemRandom))
  await using client = await context.client()
  await client.call('identityExported', undefined, { signal })
  if (output.json) await output.object({ file })
  else output.note(`exported to ${file}: keep it, and its passphrase, away from this machine`)
}

async function importFrom(context: Context, options: PassphraseOptions, file: string): Promise<void> {
  const { output } = context
  const text = await readExport(file)
  const secret = await passphrase(context.surroundings, {
    purpose: 'the exported identity',
    ...(options.passphraseFile === undefined ? {} : { file: options.passphraseFile }),
  })
  const dir = context.newDir()
  const { node, site, name } = await importDirectoryIdentity(dir, text, secret, {
    clock: systemClock,
    random: systemRandom,
  })
  if (output.json) await output.object({ dir, node, site, name })
  else output.note(`${dir} is node ${node} (${name}) of site ${site} again: start it with hedgerow run`)
}

/** Writes a file for its owner only, whole or not at all. */
async function writeSecretly(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`
  await rm(temporary, { force: true })
  {
    await using file = await open(temporary, 'wx', 0o600)
    await file.writeFile(text)
    await file.sync()
  }
  await rename(temporary, path)
}
