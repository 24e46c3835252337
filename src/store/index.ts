/** The store: documents of sensor records on LevelDB. Opened with `openStore`, made with `createStore`. */
export type * from './members.ts'
export type * from './types.ts'
