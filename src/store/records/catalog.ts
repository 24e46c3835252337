/**
 * The catalog document, root keys only: what people want to see beside the data. `unit|<pattern>|<field>`,
 * `type|<pattern>|<field>`, `place|<pattern>`, `label|<pattern>`. The most specific pattern that matches a sensor
 * counts; of concurrent values Automerge's winner.
 */
import {
  InvalidInputError,
  limits,
  parseFieldName,
  parseSensorPattern,
  type FieldName,
  type SensorId,
  type SensorPattern,
  type ValueType,
} from '../../model/index.ts'
import type { SharedContent } from '../documents.ts'
import type { CatalogChange } from '../types.ts'
import { checkText } from './amendment-entry.ts'
import { isPattern, PatternTable } from './pattern-table.ts'

const types: readonly ValueType[] = ['float', 'int', 'bool', 'string']

export interface Catalog {
  unitOf(sensor: SensorId, field: FieldName): string | undefined
  typeOf(sensor: SensorId, field: FieldName): ValueType | undefined
  /** The types that are set for fields of a sensor. */
  typesOf(sensor: SensorId): Readonly<Record<string, ValueType>>
  placeOf(sensor: SensorId): string | undefined
  labelOf(sensor: SensorId): string | undefined
}

/** Gives the root keys to put for a change. */
export function catalogPuts(change: CatalogChange): Map<string, string> {
  const pattern = parseSensorPattern(change.pattern)
  const puts = new Map<string, string>()
  for (const [field, unit] of Object.entries(change.units ?? {}))
    puts.set(`unit|${pattern}|${parseFieldName(field)}`, checkText(unit, `unit of ${field}`, limits.unitChars))
  for (const [field, type] of Object.entries(change.types ?? {})) {
    if (!types.includes(type))
      throw new InvalidInputError(`type ${JSON.stringify(type)} of ${field} is none of ${types.join(', ')}`)
    puts.set(`type|${pattern}|${parseFieldName(field)}`, type)
  }
  if (change.place !== undefined) puts.set(`place|${pattern}`, checkText(change.place, 'place', limits.labelChars))
  if (change.label !== undefined) puts.set(`label|${pattern}`, checkText(change.label, 'label', limits.labelChars))
  if (puts.size === 0) throw new InvalidInputError(`nothing to set for ${pattern}: name a unit, a type or a place`)
  return puts
}

const read = new WeakMap<SharedContent, Catalog>()

/** Reads the catalog; remembered for as long as the content is. */
export function catalogOf(content: SharedContent): Catalog {
  let catalog = read.get(content)
  if (catalog === undefined) read.set(content, (catalog = readCatalog(content)))
  return catalog
}

function readCatalog(content: SharedContent): Catalog {
  const rows = new Map<string, [SensorPattern, string][]>()
  for (const [key, entries] of content) {
    const [kind, pattern, field, ...more] = key.split('|')
    const value = entries.at(-1)?.value
    if (pattern === undefined || more.length > 0 || typeof value !== 'string' || !isPattern(pattern)) continue
    const table = field === undefined ? `${kind}` : `${kind}|${field}`
    const known = rows.get(table)
    if (known === undefined) rows.set(table, [[pattern, value]])
    else known.push([pattern, value])
  }
  const tables = new Map([...rows].map(([name, table]) => [name, new PatternTable(table)]))
  return {
    unitOf: (sensor, field) => tables.get(`unit|${field}`)?.get(sensor),
    typeOf: (sensor, field) => types.find((type) => type === tables.get(`type|${field}`)?.get(sensor)),
    typesOf: (sensor) => {
      const set = [...tables].flatMap(([name, table]): [string, ValueType][] => {
        const type = name.startsWith('type|') ? types.find((known) => known === table.get(sensor)) : undefined
        return type === undefined ? [] : [[name.slice('type|'.length), type]]
      })
      return Object.fromEntries(set)
    },
    placeOf: (sensor) => tables.get('place')?.get(sensor),
    labelOf: (sensor) => tables.get('label')?.get(sensor),
  }
}
