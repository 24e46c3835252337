import { CommanderError } from 'commander'
import { HedgerowError, LockedError, NotFoundError, UsageError, WrongKeyError } from '../model/index.ts'

/** What the process ends with; listed in docs/errors.md. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** Part of the input was taken in: the rest is listed on stderr. */
  partial: 3,
  /** No store, or no vault, at the place that was named. */
  notFound: 10,
  /** Another process holds the store. */
  locked: 11,
  /** Wrong passphrase or key. */
  wrongKey: 12,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** The classes of errors that end with a code of their own; every other one ends with `failed`. */
const codes: readonly (readonly [new (...args: never[]) => HedgerowError, ExitCode])[] = [
  [UsageError, exitCodes.usage],
  [NotFoundError, exitCodes.notFound],
  [LockedError, exitCodes.locked],
  [WrongKeyError, exitCodes.wrongKey],
]

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  return codes.find(([errorClass]) => error instanceof errorClass)?.[1] ?? exitCodes.failed
}
