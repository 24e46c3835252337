/** The gateway: puts the parts together into a node, and holds what it says to the outside world. */
export {
  initVaultAt,
  isEncrypted,
  listVault,
  restoreFrom,
  verifyVault,
  type BackupCreateInput,
  type BackupSecret,
} from './backup-operations.ts'
export { openClient } from './client.ts'
export { defaultName, createSiteStore, foundIdentity, initDirectory } from './found-site.ts'
export { holdsStore } from './directory.ts'
export { exportDirectoryIdentity, importDirectoryIdentity, readExport } from './identity-directory.ts'
export { importFile, importLimits, prepareImport, type ImportMapping, type ImportResult } from './import-file.ts'
export { joinDirectory } from './join-directory.ts'
export { redeem, type Joined } from './join-site.ts'
export { foundOnRestored } from './new-site.ts'
export { openNode, type Node, type NodeOptions } from './node.ts'
export { whenFree } from './when-free.ts'
export type {
  Amount,
  Calls,
  Invitation,
  JoinResult,
  NodeClient,
  NodeStatus,
  Operations,
  PeerInfo,
  QueryInput,
  Span,
  Streams,
  WhoAmI,
} from './operations.ts'
export {
  formatRecordsCsv,
  numberText,
  readNdjson,
  type ReadCounts,
  type RowFault,
  type UntimedReading,
} from './formats/index.ts'
export type { BackupInfo } from '../backup/index.ts'
export type {
  Amendment,
  AppendResult,
  FieldView,
  Lane,
  Member,
  MergeRule,
  RecordView as RecordItem,
  ResolveRequest,
  Role,
  SensorSummary,
  StoreLog as NodeLog,
} from '../store/index.ts'
