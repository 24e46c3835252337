/**
 * Every error that Hedgerow raises on purpose. One class per condition that a caller may treat
 * differently; `code` is promised and listed in docs/errors.md; the message names the thing and the way out.
 */
export abstract class HedgerowError extends Error {
  abstract readonly code: string

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
  }
}

/** Something a person or program handed in does not have the promised form. */
export class InvalidInputError extends HedgerowError {
  readonly code = 'INVALID_INPUT'
}

/** A command line that does not fit the command. */
export class UsageError extends HedgerowError {
  readonly code = 'USAGE'
}

/** A value beyond a limit of `limits.ts`. */
export class LimitError extends HedgerowError {
  readonly code = 'LIMIT'
}

/** No store (or no vault) at the place that was named. */
export class NotFoundError extends HedgerowError {
  readonly code = 'NOT_FOUND'
}

/** Another process holds the store, the vault or the port. */
export class LockedError extends HedgerowError {
  readonly code = 'LOCKED'
}

/** Wrong passphrase or key. */
export class WrongKeyError extends HedgerowError {
  readonly code = 'WRONG_KEY'
}

/** The store, vault or document belongs to another site. */
export class WrongSiteError extends HedgerowError {
  readonly code = 'WRONG_SITE'
}

/** The node has no identity, or its role does not allow what was asked. */
export class NotAllowedError extends HedgerowError {
  readonly code = 'NOT_ALLOWED'
}

/** Bytes on disk or in a vault are not what was written. */
export class DamagedError extends HedgerowError {
  readonly code = 'DAMAGED'
}

/** Bytes from a peer were refused before anything was stored. */
export class RefusedError extends HedgerowError {
  readonly code = 'REFUSED'
}

/** The record changed since it was read, or an edit without `seen` would have hidden a conflict. */
export class ConflictError extends HedgerowError {
  readonly code = 'CONFLICT'
}

/** The disk is at its low-water mark: intake stops, everything else goes on. */
export class DiskFullError extends HedgerowError {
  readonly code = 'DISK_FULL'
}

/** A write to disk failed. What it held was not acknowledged. */
export class StorageError extends HedgerowError {
  readonly code = 'STORAGE'
}

/** A peer or the network did not do what was asked in time. */
export class NetworkError extends HedgerowError {
  readonly code = 'NETWORK'
}

/** A part that was closed was asked to work. */
export class ClosedError extends HedgerowError {
  readonly code = 'CLOSED'
}

/** Bytes of a format version that this release does not know. */
export class VersionError extends HedgerowError {
  readonly code = 'VERSION'
}
