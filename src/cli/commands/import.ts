import type { Command } from 'commander'
import { checkZone, formatTime, InvalidInputError, parseSensorId } from '../../model/index.ts'
import {
  importFile,
  prepareImport,
  type ImportMapping,
  type ImportResult,
  type NodeClient,
} from '../../gateway/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { exitCodes, type ExitCode } from '../exit-codes.ts'
import { FaultList } from '../faults.ts'
import type { Output } from '../output.ts'
import { startProgress, type Progress } from '../progress.ts'
import { counted } from '../values.ts'

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
  const { output } = context
  const { profile, sensor, tz, again } = options
  const mapping = await prepareImport({
    ...(profile === undefined ? {} : { profile }),
    ...(sensor === undefined ? {} : { sensor: parseSensorId(sensor) }),
    ...(tz === undefined ? {} : { zone: checkZone(tz) }),
  })
  await using client = await context.client()
  const input = { client, mapping, again: again ?? false }
  let faulty = 0
  let refused = 0
  for (const file of files)
    try {
      if ((await importOne(context, file, input)) > 0) faulty++
    } catch (error) {
      // One file that cannot be taken in does not keep the others out.
      if (files.length === 1 || !(error instanceof InvalidInputError)) throw error
      refused++
      tell(output, error)
    }
  if (refused === files.length) return exitCodes.failed
  return faulty + refused > 0 ? exitCodes.partial : exitCodes.ok
}

interface ImportInput {
  readonly client: NodeClient
  readonly mapping: ImportMapping
  readonly again: boolean
}

/** Takes one file in and says so; gives the number of rows that were refused. */
async function importOne(context: Context, file: string, { client, mapping, again }: ImportInput): Promise<number> {
  const { output, signal } = context
  const faults = new FaultList(output, file)
  let bar: Progress | undefined
  const result = await importFile(client, file, mapping, {
    again,
    signal,
    onFault: (fault) => faults.add(fault),
    onProgress: (done, total, readings) => {
      bar ??= startProgress(output, file, total)
      bar.update(done, counted(readings, 'record'))
    },
  }).finally(() => bar?.stop())
  const refused = faults.end()
  await say(context, file, result)
  return refused
}

function tell(output: Output, { code, message }: InvalidInputError): void {
  if (output.json) output.errorObject({ error: { code, message } })
  else output.error(message)
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
    [counts.faults, counted(counts.faults, 'row') + ' refused'],
    [duplicates, `${counted(duplicates, 'value')} skipped that this node had appended before`],
    [counts.emptyRows, counted(counts.emptyRows, 'empty row')],
    [counts.withoutValues, counted(counts.withoutValues, 'row') + ' without a value'],
    [counts.missingValues, counted(counts.missingValues, 'missing value')],
    [counts.cutTimes, counted(counts.cutTimes, 'time') + ' cut to the microsecond'],
  ].flatMap(([count, text]) => (count === 0 ? [] : [text]))
  output.note(`${file}: ${counted(appended, 'record')} added${details.length === 0 ? '' : `; ${details.join(', ')}`}`)
}
