import type { Command } from 'commander'
import { formatTime, systemClock, type TimeUs } from '../../model/index.ts'
import type { SensorSummary } from '../../gateway/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { valueText } from '../records.ts'
import { table, tableWidth } from '../table.ts'
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
  const rows: Row[] = []
  for await (const summary of client.stream('sensors', { patterns: parsePatterns(patterns) }, { signal }))
    if (output.json) await output.object(summaryJson(summary, now))
    else rows.push(...rowsOf(summary, names, now))
  if (output.json) return
  if (rows.length === 0) output.note('no sensors match')
  else await output.data(laidOut(rows, output.columns))
}

function summaryJson(summary: SensorSummary, now: TimeUs): object {
  return {
    ...summary,
    first: formatTime(summary.first),
    last: formatTime(summary.last),
    fields: summary.fields.map(({ last, ...field }) =>
      last === undefined
        ? field
        : {
            ...field,
            last: { ...last, time: formatTime(last.time), ageSeconds: Math.round((now - last.time) / 1e6) },
          },
    ),
  }
}

const titles = ['sensor', 'place', 'field', 'last', 'time', 'age', 'records', 'nodes', 'conflicts'] as const
type Row = Readonly<Record<(typeof titles)[number], string>>

/** A row for each field; what is the sensor's stands in the first. */
function rowsOf(summary: SensorSummary, names: ReadonlyMap<string, string>, now: TimeUs): Row[] {
  const { sensor, readings, nodes, fields, conflicts, place } = summary
  const shared = {
    sensor,
    place: place === undefined ? '' : printable(place),
    records: String(readings),
    nodes: nodes.map((node) => names.get(node) ?? node.slice(-8)).join(','),
    conflicts: String(conflicts),
  }
  const without = { sensor: '', place: '', records: '', nodes: '', conflicts: '' }
  const rows = fields.map(({ field, unit, last }, i) => ({
    ...(i === 0 ? shared : without),
    field: unit === undefined ? field : `${field} [${unit}]`,
    last: last === undefined ? '' : printable(valueText(last.value)),
    time: last === undefined ? '' : formatTime(last.time),
    age: last === undefined ? '' : formatAge(now - last.time),
  }))
  return rows.length === 0 ? [{ ...shared, field: '', last: '', time: '', age: '' }] : rows
}

const right: readonly string[] = ['last', 'age', 'records', 'conflicts']

/** Where the terminal is too narrow, times and places give way: age and the other columns say more. */
function laidOut(rows: readonly Row[], terminal: number | undefined): string {
  const withPlaces = titles.filter((title) => title !== 'place' || rows.some(({ place }) => place !== ''))
  const fits = (shown: readonly (keyof Row)[]): boolean =>
    terminal === undefined || tableWidth([shown, ...rows.map((row) => shown.map((title) => row[title]))]) <= terminal
  const timeless = withPlaces.filter((title) => title !== 'time')
  const shown = [withPlaces, timeless].find(fits) ?? timeless.filter((title) => title !== 'place')
  return table(
    shown.map((title) => (right.includes(title) ? { title, align: 'right' } : { title })),
    rows.map((row) => shown.map((title) => row[title])),
    terminal,
  )
}
