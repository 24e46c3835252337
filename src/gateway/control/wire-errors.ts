import * as errors from '../../model/index.ts'
import { HedgerowError } from '../../model/index.ts'
import type { WireError } from './wire.ts'

type ErrorClass = new (message: string, options?: { cause?: unknown }) => HedgerowError

/** Every error class of the model by its code. */
const classes: ReadonlyMap<string, ErrorClass> = new Map(
  (Object.values(errors) as unknown[])
    .filter((value): value is ErrorClass => typeof value === 'function' && value.prototype instanceof HedgerowError)
    .map((errorClass) => [new errorClass('').code, errorClass]),
)

export function packError(error: unknown): WireError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : undefined
  return {
    ...(error instanceof HedgerowError ? { code: error.code } : {}),
    message: error instanceof Error ? error.message : String(error),
    ...(cause === undefined ? {} : { cause }),
  }
}

/** Gives an error of the class that was thrown at the other end; a plain `Error` for a code this release lacks. */
export function unpackError(packed: WireError): Error {
  const options = packed.cause === undefined ? {} : { cause: new Error(packed.cause) }
  const errorClass = packed.code === undefined ? undefined : classes.get(packed.code)
  return errorClass === undefined ? new Error(packed.message, options) : new errorClass(packed.message, options)
}
