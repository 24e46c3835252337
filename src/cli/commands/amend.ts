import { Option, type Command } from 'commander'
import { formatTime, parseFieldName, qualities, UsageError, type Quality } from '../../model/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { cellText, recordJson } from '../records.ts'
import { parseAssignments, parseTimeArgument, parseValue, sensorArgument } from '../values.ts'
import type { RecordItem } from '../../gateway/index.ts'

interface AmendOptions {
  readonly quality?: Quality
  readonly note?: string
  readonly why?: string
  readonly by?: string
  readonly create?: boolean
  readonly seen?: string
  readonly tz?: string
}

export function addAmend(root: Command, runner: Runner): void {
  const command = root
    .command('amend')
    .description('correct or annotate a record: nothing is overwritten, the readings stay')
    .argument('<sensor>', 'its full name')
    .argument('<time>', 'the record, as query prints it')
    .argument('[field=value...]', 'new values; a field alone keeps its value and takes the --quality')
    .addOption(new Option('--quality <quality>', 'quality of these fields').choices(qualities))
    .option('--note <text>', 'a note to the fields named, or to the whole record')
    .option('--why <text>', 'the reason')
    .option('--by <name>', 'the person')
    .option('--create', 'make a record or a field that nobody has measured')
    .option('--seen <token>', 'fail if the record has changed since the read that gave this token')
    .option('--tz <zone>', 'zone of the time where it has none')
    .action(action(runner, amend))
  examples(
    command,
    'hedgerow amend greenhouse-1/air 2026-11-20T08:30:00Z temperature=21.4 --why "sensor in the sun" --by Ines',
  )
}

async function amend(
  context: Context,
  options: AmendOptions,
  sensorText: string,
  timeText: string,
  assignments: readonly string[],
): Promise<void> {
  const { quality, note, why, by, create, seen, tz } = options
  const sensor = sensorArgument(sensorText)
  const time = parseTimeArgument(timeText, tz)
  const values = parseAssignments(assignments.filter((text) => text.includes('=')))
  const named = assignments.filter((text) => !text.includes('='))
  if (named.length > 0 && quality === undefined && note === undefined)
    throw new UsageError(`${JSON.stringify(named[0])} is not field=value: a field alone needs --quality or --note`)
  if (assignments.length === 0 && note === undefined)
    throw new UsageError('nothing to amend: name field=value, or a --note')
  await using client = await context.client()
  const types = await client.call('fieldTypes', { sensor }, { signal: context.signal })
  const record = await client.call(
    'amend',
    {
      sensor,
      time,
      fields: [
        ...[...values].map(([field, text]) => ({
          field,
          value: parseValue(text, field, types[field]),
          ...(quality === undefined ? {} : { quality }),
        })),
        ...named.map((text) => ({ field: parseFieldName(text), ...(quality === undefined ? {} : { quality }) })),
      ],
      ...(note === undefined ? {} : { note }),
      ...(why === undefined ? {} : { why }),
      ...(by === undefined ? {} : { user: by }),
      ...(create === true ? { create } : {}),
      ...(seen === undefined ? {} : { seen }),
    },
    { signal: context.signal },
  )
  await showRecord(context, record, 'amended')
}

/** Shows what a record is after an edit. */
export async function showRecord({ output }: Context, record: RecordItem, what: string): Promise<void> {
  if (output.json) {
    await output.object(recordJson(record))
    return
  }
  const fields = record.fields.map((field) => `${field.field}=${cellText(field)}`).join(' ')
  output.note(
    `${what}: ${record.sensor} ${formatTime(record.time)} ${fields === '' ? '(nothing left to show)' : fields}`,
  )
}
