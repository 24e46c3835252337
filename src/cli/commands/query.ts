import { Option, type Command } from 'commander'
import { checkZone, usPerDay, UsageError, parseFieldName, formatTime } from '../../model/index.ts'
import { formatRecordsCsv, type NodeClient, type QueryInput, type RecordItem } from '../../gateway/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { toJson } from '../json.ts'
import { recordJson, RecordTable } from '../records.ts'
import { parseCount, parsePatterns, parseTimeArgument } from '../values.ts'

interface QueryOptions {
  readonly from?: string
  readonly to?: string
  readonly tz?: string
  readonly fields?: string
  readonly limit?: string
  readonly removed?: boolean
  readonly format?: 'table' | 'csv'
}

/** Records shown when neither a time nor a limit is given. */
const defaultLimit = 1_000

export function addQuery(root: Command, runner: Runner): void {
  const command = root
    .command('query')
    .description('show records: without times the last 24 h of data, at most 1,000')
    .argument('[pattern...]', 'sensors: * stands for anything within a segment, ** across')
    .option('--from <time>', 'first time, ISO 8601 with a zone')
    .option('--to <time>', 'end of the time range, itself not included')
    .option('--tz <zone>', 'zone of --from and --to where they have none, such as Europe/Brussels')
    .option('--fields <names>', 'only these fields, separated by commas')
    .option('--limit <n>', 'at most n records')
    .option('--removed', 'show removed fields, too')
    .addOption(new Option('--format <format>', 'how to print').choices(['table', 'csv']))
    .action(action(runner, query))
  examples(
    command,
    'hedgerow query',
    "hedgerow query 'greenhouse-1/**' --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z --format csv",
  )
}

async function query(context: Context, options: QueryOptions, patterns: readonly string[]): Promise<void> {
  const { output, signal } = context
  if (output.json && options.format !== undefined) throw new UsageError('--json and --format exclude each other')
  const wanted = parseQuery(options, patterns)
  await using client = await context.client()
  const records =
    wanted.from === undefined && wanted.to === undefined
      ? newest(context, client, wanted)
      : ranged(context, client, wanted)
  if (output.json) await printJson(context, records)
  else if (options.format === 'csv') for await (const text of formatRecordsCsv(records)) await output.data(text)
  else {
    const table = new RecordTable(output)
    for await (const record of records) {
      signal.throwIfAborted()
      await table.add(record)
    }
    await table.end()
  }
}

/** Characters of NDJSON that are written at once. */
const jsonChars = 65_536

async function printJson({ output }: Context, records: AsyncIterable<RecordItem>): Promise<void> {
  let text = ''
  for await (const record of records) {
    text += `${toJson(recordJson(record))}\n`
    if (text.length < jsonChars) continue
    await output.data(text)
    text = ''
  }
  await output.data(text)
}

function parseQuery(options: QueryOptions, patterns: readonly string[]): QueryInput {
  const { from, to, tz, fields, limit, removed } = options
  if (tz !== undefined) checkZone(tz)
  return {
    patterns: parsePatterns(patterns),
    ...(from === undefined ? {} : { from: parseTimeArgument(from, tz) }),
    ...(to === undefined ? {} : { to: parseTimeArgument(to, tz) }),
    ...(fields === undefined ? {} : { fields: fields.split(',').map((name) => parseFieldName(name.trim())) }),
    ...(limit === undefined ? {} : { limit: parseCount(limit) }),
    ...(removed === true ? { includeRemoved: true } : {}),
  }
}

/** The last day before the newest record, oldest first; of more than the limit, the newest. */
async function* newest(
  { output, signal }: Context,
  client: NodeClient,
  wanted: QueryInput,
): AsyncGenerator<RecordItem> {
  const span = await client.call('span', { patterns: wanted.patterns ?? [] }, { signal })
  if (span.last === undefined) {
    output.note('no records match')
    return
  }
  const limit = wanted.limit ?? defaultLimit
  const from = span.last - usPerDay
  const records: RecordItem[] = []
  const input: QueryInput = {
    ...wanted,
    from: Math.max(0, from + 1),
    to: span.last + 1,
    limit: limit + 1,
    order: 'descending',
    seen: output.json,
  }
  for await (const record of client.stream('query', input, { signal })) records.push(record)
  const cut = records.length > limit
  if (cut) records.pop()
  yield* records.reverse()
  if (cut)
    output.note(
      `only the newest ${limit === 1 ? 'record' : `${limit} records`} of the last 24 h of data ${limit === 1 ? 'is' : 'are'} shown: name --from and --to, or --limit, for more`,
    )
  else if (span.first !== undefined && span.first <= from)
    output.note(`only the last 24 h of data are shown, up to ${formatTime(span.last)}: name --from and --to for more`)
}

async function* ranged(
  { output, signal }: Context,
  client: NodeClient,
  wanted: QueryInput,
): AsyncGenerator<RecordItem> {
  const { limit } = wanted
  let count = 0
  const input: QueryInput = { ...wanted, ...(limit === undefined ? {} : { limit: limit + 1 }), seen: output.json }
  for await (const record of client.stream('query', input, { signal })) {
    if (count === limit) {
      output.note(`only the first ${limit === 1 ? 'record is' : `${limit} records are`} shown: there are more`)
      return
    }
    count++
    yield record
    if (output.readerGone) return
  }
  if (count === 0) output.note('no records match')
}
