import { decode, encode } from 'cborg'
import { DamagedError } from '../model/index.ts'
import type { Database } from './database.ts'
import { keys } from './keys.ts'
import type { SideTable, StoreLog } from './types.ts'

/** Small state of other parts, beside the documents. A damaged value is named in the log and reads as absent. */
export function sideTable(database: Database, log: StoreLog): SideTable {
  const read = async (name: string): Promise<Uint8Array | undefined> => {
    try {
      return await database.get(keys.side(name))
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      log('error', 'a value of the side table is damaged: it reads as absent', { name, reason: error.message })
      return undefined
    }
  }
  return {
    async get(name) {
      const stored = await read(name)
      return stored === undefined ? undefined : (decode(stored) as unknown)
    },
    put: (name, value, { lazy = false } = {}) =>
      database.write([{ type: 'put', key: keys.side(name), value: encode(value) }], { sync: !lazy }),
    delete: (name) => database.write([{ type: 'del', key: keys.side(name) }]),
    async *entries(prefix) {
      for await (const key of database.keys({ gte: keys.side(prefix), lt: keys.side(`${prefix}\uffff`) })) {
        const name = key.slice(2)
        const stored = await read(name)
        if (stored !== undefined) yield [name, decode(stored) as unknown] as const
      }
    },
  }
}
