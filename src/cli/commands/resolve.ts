import { Option, type Command } from 'commander'
import {
  InvalidInputError,
  parseFieldName,
  qualities,
  UsageError,
  type NodeId,
  type Quality,
  type SensorId,
  type FieldName,
} from '../../model/index.ts'
import type { NodeClient, ResolveRequest } from '../../gateway/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { parseTimeArgument, parseValue, sensorArgument } from '../values.ts'
import { showRecord } from './amend.ts'

interface ResolveOptions {
  readonly value?: string
  readonly quality?: Quality
  readonly take?: string
  readonly remove?: boolean
  readonly why?: string
  readonly by?: string
  readonly seen?: string
  readonly tz?: string
}

export function addResolve(root: Command, runner: Runner): void {
  const command = root
    .command('resolve')
    .description('settle a conflict: by a value, by taking what one node says, or by removing the field')
    .argument('<sensor>', 'its full name')
    .argument('<time>', 'the record, as conflicts prints it')
    .argument('<field>', 'the field in conflict')
    .option('--value <value>', 'this is the value')
    .addOption(new Option('--quality <quality>', 'quality of that value').choices(qualities))
    .option('--take <node>', "take this node's word: its name, its id or the end of its id")
    .option('--remove', 'there is no value')
    .option('--why <text>', 'the reason')
    .option('--by <name>', 'the person')
    .option('--seen <token>', 'fail if the record has changed since the read that gave this token')
    .option('--tz <zone>', 'zone of the time where it has none')
    .action(action(runner, resolve))
  examples(
    command,
    'hedgerow resolve greenhouse-1/air 2026-11-20T08:30:00Z temperature --value 21.4 --why "checked by hand"',
    'hedgerow resolve greenhouse-1/air 2026-11-20T08:30:00Z temperature --take barn',
  )
}

async function resolve(
  context: Context,
  options: ResolveOptions,
  sensorText: string,
  timeText: string,
  fieldText: string,
): Promise<void> {
  const { why, by, seen, tz } = options
  const given = [options.value, options.take, options.remove].filter((choice) => choice !== undefined)
  if (given.length !== 1) throw new UsageError('say exactly one of --value, --take and --remove')
  if (options.quality !== undefined && options.value === undefined) throw new UsageError('--quality goes with --value')
  const sensor = sensorArgument(sensorText)
  const time = parseTimeArgument(timeText, tz)
  const field = parseFieldName(fieldText)
  await using client = await context.client()
  const record = await client.call(
    'resolve',
    {
      sensor,
      time,
      field,
      choice: await choiceOf(client, options, sensor, field),
      ...(why === undefined ? {} : { why }),
      ...(by === undefined ? {} : { user: by }),
      ...(seen === undefined ? {} : { seen }),
    },
    { signal: context.signal },
  )
  await showRecord(context, record, 'resolved')
}

async function choiceOf(
  client: NodeClient,
  { value, quality, take }: ResolveOptions,
  sensor: SensorId,
  field: FieldName,
): Promise<ResolveRequest['choice']> {
  if (take !== undefined) return { take: await findNode(client, take) }
  if (value === undefined) return { remove: true }
  const types = await client.call('fieldTypes', { sensor })
  return { value: parseValue(value, field, types[field]), ...(quality === undefined ? {} : { quality }) }
}

/** Finds a member by its name, its id or the end of its id (at least 6 characters). */
async function findNode(client: NodeClient, text: string): Promise<NodeId> {
  const members = await client.call('members', undefined)
  const found = members
    .map(({ certificate }) => certificate)
    .filter(({ node, name }) => name === text || node === text || (text.length >= 6 && node.endsWith(text)))
  if (found.length > 1) throw new InvalidInputError(`${JSON.stringify(text)} fits ${found.length} nodes: name its id`)
  if (found[0] === undefined)
    throw new InvalidInputError(`no node of this site is called ${JSON.stringify(text)}: see hedgerow members list`)
  return found[0].node
}
