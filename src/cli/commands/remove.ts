import type { Command } from 'commander'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { parseTimeArgument, sensorArgument } from '../values.ts'
import { showRecord } from './amend.ts'

interface RemoveOptions {
  readonly why?: string
  readonly by?: string
  readonly seen?: string
  readonly tz?: string
}

export function addRemove(root: Command, runner: Runner): void {
  const command = root
    .command('remove')
    .description('take a record out of sight: its readings stay and can be shown')
    .argument('<sensor>', 'its full name')
    .argument('<time>', 'the record, as query prints it')
    .option('--why <text>', 'the reason')
    .option('--by <name>', 'the person')
    .option('--seen <token>', 'fail if the record has changed since the read that gave this token')
    .option('--tz <zone>', 'zone of the time where it has none')
    .action(action(runner, remove))
  examples(command, 'hedgerow remove greenhouse-1/air 2026-11-20T08:30:00Z --why "sensor unplugged"')
}

async function remove(context: Context, options: RemoveOptions, sensorText: string, timeText: string): Promise<void> {
  const { why, by, seen, tz } = options
  const sensor = sensorArgument(sensorText)
  const time = parseTimeArgument(timeText, tz)
  await using client = await context.client()
  const record = await client.call(
    'remove',
    {
      sensor,
      time,
      ...(why === undefined ? {} : { why }),
      ...(by === undefined ? {} : { user: by }),
      ...(seen === undefined ? {} : { seen }),
    },
    { signal: context.signal },
  )
  await showRecord(context, record, 'removed')
}
