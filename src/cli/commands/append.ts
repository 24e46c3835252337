import type { Command } from 'commander'
import {
  checkReading,
  checkZone,
  systemClock,
  UsageError,
  type FieldName,
  type SensorId,
  type TimeUs,
  type ValueType,
} from '../../model/index.ts'
import type { NodeClient, UntimedReading } from '../../gateway/index.ts'
import { appendStream } from '../append-stream.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { exitCodes, type ExitCode } from '../exit-codes.ts'
import { FaultList } from '../faults.ts'
import { counted, parseAssignments, parseTimeArgument, parseValue, sensorArgument } from '../values.ts'

interface AppendOptions {
  readonly sensor?: string
  readonly time?: string
  readonly tz?: string
  readonly stdin?: boolean
}

export function addAppend(root: Command, runner: Runner): void {
  const command = root
    .command('append')
    .description('append a record, or with --stdin one of each line of NDJSON: { sensor, time?, fields }')
    .argument('[field=value...]', 'numbers, true, false or text; what stands in double quotes is text')
    .option('--sensor <name>', 'whose record it is')
    .option('--time <time>', 'ISO 8601 with a zone; now when left out')
    .option('--tz <zone>', 'zone of times that have none')
    .option('--stdin', 'read records from standard input until it ends')
    .action(action(runner, append))
  examples(
    command,
    'hedgerow append --sensor greenhouse-1/air temperature=21.5 humidity=63',
    "mosquitto_sub -t 'sensors/#' -F '%j' | jq -c --unbuffered '{ sensor: .topic, fields: (.payload | fromjson) }' | hedgerow append --stdin",
  )
}

async function append(context: Context, options: AppendOptions, assignments: readonly string[]): Promise<ExitCode> {
  if (options.tz !== undefined) checkZone(options.tz)
  if (options.stdin === true) {
    if (options.sensor !== undefined || options.time !== undefined || assignments.length > 0)
      throw new UsageError('--stdin takes sensor, time and fields from its lines')
    return appendLines(context, options.tz)
  }
  if (options.sensor === undefined) throw new UsageError('whose record is it? Say --sensor, or --stdin for NDJSON')
  if (assignments.length === 0) throw new UsageError('nothing to append: say field=value, such as temperature=21.5')
  const sensor = sensorArgument(options.sensor)
  const time = options.time === undefined ? undefined : parseTimeArgument(options.time, options.tz)
  const values = parseAssignments(assignments)
  await using client = await context.client()
  const types = await client.call('fieldTypes', { sensor }, { signal: context.signal })
  const reading = readingOf(sensor, time, values, types)
  checkReading({ ...reading, time: time ?? systemClock.nowUs() })
  const result = await client.call('append', { readings: [reading], flush: true }, { signal: context.signal })
  if (context.output.json) await context.output.object({ acknowledged: result.appended, duplicates: result.duplicates })
  else if (result.appended === 0) context.output.note('nothing added: this node has appended the same values before')
  else context.output.note('1 record appended')
  return exitCodes.ok
}

function readingOf(
  sensor: SensorId,
  time: TimeUs | undefined,
  values: ReadonlyMap<FieldName, string>,
  types: Readonly<Record<string, ValueType>>,
): UntimedReading {
  return {
    sensor,
    time,
    fields: [...values].map(([field, text]) => ({ field, value: parseValue(text, field, types[field]) })),
  }
}

async function appendLines(context: Context, zone: string | undefined): Promise<ExitCode> {
  const { output, signal, surroundings } = context
  await using client: NodeClient = await context.client()
  const faults = new FaultList(output, 'standard input')
  const total = await appendStream(surroundings.stdin as AsyncIterable<Uint8Array>, {
    client,
    clock: systemClock,
    signal,
    ...(zone === undefined ? {} : { zone }),
    onFault: (fault) => faults.add(fault),
    onAcknowledged: async (acknowledged, duplicates, soFar) => {
      if (output.json) await output.object({ acknowledged, duplicates, total: soFar })
    },
  })
  const skipped =
    total.duplicates === 0
      ? ''
      : `, ${counted(total.duplicates, 'value')} skipped that ${total.duplicates === 1 ? 'was' : 'were'} there already`
  output.note(`${counted(total.acknowledged, 'record')} appended${skipped}`)
  return faults.end() === 0 ? exitCodes.ok : exitCodes.partial
}
