import { decode, encode } from 'cborg'
import type { Database } from './database.ts'
import { keys } from './keys.ts'
import type { SideTable } from './types.ts'

/** Small state of other parts, beside the documents. */
export function sideTable(database: Database): SideTable {
  return {
    async get(name) {
      const stored = await database.get(keys.side(name))
      return stored === undefined ? undefined : (decode(stored) as unknown)
    },
    put: (name, value, { lazy = false } = {}) =>
      database.write([{ type: 'put', key: keys.side(name), value: encode(value) }], { sync: !lazy }),
    delete: (name) => database.write([{ type: 'del', key: keys.side(name) }]),
    async *entries(prefix) {
      for await (const [key, value] of database.entries({ gte: keys.side(prefix), lt: keys.side(`${prefix}\uffff`) }))
        yield [key.slice(2), decode(value) as unknown] as const
    },
  }
}
