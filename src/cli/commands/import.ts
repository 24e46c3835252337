import type { Command } from 'commander'
import { checkZone, formatTime, parseSensorId } from '../../model/index.ts'
import { importFile, prepareImport, type ImportResult } from '../../gateway/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { exitCodes, type ExitCode } from '../exit-codes.ts'
import { FaultList } from '../faults.ts'
import { startProgress } from '../progress.ts'

interface ImportOptions {
  readonly profile?: string
  readonly sensor?: string
  readonly tz?: string
  readonly again?: boolean
}

export function addImport(root: Command, runner: Runner): void {
  const command = root
    .command('import')
    .description('take in CSV files: a header, a time column, every other column a field; or as a profile says')
    .argument('<file...>', 'the files')
    .option('--profile <file>', 'YAML that says how to read them')
    .option('--sensor <name>', 'whose records they are')
    .option('--tz <zone>', 'zone of times that have none, such as Europe/Brussels')
    .option('--again', 'take a file in that was taken in before')
    .action(action(runner, importFiles))
  examples(
    command,
    'hedgerow import air.csv --sensor greenhouse-1/air --tz Europe/Brussels',
    'hedgerow import AirQualityUCI.csv --profile air-quality.yaml',
  )
}

async function importFiles(context: Context, options: ImportOptions, files: readonly string[]): Promise<ExitCode> {
  const { output, signal } = context
  const { profile, sensor, tz, again } = options
  const mapping = await prepareImport({
    ...(profile === undefined ? {} : { profile }),
    ...(sensor === undefined ? {} : { sensor: parseSensorId(sensor) }),
    ...(tz === undefined ? {} : { zone: checkZone(tz) }),
  })
  await using client = await context.client()
  let faulty = false
  for (const file of files) {
    const faults = new FaultList(output, file)
    const progress = { bar: startProgress(output, file, 0), total: 0 }
    let result: ImportResult
    try {
      result = await importFile(client, file, mapping, {
        again: again ?? false,
        signal,
        onFault: (fault) => faults.add(fault),
        onProgress: (done, total, readings) => {
          if (progress.total === 0) {
            progress.bar = startProgress(output, file, total)
            progress.total = total
          }
          progress.bar.update(done, `${readings} records`)
        },
      })
    } finally {
      progress.bar.stop()
    }
    faulty = faults.end() > 0 || faulty
    await say(context, file, result)
  }
  return faulty ? exitCodes.partial : exitCodes.ok
}

async function say({ output }: Context, file: string, result: ImportResult): Promise<void> {
  if (output.json) {
    await output.object({
      file,
      ...result,
      ...(result.before === undefined ? {} : { before: formatTime(result.before) }),
    })
    return
  }
  if (result.before !== undefined) {
    output.note(
      `${file}: already imported on ${formatTime(result.before)}, nothing added (--again takes it in once more)`,
    )
    return
  }
  const { counts, appended, duplicates } = result
  const details = [
    counts.faults > 0 ? `${counts.faults} rows refused` : '',
    duplicates > 0 ? `${duplicates} values skipped that this node had appended before` : '',
    counts.emptyRows > 0 ? `${counts.emptyRows} empty rows` : '',
    counts.withoutValues > 0 ? `${counts.withoutValues} rows without a value` : '',
    counts.missingValues > 0 ? `${counts.missingValues} missing values` : '',
    counts.cutTimes > 0 ? `${counts.cutTimes} times cut to the microsecond` : '',
  ].filter((text) => text !== '')
  output.note(`${file}: ${appended} records added${details.length === 0 ? '' : `; ${details.join(', ')}`}`)
}
