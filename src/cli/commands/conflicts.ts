import type { Command } from 'commander'
import { formatTime } from '../../model/index.ts'
import type { FieldView } from '../../gateway/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { cellText, recordJson, valueText } from '../records.ts'
import { parsePatterns, printable } from '../values.ts'

export function addConflicts(root: Command, runner: Runner): void {
  const command = root
    .command('conflicts')
    .description('list the fields that nodes or people disagree about, with all values')
    .argument('[pattern...]', 'sensors: * stands for anything within a segment, ** across')
    .action(action(runner, conflicts))
  examples(command, 'hedgerow conflicts', "hedgerow conflicts 'greenhouse-1/**' --json")
}

async function conflicts(context: Context, _options: object, patterns: readonly string[]): Promise<void> {
  const { output, signal } = context
  await using client = await context.client()
  const members = await client.call('members', undefined, { signal })
  const names = new Map(members.map(({ certificate }) => [certificate.node as string, certificate.name]))
  let count = 0
  const input = { patterns: parsePatterns(patterns), onlyConflicts: true, includeRemoved: true, seen: output.json }
  for await (const record of client.stream('query', input, { signal })) {
    if (output.readerGone) return
    const fields = record.fields.filter(({ conflict }) => conflict !== undefined)
    count += fields.length
    if (output.json) await output.object({ ...recordJson({ ...record, fields }) })
    else for (const field of fields) await output.data(fieldText(record.sensor, formatTime(record.time), field, names))
  }
  output.note(count === 0 ? 'no conflicts' : `${count} ${count === 1 ? 'conflict' : 'conflicts'}`)
}

function fieldText(sensor: string, time: string, field: FieldView, names: ReadonlyMap<string, string>): string {
  const name = (node: string): string => names.get(node) ?? node.slice(-8)
  const lines = [`${sensor} ${time} ${field.field}: ${field.conflict}, shown: ${cellText(field).replace(/!$/, '')}`]
  for (const { value, quality, nodes, covered } of field.readings)
    if (!covered)
      lines.push(
        `  reading   ${printable(valueText(value))}${quality === 'good' ? '' : ` (${quality})`} by ${nodes.map(name).join(', ')}`,
      )
  for (const { value, quality, removed, by, user, at, why, note } of field.amendments) {
    const what = removed === true ? 'removed' : value === undefined ? 'annotated' : printable(valueText(value))
    const person = user === undefined ? '' : `${printable(user)} at `
    lines.push(
      `  amendment ${what}${quality === undefined || quality === 'good' ? '' : ` (${quality})`} by ${person}${name(by)}, ${formatTime(at)}` +
        `${why === undefined ? '' : `, because: ${printable(why)}`}${note === undefined ? '' : `, note: ${printable(note)}`}`,
    )
  }
  return `${lines.join('\n')}\n`
}
