/** What a scenario file may say. Everything is checked before the first node starts; unknown keys are errors. */
import { z } from 'zod'
import { parseCheckedYaml, strictMap } from '../../src/gateway/formats/checked-yaml.ts'
import { InvalidInputError } from '../../src/model/index.ts'
import { selectNodes, selectorSchema } from './selector.ts'

/** Beyond it one machine's memory and patience end. */
const maxNodes = 200

const duration = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h)$/, 'a duration is a number with ms, s, m or h, such as 90s')
  .transform((text) => {
    const [, number, unit] = /^([\d.]+)(.+)$/.exec(text) as unknown as [string, string, keyof typeof unitMs]
    return Number(number) * unitMs[unit]
  })
const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const
const probability = z.number().min(0).lt(1)
const range = z
  .tuple([z.number().min(0), z.number().min(0)])
  .refine(([min, max]) => min <= max, 'the first is the least, the second the greatest')
const rate = z.number().positive().max(100)
const nodeNumber = z.int().min(0).lt(maxNodes)
const name = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'use letters, digits, _ . and -')

const edits = strictMap({
  nodes: selectorSchema.default('all'),
  /** Edits a second and node. */
  rate,
  for: duration,
  /** Records to choose from, drawn when the step begins: a small pool makes nodes edit the same records. */
  pool: z.int().positive().max(10_000).default(20),
})

const kinds = z.enum(['float', 'int', 'bool', 'text'])

const actions = {
  join: strictMap({
    nodes: selectorSchema,
    via: nodeNumber.default(0),
    /** Pause between two nodes that join. */
    every: duration.default(0),
  }),
  append: strictMap({
    nodes: selectorSchema.default('all'),
    /** Readings a second, sensor and node. */
    rate,
    sensors: z.array(name).min(1).max(20),
    fields: z.record(name, kinds).refine((fields) => Object.keys(fields).length > 0, 'name at least one field'),
    for: duration,
    /** All nodes write the same sensors at the same times: their readings contradict each other. */
    shared: z.boolean().default(false),
  }),
  amend: edits,
  remove: edits,
  resolve: edits,
  partition: z.array(z.array(selectorSchema).min(1)).min(1),
  heal: z.literal(true),
  stop: selectorSchema,
  crash: selectorSchema,
  rollback: strictMap({ nodes: selectorSchema, to: duration }),
  restart: selectorSchema,
  loss: probability,
  delay: range,
} as const

type Actions = { readonly [Name in keyof typeof actions]: z.output<(typeof actions)[Name]> }
export type ActionName = keyof Actions
export type Action = {
  readonly [Name in ActionName]: { readonly name: Name; readonly value: Actions[Name] }
}[ActionName]
export type AppendAction = Actions['append']
export type EditAction = z.output<typeof edits>
export type JoinAction = Actions['join']

export interface Step {
  readonly atMs: number
  readonly action: Action
}

const step = strictMap({
  at: duration,
  ...(Object.fromEntries(Object.entries(actions).map(([key, schema]) => [key, schema.optional()])) as {
    [Name in ActionName]: z.ZodOptional<(typeof actions)[Name]>
  }),
}).transform(({ at, ...rest }, context): Step => {
  const named = Object.entries(rest).filter(([, value]) => value !== undefined)
  const [only] = named
  if (only === undefined || named.length > 1)
    context.addIssue({ code: 'custom', message: `a step has one action: one of ${Object.keys(actions).join(', ')}` })
  return { atMs: at, action: { name: only?.[0] ?? 'heal', value: only?.[1] } as Action }
})

const scenario = strictMap({
  name: z.string().min(1).max(100),
  nodes: z.int().min(1).max(maxNodes),
  /** Nodes that are members from the start; all when left out. The others take part when they join. */
  founded: z.int().min(1).optional(),
  seed: z.union([z.int(), z.string().min(1)]).transform(String),
  duration,
  /** Virtual time that the nodes have to become equal in after the last step. */
  settle: duration.default(600_000),
  network: strictMap({
    delayMs: range.default([1, 20]),
    loss: probability.default(0),
    reorder: probability.default(0),
    duplicate: probability.default(0),
  }).prefault({}),
  disk: strictMap({ syncMs: range.default([1, 10]) }).prefault({}),
  gossip: z.boolean().default(true),
  reconciliation: z.boolean().default(true),
  keepActors: z.boolean().default(false),
  steps: z.array(step).min(1).max(1_000),
})

export type Scenario = z.output<typeof scenario>

/**
 * Reads a scenario. `peers` and `seed` take the place of what it says itself. Throws `InvalidInputError` with every fault at
 * its line and column.
 */
export function parseScenario(
  text: string,
  file: string,
  { peers, seed }: { readonly peers?: number; readonly seed?: string } = {},
): Scenario {
  const parsed = parseCheckedYaml(text, scenario as unknown as z.ZodType<Scenario>, file)
  const result = { ...parsed, nodes: peers ?? parsed.nodes, seed: seed ?? parsed.seed }
  if (!Number.isInteger(result.nodes) || result.nodes < 1 || result.nodes > maxNodes)
    throw new InvalidInputError(`${result.nodes} nodes: use 1 to ${maxNodes}`)
  if ((result.founded ?? 1) > result.nodes)
    throw new InvalidInputError(`${file}: ${result.founded} founded nodes of ${result.nodes}`)
  for (const [i, { atMs, action }] of result.steps.entries()) {
    const fault = faultOf(action, atMs, result)
    if (fault !== undefined) throw new InvalidInputError(`${file}: steps.${i} (${action.name}): ${fault}`)
  }
  return result
}

/** What the schema cannot see: times and nodes that do not exist. */
function faultOf(action: Action, atMs: number, { duration, nodes, founded = nodes }: Scenario): string | undefined {
  if (atMs > duration) return 'it begins after the end of the scenario'
  try {
    switch (action.name) {
      case 'partition': {
        const sides = action.value.map((side) => selectNodes(side, nodes))
        if (new Set(sides.flat()).size < sides.flat().length) return 'a node stands on two sides'
        return undefined
      }
      case 'stop':
      case 'crash':
      case 'restart':
        selectNodes(action.value, nodes)
        return undefined
      case 'rollback':
        selectNodes(action.value.nodes, nodes)
        return action.value.to < atMs ? undefined : 'a disk can only go back in time: `to` is before `at`'
      case 'join':
        if (selectNodes(action.value.nodes, nodes).some((node) => node < founded))
          return `nodes 0 to ${founded - 1} are members from the start: lower \`founded\``
        return action.value.via < nodes ? undefined : `there is no node ${action.value.via}`
      case 'append':
      case 'amend':
      case 'remove':
      case 'resolve':
        selectNodes(action.value.nodes, nodes)
        return atMs + action.value.for <= duration ? undefined : 'it goes on after the end of the scenario'
      default:
        return undefined
    }
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    return error.message
  }
}
