/** What the gateway keeps in the store's side table. */
export const sideKeys = {
  /** The site's name, for people. */
  siteName: 'gateway/site-name',
  /** When the identity was exported, or imported from an export. */
  identityExported: 'gateway/identity-exported',
  /** When, and how much of, the database's log was dropped as damaged. */
  logDamage: 'gateway/log-damage',
  /** The port of the last run. */
  listenPort: 'gateway/listen-port',
  /** Vaults that backups went into: `gateway/vault/<path>`. */
  vaults: 'gateway/vault/',
} as const
