/** The checks at the end: one digest, one content, the same conflicts everywhere, and nothing lost that was acknowledged. */
import type { Acknowledged } from './acknowledged.ts'
import type { Contents } from './contents.ts'

export interface NamedContents {
  readonly name: string
  readonly contents: Contents
}

/** What is listed of one node's missing items; the number is always said. */
const missingShown = 5

/** Says what differs between the nodes, and what each of them lacks. Empty: all is well. */
export function compareNodes(nodes: readonly NamedContents[], acknowledged: Acknowledged): string[] {
  return [
    ...differing(nodes, 'documents (digest)', ({ digest }) => digest),
    ...differing(nodes, 'content', ({ content }) => content),
    ...differing(nodes, 'members', ({ members }) => members),
    ...differing(nodes, 'conflicts', ({ conflicts, conflictDigest }) => `${conflicts} of ${conflictDigest}`),
    ...nodes.flatMap(({ name, contents }) => missing(name, acknowledged.missingIn(contents))),
  ]
}

function differing(nodes: readonly NamedContents[], what: string, of: (contents: Contents) => string): string[] {
  const groups = new Map<string, string[]>()
  for (const { name, contents } of nodes) groups.set(of(contents), [...(groups.get(of(contents)) ?? []), name])
  if (groups.size <= 1) return []
  const sides = [...groups].map(([value, names]) => `${names.join(', ')} have ${value.slice(0, 16)}…`)
  return [`${what} differ: ${sides.join('; ')}`]
}

function missing(name: string, items: readonly string[]): string[] {
  if (items.length === 0) return []
  const more = items.length > missingShown ? `; and ${items.length - missingShown} more` : ''
  return [`${name} lacks ${items.length} acknowledged things: ${items.slice(0, missingShown).join('; ')}${more}`]
}
