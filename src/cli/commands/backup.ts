import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import {
  defaultName,
  foundOnRestored,
  isEncrypted,
  listVault,
  restoreFrom,
  verifyVault,
  type BackupCreateInput,
  type BackupInfo,
  type BackupSecret,
} from '../../gateway/index.ts'
import { formatTime, systemClock, systemRandom, UsageError } from '../../model/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { exitCodes, type ExitCode } from '../exit-codes.ts'
import { startProgress, type Progress } from '../progress.ts'
import { passphrase, recoveryPhrase } from '../secrets.ts'
import { table } from '../table.ts'
import { counted, formatBytes } from '../values.ts'

interface VaultOptions {
  readonly vault: string
  readonly passphraseFile?: string
  readonly recoveryPhraseFile?: string
}

interface CreateOptions extends VaultOptions {
  readonly full?: boolean
  readonly incremental?: boolean
}

interface RestoreOptions extends VaultOptions {
  readonly to: string
  readonly asOf?: string
  readonly newSite?: string
  readonly name?: string
}

export function addBackup(root: Command, runner: Runner): void {
  const group = root.command('backup').description('backups into vaults, and back from them')
  const create = vaultOptions(group.command('create').description('back this node up into a vault'))
    .addOption(new Option('--full', 'a backup that needs no other').conflicts('incremental'))
    .option(
      '--incremental',
      'only what is new since the last backup of this node in this vault (the default if there is one)',
    )
    .action(action(runner, createBackup))
  examples(create, 'hedgerow backup create --vault /media/usb/hedgerow')
  const list = vaultOptions(group.command('list').description('list the backups of a vault')).action(
    action(runner, listBackups),
  )
  examples(list, 'hedgerow backup list --vault /media/usb/hedgerow')
  const verify = vaultOptions(
    group.command('verify').description('read all bytes of a vault and restore its backups into a scratch store'),
  ).action(action(runner, verifyBackups))
  examples(verify, 'hedgerow backup verify --vault /media/usb/hedgerow')
  const restore = vaultOptions(group.command('restore').description('bring a backup back into a new directory'))
    .requiredOption('--to <dir>', 'a directory that does not exist or is empty')
    .option('--as-of <id>', 'this backup, as backup list prints it, instead of the newest')
    .option('--new-site <name>', 'found a new site on it: for when no admin of the old one is left')
    .option('--name <name>', "with --new-site: this gateway's name, for people (else the machine's)")
    .action(action(runner, restoreBackup))
  examples(
    restore,
    'hedgerow backup restore --vault /media/usb/hedgerow --to ./hedgerow-data',
    'hedgerow identity import barn.identity   # or: hedgerow join CODE',
  )
}

function vaultOptions(command: Command): Command {
  return command
    .requiredOption('--vault <dir>', 'the vault')
    .option(
      '--passphrase-file <file>',
      'file with its passphrase (else HEDGEROW_PASSPHRASE, HEDGEROW_PASSPHRASE_FILE, or asked)',
    )
    .option(
      '--recovery-phrase-file <file>',
      'file with its recovery phrase (else HEDGEROW_RECOVERY_PHRASE), instead of the passphrase',
    )
}

/** The secret of a vault; none for one that is not encrypted. Throws `NotFoundError` before it asks if there is no vault. */
async function secretOf(
  { surroundings }: Context,
  { vault, passphraseFile, recoveryPhraseFile }: VaultOptions,
): Promise<BackupSecret> {
  if (!(await isEncrypted(resolve(vault)))) return {}
  const phrase = recoveryPhrase(surroundings, recoveryPhraseFile)
  if (phrase !== undefined) return { recoveryPhrase: phrase }
  const file = passphraseFile === undefined ? {} : { file: passphraseFile }
  return { passphrase: await passphrase(surroundings, { purpose: `the vault ${resolve(vault)}`, ...file }) }
}

async function createBackup(context: Context, options: CreateOptions): Promise<void> {
  const { output, signal } = context
  await using client = await context.client()
  const kind = options.full === true ? 'full' : options.incremental === true ? 'incremental' : undefined
  const input: BackupCreateInput = {
    vault: resolve(options.vault),
    secret: await secretOf(context, options),
    ...(kind === undefined ? {} : { kind }),
  }
  let bar: Progress | undefined
  let made: { readonly created: BackupInfo; readonly because?: string } | undefined
  try {
    for await (const event of client.stream('backupCreate', input, { signal }))
      if ('created' in event) made = event
      else (bar ??= startProgress(output, 'backup', event.progress.total)).update(event.progress.done)
  } finally {
    bar?.stop()
  }
  if (made === undefined) return
  const { created, because } = made
  if (output.json) await output.object({ ...infoJson(created), ...(because === undefined ? {} : { because }) })
  else {
    const { id, kind: made, records, documents, addedBytes, leftOut } = created
    if (because !== undefined) output.note(`a full backup, since ${because}`)
    output.note(
      `backup ${id} (${made}): ${counted(records, 'record')} in ${counted(documents, 'document')}, ${formatBytes(addedBytes)} added to ${input.vault}`,
    )
    if (leftOut > 0)
      output.warn(`${counted(leftOut, 'damaged document was', 'damaged documents were')} left out: see hedgerow status`)
  }
}

async function listBackups(context: Context, options: VaultOptions): Promise<ExitCode> {
  const { output } = context
  const { backups, unreadable } = await listVault(resolve(options.vault), await secretOf(context, options))
  for (const { file, what } of unreadable) output.error(`${file} ${what}`)
  if (output.json) for (const backup of backups) await output.object(infoJson(backup))
  else if (backups.length === 0) output.note('the vault holds no backup yet: hedgerow backup create')
  else
    await output.data(
      table(
        [
          { title: 'id' },
          { title: 'time' },
          { title: 'kind' },
          { title: 'records', align: 'right' },
          { title: 'documents', align: 'right' },
          { title: 'added', align: 'right' },
          { title: 'node' },
          { title: '' },
        ],
        backups.map(({ id, created, kind, records, documents, addedBytes, node, complete }) => [
          id,
          formatTime(created),
          kind,
          String(records),
          String(documents),
          formatBytes(addedBytes),
          node.slice(-8),
          complete ? '' : 'not whole: see backup verify',
        ]),
        output.columns,
      ),
    )
  return unreadable.length === 0 ? exitCodes.ok : exitCodes.partial
}

async function verifyBackups(context: Context, options: VaultOptions): Promise<ExitCode> {
  const { output, signal } = context
  const secret = await secretOf(context, options)
  const progress = lateProgress(output, 'verify')
  const report = await verifyVault(resolve(options.vault), secret, {
    signal,
    clock: systemClock,
    random: systemRandom,
    onProgress: ({ phase, done, total }) => progress.update(phase, done, total),
  }).finally(progress.stop)
  const { ok, backups, bytes, files, problems, unreferenced } = report
  if (output.json)
    await output.object({ ...report, backups: backups.map((each) => ({ ...each, backup: infoJson(each.backup) })) })
  else {
    for (const { file, what, backups: needing, records } of problems)
      output.error(
        `${file} ${what}${needing.length === 0 ? '' : `: backup ${needing.join(', ')} needs it${records === 0 ? '' : `, ${counted(records, 'record')} cannot be restored`}`}`,
      )
    if (unreferenced.length > 0)
      output.note(`${counted(unreferenced.length, 'file')} of interrupted backups: the next backup uses what it can`)
    const good = backups.filter((each) => each.ok).length
    output.note(
      ok
        ? `${counted(good, 'backup is', 'backups are')} good: ${formatBytes(bytes)} in ${counted(files, 'file')} read, restored into a scratch store and compared`
        : `${good} of ${backups.length} backups are good`,
    )
  }
  return ok ? exitCodes.ok : exitCodes.failed
}

async function restoreBackup(context: Context, options: RestoreOptions): Promise<void> {
  const { output, signal } = context
  const { to, asOf, newSite, name } = options
  if (name !== undefined && newSite === undefined) throw new UsageError('--name goes with --new-site')
  const dir = resolve(to)
  const secret = await secretOf(context, options)
  const progress = lateProgress(output, 'restore')
  const { backup, others } = await restoreFrom(resolve(options.vault), secret, {
    to: dir,
    signal,
    clock: systemClock,
    random: systemRandom,
    onProgress: ({ records, totalRecords }) => progress.update('records', records, totalRecords),
    ...(asOf === undefined ? {} : { asOf }),
  }).finally(progress.stop)
  const environment = { clock: systemClock, random: systemRandom }
  const founded =
    newSite === undefined
      ? undefined
      : await foundOnRestored(dir, { ...environment, siteName: newSite, name: name ?? defaultName() })
  if (output.json) {
    const ids = founded === undefined ? {} : { node: founded.node, site: founded.site }
    await output.object({ dir, backup: infoJson(backup), others: others.map(infoJson), ...ids })
    return
  }
  output.note(
    `${dir}: ${counted(backup.records, 'record')} in ${counted(backup.documents, 'document')}, as of backup ${backup.id} of ${formatTime(backup.created)}`,
  )
  for (const { id, node, created } of others)
    output.note(
      `the vault also holds backup ${id} of node ${node.slice(-8)}, of ${formatTime(created)} (--as-of ${id})`,
    )
  output.note(
    founded === undefined
      ? `it has no identity yet: hedgerow --dir ${to} identity import FILE, or hedgerow --dir ${to} join CODE, or restore with --new-site when no admin is left`
      : `it is node ${founded.node} of the new site ${founded.site}: start it with hedgerow --dir ${to} run`,
  )
}

function infoJson(info: BackupInfo): object {
  return { ...info, created: formatTime(info.created) }
}

/** A bar that begins when the total is known, anew for each phase. */
function lateProgress(
  output: Context['output'],
  title: string,
): { readonly update: (phase: string, done: number, total: number) => void; readonly stop: () => void } {
  let bar: { readonly phase: string; readonly progress: Progress } | undefined
  return {
    update(phase, done, total) {
      if (bar?.phase !== phase) {
        bar?.progress.stop()
        bar = { phase, progress: startProgress(output, `${title}, ${phase}`, total) }
      }
      bar.progress.update(done)
    },
    stop: () => bar?.progress.stop(),
  }
}
