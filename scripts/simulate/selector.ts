/** How a scenario names nodes: `3`, `"0-4"`, `"5-end"`, `all`, or a list of these. */
import { z } from 'zod'
import { InvalidInputError } from '../../src/model/index.ts'

const one = z.union(
  [z.int().min(0), z.string().regex(/^(all|\d+|\d+-(\d+|end))$/)],
  'name nodes as 3, "0-4", "5-end", all, or a list of these',
)

export type Selector = z.output<typeof selectorSchema>
export const selectorSchema: z.ZodUnion<readonly [typeof one, z.ZodArray<typeof one>]> = z.union(
  [one, z.array(one).min(1)],
  'name nodes as 3, "0-4", "5-end", all, or a list of these',
)

/** Gives the numbers of the named nodes, ascending, each once. Throws `InvalidInputError` for one that does not exist. */
export function selectNodes(selector: Selector | readonly Selector[], nodes: number): number[] {
  const selected = new Set<number>()
  for (const part of [selector].flat(2))
    for (const node of numbersOf(part, nodes)) {
      if (node >= nodes) throw new InvalidInputError(`there is no node ${node}: they are 0 to ${nodes - 1}`)
      selected.add(node)
    }
  return [...selected].sort((a, b) => a - b)
}

function numbersOf(part: number | string, nodes: number): number[] {
  if (typeof part === 'number') return [part]
  if (part === 'all') return Array.from({ length: nodes }, (_, i) => i)
  const [first, last = first] = part.split('-')
  const from = Number(first)
  const to = last === 'end' ? nodes - 1 : Number(last)
  if (to < from) throw new InvalidInputError(`nodes ${part} are none: there are ${nodes}`)
  // What lies beyond the last node is named once, not counted up to.
  return Array.from({ length: Math.min(to, nodes) - from + 1 }, (_, i) => from + i)
}
