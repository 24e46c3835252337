import type { Command } from 'commander'
import { UsageError, parseSensorPattern, type ValueType } from '../../model/index.ts'
import { action, collect, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { parseAssignments } from '../values.ts'

interface SetOptions {
  readonly unit?: readonly string[]
  readonly type?: readonly string[]
  readonly place?: string
  readonly label?: string
}

const types: readonly string[] = ['float', 'int', 'bool', 'string'] satisfies ValueType[]

export function addSensor(root: Command, runner: Runner): void {
  const group = root.command('sensor').description('say what is known of sensors')
  const command = group
    .command('set')
    .description('set units, types, place and label of sensors, for every node of the site')
    .argument('<pattern>', 'sensors: * stands for anything within a segment, ** across')
    .option('--unit <field=unit>', 'unit to show, a SenML symbol such as Cel, %RH or Pa', collect)
    .option('--type <field=type>', 'type of values that are typed in: float, int, bool or string', collect)
    .option('--place <text>', 'where it stands')
    .option('--label <text>', 'what people call it')
    .action(action(runner, set))
  examples(
    command,
    "hedgerow sensor set 'greenhouse-1/*' --unit temperature=Cel --unit humidity=%RH --place 'north bay'",
  )
}

async function set(context: Context, options: SetOptions, patternText: string): Promise<void> {
  const { output, signal } = context
  const { unit = [], type = [], place, label } = options
  if (unit.length + type.length === 0 && place === undefined && label === undefined)
    throw new UsageError('nothing to set: say --unit, --type, --place or --label')
  const fieldTypes = parseAssignments(type, 'field=type, such as count=int')
  const units = Object.fromEntries(parseAssignments(unit, 'field=unit, such as temperature=Cel'))
  for (const [field, text] of fieldTypes)
    if (!types.includes(text))
      throw new UsageError(`type ${JSON.stringify(text)} of ${field} is none of ${types.join(', ')}`)
  await using client = await context.client()
  await client.call(
    'setCatalog',
    {
      pattern: parseSensorPattern(patternText),
      ...(unit.length === 0 ? {} : { units }),
      ...(type.length === 0 ? {} : { types: Object.fromEntries(fieldTypes) as Record<string, ValueType> }),
      ...(place === undefined ? {} : { place }),
      ...(label === undefined ? {} : { label }),
    },
    { signal },
  )
  if (output.json) await output.object({ pattern: patternText })
  else output.note(`set for ${patternText}`)
}
