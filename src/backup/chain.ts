/** Which backups belong together and which one is meant. Pure. */
import { InvalidInputError } from '../model/index.ts'
import { backupLimits } from './constants.ts'
import type { BackupKind } from './manifest.ts'

/** What a chain is decided by. */
export interface ChainLink {
  readonly name: string
  readonly node: string
  readonly counter: number
  readonly id: string
  readonly kind: BackupKind
  readonly parent?: { readonly name: string; readonly hash: string }
  readonly hash: string
  readonly created: number
}

export interface Chain<T extends ChainLink> {
  /** From the full backup to the one asked for; without `broken` whole. */
  readonly links: readonly T[]
  /** The first manifest on the way to the full one that is missing or not the one that was continued. */
  readonly broken?: { readonly name: string; readonly what: string }
}

/** The backups that restore `target`. */
export function chainOf<T extends ChainLink>(target: T, all: ReadonlyMap<string, T>): Chain<T> {
  const links = [target]
  for (let link = target; link.kind !== 'full' || link.parent !== undefined;) {
    const { parent } = link
    if (parent === undefined || link.kind === 'full')
      return { links, broken: { name: link.name, what: 'names no parent it could have' } }
    const next = all.get(parent.name)
    if (next === undefined) return { links, broken: { name: parent.name, what: 'is missing or unreadable' } }
    if (next.hash !== parent.hash || next.node !== link.node || next.counter >= link.counter)
      return { links, broken: { name: parent.name, what: 'is not the manifest that was continued' } }
    if (links.length >= backupLimits.chainBackups)
      return { links, broken: { name: link.name, what: 'has too long a chain' } }
    links.unshift(next)
    link = next
  }
  return { links }
}

/** The backup a new one of this kind continues: the node's newest whole one, for a differential its newest full one. */
export function parentFor<T extends ChainLink>(
  kind: Exclude<BackupKind, 'full'>,
  node: string,
  all: ReadonlyMap<string, T>,
): T | undefined {
  let newest: T | undefined
  for (const link of all.values())
    if (
      link.node === node &&
      (kind === 'incremental' || link.kind === 'full') &&
      link.counter > (newest?.counter ?? 0) &&
      chainOf(link, all).broken === undefined
    )
      newest = link
  return newest
}

/** Each node's newest whole backup, the one with the latest date first. */
export function newestOfNodes<T extends ChainLink>(all: ReadonlyMap<string, T>): T[] {
  const nodes = new Set([...all.values()].map(({ node }) => node))
  return [...nodes]
    .flatMap((node) => parentFor('incremental', node, all) ?? [])
    .sort((a, b) => b.created - a.created || (a.name < b.name ? -1 : 1))
}

/** The backup a person names by id, by the beginning of an id, or by its file. Throws `InvalidInputError`. */
export function findBackup<T extends ChainLink>(text: string, all: ReadonlyMap<string, T>): T {
  const matches = [...all.values()].filter(
    ({ id, name }) => name === text || (/^[0-9a-f]{4,16}$/.test(text) && id.startsWith(text)),
  )
  const [match, ...more] = matches
  if (match === undefined)
    throw new InvalidInputError(
      `no readable backup ${JSON.stringify(text.slice(0, 100))} in this vault: "hedgerow backup list" shows them`,
    )
  if (more.length > 0)
    throw new InvalidInputError(`${matches.length} backups have ids that begin with ${text}: give more of it`)
  return match
}
