/** Every limit of vaults and backups, with its unit and its reason. */
export const backupLimits = {
  /** Plain bytes of one part, at most: what has to be in memory, and is lost with one damaged byte. */
  partBytes: 1_048_576,
  /** Records of small documents share a part of this size: compresses well, and one record costs one small read. */
  groupMinBytes: 65_536,
  groupMaxBytes: 524_288,
  /** A pack is finished when it has reached this. Large enough for cheap listings, small enough to hold two in memory. */
  packBytes: 8_388_608,
  /** Bytes of a pack that are read at most: a full one, one more part, its directory. */
  packMaxBytes: 16_777_216,
  /** Parts of one pack: its listing has to fit an index block. */
  packParts: 4_096,
  /** Bytes of an index block. */
  indexBytes: 262_144,
  /** Bytes of a manifest that are read: some 100,000 names of list pieces and index blocks. */
  manifestBytes: 8_388_608,
  /** Bytes of `config` and of a key slot. */
  smallFileBytes: 65_536,
  /** Documents one backup counts as left out by name. */
  leftOutNamed: 1_000,
  /** Backups of one chain: an hourly incremental for a year. */
  chainBackups: 10_000,
  /** Files read at a time, and documents restored at a time: hides the latency of disks and networks. */
  parallel: 8,
  /** Bytes of documents in flight during a restore, as a bound on memory. */
  inFlightBytes: 33_554_432,
  /** Bytes of parts kept in memory for documents that share them. */
  cacheBytes: 8_388_608,
  /** Bytes read ahead in a pack by whole restores and verification. */
  readAheadBytes: 1_048_576,
} as const

/**
 * Work of one guess at a passphrase: scrypt (RFC 7914), OWASP's recommendation of 2023; 128 · N · r = 128 MiB of memory.
 */
export const scryptCost = { N: 131_072, r: 8, p: 1 } as const
/** What a key slot may ask for at most, so that a forged one cannot exhaust the memory: 1 GiB. */
export const scryptMost = { N: 1_048_576, r: 8, p: 4 } as const
