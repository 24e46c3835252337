import type { Command } from 'commander'
import { formatTime, systemClock } from '../../model/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { valueText } from '../records.ts'
import { table } from '../table.ts'
import { formatAge, parsePatterns, printable } from '../values.ts'

export function addSensors(root: Command, runner: Runner): void {
  const command = root
    .command('sensors')
    .description('list sensors: fields with units, last value and its age, records, writing nodes, open conflicts')
    .argument('[pattern...]', 'sensors: * stands for anything within a segment, ** across')
    .action(action(runner, sensors))
  examples(command, 'hedgerow sensors', "hedgerow sensors 'greenhouse-1/**' --json")
}

async function sensors(context: Context, _options: object, patterns: readonly string[]): Promise<void> {
  const { output, signal } = context
  await using client = await context.client()
  const members = await client.call('members', undefined, { signal })
  const names = new Map(members.map(({ certificate }) => [certificate.node as string, certificate.name]))
  const now = systemClock.nowUs()
  const rows: string[][] = []
  for await (const summary of client.stream('sensors', { patterns: parsePatterns(patterns) }, { signal })) {
    const { sensor, readings, nodes, fields, conflicts, place } = summary
    if (output.json) {
      await output.object({
        ...summary,
        first: formatTime(summary.first),
        last: formatTime(summary.last),
        fields: fields.map((field) =>
          field.last === undefined
            ? field
            : {
                ...field,
                last: {
                  ...field.last,
                  time: formatTime(field.last.time),
                  ageSeconds: Math.round((now - field.last.time) / 1e6),
                },
              },
        ),
      })
      continue
    }
    const shared = [
      String(readings),
      nodes.map((node) => names.get(node) ?? node.slice(-8)).join(','),
      String(conflicts),
    ]
    for (const [i, { field, unit, last }] of fields.entries())
      rows.push([
        i === 0 ? sensor + (place === undefined ? '' : ` (${printable(place)})`) : '',
        unit === undefined ? field : `${field} [${unit}]`,
        last === undefined ? '' : printable(valueText(last.value)),
        last === undefined ? '' : formatTime(last.time),
        last === undefined ? '' : formatAge(now - last.time),
        ...(i === 0 ? shared : ['', '', '']),
      ])
    if (fields.length === 0) rows.push([sensor, '', '', '', '', ...shared])
  }
  if (output.json) return
  if (rows.length === 0) {
    output.note('no sensors match')
    return
  }
  const columns = [
    { title: 'sensor' },
    { title: 'field' },
    { title: 'last', align: 'right' as const },
    { title: 'time' },
    { title: 'age', align: 'right' as const },
    { title: 'records', align: 'right' as const },
    { title: 'nodes' },
    { title: 'conflicts', align: 'right' as const },
  ]
  await output.data(table(columns, rows, output.columns))
}
