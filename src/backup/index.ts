/**
 * Backups into vaults. `initVault` makes a vault, `openVault` opens it; `createBackup`, `listBackups`, `verifyBackups` and
 * `restoreBackup` work on an open one. docs/backup-format.md describes every byte.
 */
export { listBackups, type BackupInfo, type BackupList, type UnreadableFile } from './catalog.ts'
export { createBackup, type BackupProgress, type CreateBackupOptions, type CreatedBackup } from './create.ts'
export { openDirectoryStorage } from './directory-storage.ts'
export { VaultFileError } from './file-error.ts'
export { backupKinds, type BackupKind } from './manifest.ts'
export { restoreBackup, type RestoreBackupOptions, type RestoredBackup, type RestoreProgress } from './restore.ts'
export type { StoredFile, VaultStorage } from './storage.ts'
export { initVault, openVault, readVaultConfig, type Vault, type VaultConfig } from './vault.ts'
export {
  verifyBackups,
  type Scratch,
  type VaultProblem,
  type VerifiedBackup,
  type VerifyBackupsOptions,
  type VerifyProgress,
  type VerifyReport,
} from './verify.ts'
