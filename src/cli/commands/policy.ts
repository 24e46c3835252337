import { Option, type Command } from 'commander'
import { formatTime, parseGroupName, parseSensorPattern, UsageError } from '../../model/index.ts'
import type { Lane, MergeRule } from '../../gateway/index.ts'
import { action, collect, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { table } from '../table.ts'
import { parseAssignments } from '../values.ts'

interface SetOptions {
  readonly group?: string
  readonly lane?: Lane
  readonly rule?: readonly string[]
}

const lanes: readonly Lane[] = ['critical', 'normal', 'bulk']
const rules: readonly string[] = ['default', 'manual'] satisfies MergeRule[]

export function addPolicy(root: Command, runner: Runner): void {
  const group = root.command('policy').description('the site’s rules: groups, lanes, merge rules')
  examples(group.command('show').description('show the policy').action(action(runner, show)), 'hedgerow policy show')
  const command = group
    .command('set')
    .description('set the policy for sensors, on every node of the site (admins only)')
    .argument('<pattern>', 'sensors: * stands for anything within a segment, ** across')
    .option('--group <name>', 'the group of these sensors')
    .addOption(
      new Option('--lane <lane>', "the group's lane: how soon its readings are durable and sent").choices(lanes),
    )
    .option('--rule <field=rule>', `what a field in conflict shows: ${rules.join(' or ')}`, collect)
    .action(action(runner, set))
  examples(command, "hedgerow policy set 'alarm/**' --group alarms --lane critical --rule state=manual")
}

async function show({ output, client: open, signal }: Context): Promise<void> {
  await using client = await open()
  const policy = await client.call('policy', undefined, { signal })
  if (output.json) {
    await output.object(policy)
    return
  }
  if (policy.entries.length === 0) output.note('no policy is set: every sensor is in the group default, lane normal')
  else
    await output.data(
      table(
        [{ title: 'pattern' }, { title: 'group' }, { title: 'rules' }],
        policy.entries.map(({ pattern, group, rules }) => [
          pattern,
          group ?? '',
          Object.entries(rules)
            .map(([field, rule]) => `${field}=${rule}`)
            .join(' '),
        ]),
      ),
    )
  for (const [group, lane] of Object.entries(policy.lanes)) await output.line(`group ${group}: lane ${lane}`)
  for (const [group, mark] of Object.entries(policy.marks))
    await output.line(`group ${group}: kept from ${formatTime(mark)}`)
}

async function set(context: Context, { group, lane, rule = [] }: SetOptions, patternText: string): Promise<void> {
  const { output, signal } = context
  if (group === undefined && lane === undefined && rule.length === 0)
    throw new UsageError('nothing to set: say --group, --lane or --rule')
  const fieldRules = parseAssignments(rule, 'field=rule, such as temperature=manual')
  for (const [field, text] of fieldRules)
    if (!rules.includes(text))
      throw new UsageError(`rule ${JSON.stringify(text)} of ${field} is none of ${rules.join(', ')}`)
  await using client = await context.client()
  await client.call(
    'setPolicy',
    {
      pattern: parseSensorPattern(patternText),
      ...(group === undefined ? {} : { group: parseGroupName(group) }),
      ...(lane === undefined ? {} : { lane }),
      ...(rule.length === 0 ? {} : { rules: Object.fromEntries(fieldRules) as Record<string, MergeRule> }),
    },
    { signal },
  )
  if (output.json) await output.object({ pattern: patternText })
  else output.note(`set for ${patternText}`)
}
