/** The store: documents of sensor records on LevelDB. Opened with `openStore`, made with `createStore`. */
export * from './members.ts'
export { RecordConflictError } from './records/index.ts'
export { decodeStatement } from './rows.ts'
export { createStore, moveStore, openStore } from './open.ts'
export type * from './types.ts'
