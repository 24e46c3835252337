import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument, type Document, type Node } from 'yaml'
import { z } from 'zod'
import { InvalidInputError } from '../../model/index.ts'

/**
 * Reads YAML into what a strict zod schema describes. Throws `InvalidInputError` with every fault at its line and column
 * (both from 1), one fault a line; an unknown key comes with the nearest key that its place knows.
 */
export function parseCheckedYaml<T>(text: string, schema: z.ZodType<T>, file: string): T {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  if (document.errors.length > 0)
    throw new InvalidInputError(
      document.errors.map((error) => `${place(error.pos[0])}: ${error.message.split('\n')[0]}`).join('\n'),
    )
  const result = schema.safeParse(contentOf(document, file))
  if (result.success) return result.data
  const faults = result.error.issues
    .flatMap((issue) => faultsOf(issue, [], document))
    .map(({ path, key, message }) => ({ offset: offsetOf(document, path, key), message }))
    .sort((a, b) => a.offset - b.offset)
  throw new InvalidInputError(faults.map(({ offset, message }) => `${place(offset)}: ${message}`).join('\n'))
}

/** A strict object whose unknown keys are named together with the key that was probably meant. */
export function strictMap<S extends z.ZodRawShape>(shape: S): z.ZodObject<S, z.core.$strict> {
  const known = Object.keys(shape)
  return z.strictObject(shape, {
    // One line for each of `issue.keys`; `faultsOf` takes them apart again.
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? issue.keys.map((key) => unknownKey(key, known)).join('\n') : undefined,
  })
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = nearest(key, known)
  return `unknown key ${JSON.stringify(key)}; ${near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`}`
}

function contentOf(document: Document, file: string): unknown {
  try {
    return document.toJS() ?? {}
  } catch (cause) {
    if (!(cause instanceof ReferenceError)) throw cause
    throw new InvalidInputError(`${file}: ${cause.message}`, { cause })
  }
}

type Issue = z.core.$ZodIssue
type Path = readonly PropertyKey[]

interface Fault {
  readonly path: Path
  /** Points at this key of the map at `path`. */
  readonly key?: string
  readonly message: string
}

function faultsOf(issue: Issue, base: Path, document: Document): Fault[] {
  const path = [...base, ...issue.path]
  const where = path.length === 0 ? '' : `${path.map(String).join('.')}: `
  if (issue.code === 'unrecognized_keys') {
    const messages = issue.message.split('\n')
    return issue.keys.map((key, i) => ({ path, key, message: `${where}${messages[i] ?? issue.message}` }))
  }
  if (issue.code === 'invalid_union') {
    // The branch that got furthest is the one that was meant: a map was not meant as text.
    const meant = issue.errors.find((issues) => issues.every((inner) => !wrongKind(inner)))
    if (meant !== undefined) return meant.flatMap((inner) => faultsOf(inner, path, document))
  }
  return [{ path, message: `${where}${issue.message}` }]
}

function wrongKind(issue: Issue): boolean {
  return issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value')
}

function offsetOf(document: Document, path: Path, key: string | undefined): number {
  for (let length = path.length; length >= 0; length--) {
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
    if (!isNode(node)) continue
    if (length === path.length && key !== undefined && isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === key)
      if (pair !== undefined && isNode(pair.key)) return startOf(pair.key)
    }
    return startOf(node)
  }
  return 0
}

function startOf(node: Node): number {
  return node.range?.[0] ?? 0
}

/** The key that is at most a third of its letters away (Levenshtein distance). */
function nearest(key: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((name) => ({ name, away: distance(key.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.away - b.away)
  const best = ranked[0]
  return best !== undefined && best.away <= Math.max(2, Math.floor(best.name.length / 3)) ? best.name : undefined
}

function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 8 || a.length > 64) return 99
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(
        Math.min(
          (row[j] as number) + 1,
          (next[j - 1] as number) + 1,
          (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1),
        ),
      )
    row = next
  }
  return row[b.length] as number
}
