/**
 * The policy document, root keys only:
 *
 * | key | value |
 * |---|---|
 * | `group\|<pattern>` | group of the sensors that match |
 * | `lane\|<group>` | `critical`, `normal` or `bulk` |
 * | `rule\|<pattern>\|<field>` | merge rule; the field may be `*` for all |
 * | `mark\|<group>` | retention watermark, µs: records before it do not exist |
 *
 * Of concurrent marks the greatest counts, of everything else Automerge's winner. Keys and values of later releases
 * are left alone; an unknown rule reads as `default`, an unknown lane as `normal`.
 */
import {
  comparePatterns,
  defaultGroup,
  InvalidInputError,
  LimitError,
  limits,
  parseFieldName,
  parseGroupName,
  parseSensorPattern,
  type FieldName,
  type GroupName,
  type SensorId,
  type SensorPattern,
  type TimeUs,
} from '../../model/index.ts'
import type { SharedContent } from '../documents.ts'
import type { Lane, MergeRule, Policy, PolicyChange, PolicyEntry } from '../types.ts'
import { isPattern, PatternTable } from './pattern-table.ts'
import { compareText } from './value-key.ts'

const lanes: readonly Lane[] = ['critical', 'normal', 'bulk']
const mergeRules: readonly MergeRule[] = ['default', 'manual']

/** Stands for every field in a rule. */
export const anyField = '*'

/** Answers the questions that every append and read asks of the policy. */
export interface PolicyResolver {
  readonly policy: Policy
  readonly groupOf: (sensor: SensorId) => GroupName
  readonly laneOf: (group: GroupName) => Lane
  readonly ruleOf: (sensor: SensorId, field: FieldName) => MergeRule
  /** Records of the sensor before this time do not exist. */
  readonly markOf: (sensor: SensorId) => TimeUs
}

/** Reads the policy out of its document. */
export function readPolicy(content: SharedContent): Policy {
  const groups = new Map<SensorPattern, GroupName>()
  const rules = new Map<SensorPattern, Map<string, MergeRule>>()
  const laneOf: [string, Lane][] = []
  const marks: [string, TimeUs][] = []
  for (const [key, entries] of content) {
    const [kind, name = '', field, ...more] = key.split('|')
    const winner = entries.at(-1)?.value
    if (more.length > 0 || name === '') continue
    if (kind === 'group' && field === undefined && typeof winner === 'string' && isGroup(winner) && isPattern(name))
      groups.set(name, winner)
    else if (kind === 'lane' && field === undefined && isGroup(name))
      laneOf.push([name, lanes.find((lane) => lane === winner) ?? 'normal'])
    else if (kind === 'rule' && field !== undefined && isPattern(name)) {
      const known = rules.get(name) ?? new Map<string, MergeRule>()
      rules.set(name, known.set(field, mergeRules.find((rule) => rule === winner) ?? 'default'))
    } else if (kind === 'mark' && field === undefined && isGroup(name))
      marks.push([name, Math.max(0, ...entries.map((entry) => markOf(entry.value)))])
  }
  const patterns = [...new Set([...groups.keys(), ...rules.keys()])].sort(comparePatterns)
  return {
    entries: patterns.map((pattern): PolicyEntry => {
      const group = groups.get(pattern)
      return { pattern, ...(group !== undefined && { group }), rules: sorted(rules.get(pattern) ?? []) }
    }),
    lanes: sorted(laneOf),
    marks: sorted(marks),
  }
}

/** Gives the root keys to put for a change; throws on what is not allowed, naming the way out. */
export function policyPuts(current: Policy, change: PolicyChange): Map<string, string> {
  const pattern = parseSensorPattern(change.pattern)
  const puts = new Map<string, string>()
  if (change.group !== undefined) {
    const group = parseGroupName(change.group)
    const groups = new Set([defaultGroup, ...current.entries.flatMap((entry) => entry.group ?? [])]).add(group)
    if (groups.size > limits.groups)
      throw new LimitError(`group ${group} would be one too many: a site has at most ${limits.groups} groups`)
    puts.set(`group|${pattern}`, group)
  }
  if (change.lane !== undefined) {
    if (!lanes.includes(change.lane))
      throw new InvalidInputError(`lane ${JSON.stringify(change.lane)} is none of ${lanes.join(', ')}`)
    puts.set(`lane|${change.group ?? groupOfPattern(current, pattern)}`, change.lane)
  }
  for (const [field, rule] of Object.entries(change.rules ?? {})) {
    if (!mergeRules.includes(rule))
      throw new InvalidInputError(`rule ${JSON.stringify(rule)} of ${field} is none of ${mergeRules.join(', ')}`)
    puts.set(`rule|${pattern}|${field === anyField ? anyField : parseFieldName(field)}`, rule)
  }
  if (puts.size === 0) throw new InvalidInputError(`nothing to set for ${pattern}: name a group, a lane or a rule`)
  return puts
}

/** The group whose lane is meant when only a pattern is named. */
function groupOfPattern(policy: Policy, pattern: SensorPattern): GroupName {
  const own = policy.entries.find((entry) => entry.pattern === pattern)?.group
  if (own !== undefined) return own
  if (!pattern.includes('*')) return compilePolicy(policy).groupOf(pattern as string as SensorId)
  throw new InvalidInputError(`${pattern} has no group of its own whose lane could be set: name one (--group)`)
}

const compiled = new WeakMap<Policy, PolicyResolver>()

/** Makes the resolver of a policy; the same policy gives the same resolver with all it remembers. */
export function compilePolicy(policy: Policy): PolicyResolver {
  const known = compiled.get(policy)
  if (known !== undefined) return known
  const groups = new PatternTable(
    policy.entries.flatMap(({ pattern, group }) => (group === undefined ? [] : [[pattern, group] as const])),
  )
  const byField = new Map<string, [SensorPattern, MergeRule][]>()
  for (const { pattern, rules } of policy.entries)
    for (const [field, rule] of Object.entries(rules)) {
      const rows = byField.get(field)
      if (rows === undefined) byField.set(field, [[pattern, rule]])
      else rows.push([pattern, rule])
    }
  const general = byField.get(anyField) ?? []
  byField.delete(anyField)
  // A rule for one field counts before a rule for all that stands at the same pattern.
  const forField = new Map(
    [...byField].map(([field, rows]) => {
      const named = new Set(rows.map(([pattern]) => pattern))
      return [field, new PatternTable([...rows, ...general.filter(([pattern]) => !named.has(pattern))])]
    }),
  )
  const forOthers = new PatternTable(general)
  const groupOf = (sensor: SensorId): GroupName => groups.get(sensor) ?? defaultGroup
  const lanesByGroup = new Map(Object.entries(policy.lanes))
  const marksByGroup = new Map(Object.entries(policy.marks))
  const resolver: PolicyResolver = {
    policy,
    groupOf,
    laneOf: (group) => lanesByGroup.get(group) ?? 'normal',
    ruleOf: (sensor, field) => (forField.get(field) ?? forOthers).get(sensor) ?? 'default',
    markOf: (sensor) => (marksByGroup.size === 0 ? 0 : (marksByGroup.get(groupOf(sensor)) ?? 0)),
  }
  compiled.set(policy, resolver)
  return resolver
}

const read = new WeakMap<SharedContent, PolicyResolver>()

/** Reads and compiles; remembered for as long as the content is. */
export function policyOf(content: SharedContent): PolicyResolver {
  let resolver = read.get(content)
  if (resolver === undefined) read.set(content, (resolver = compilePolicy(readPolicy(content))))
  return resolver
}

function markOf(value: unknown): TimeUs {
  return typeof value === 'number' && Number.isSafeInteger(value) && value <= limits.timeMaxUs ? value : 0
}

function isGroup(text: string): text is GroupName {
  try {
    parseGroupName(text)
    return true
  } catch (error) {
    if (error instanceof InvalidInputError) return false
    throw error
  }
}

function sorted<T>(entries: Iterable<readonly [string, T]>): Readonly<Record<string, T>> {
  return Object.fromEntries([...entries].sort(([a], [b]) => compareText(a, b)))
}
