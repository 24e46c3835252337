/** What more than one part needs: the words of the data model, its limits and its errors. Imports no other part. */
export * from './clock.ts'
export * from './errors.ts'
export * from './ids.ts'
export * from './limits.ts'
export * from './record.ts'
export * from './sensor.ts'
export * from './system.ts'
export * from './time.ts'
