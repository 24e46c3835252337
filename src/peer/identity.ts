/** Who this node is: its key, its site, and the file that holds them. */
export { createNodeKey, nodeKeyFromSeed, shortNodeId, signerOf, type Identity, type NodeKey } from './identity/key.ts'
export { identityFileName, readIdentity, writeIdentity } from './identity/file.ts'
export { exportIdentity, importIdentity } from './identity/export.ts'
