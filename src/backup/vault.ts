/** Making and opening vaults. What is in them is the other files' business. */
import { DamagedError, InvalidInputError, NotFoundError, WrongKeyError, type Random } from '../model/index.ts'
import { PartNames, encryptionOf, type MasterKey } from './box.ts'
import { asBytes, asList, asMap, asText, decodeCbor, encode } from './cbor.ts'
import { backupLimits } from './constants.ts'
import { checkHeader, fileHeader, headerBytes, type Encryption } from './file-header.ts'
import {
  decodeSlot,
  masterBytes,
  slotKindOf,
  unwrapKey,
  withoutSum,
  withSum,
  wrapKey,
  type VaultSecret,
} from './key-slots.ts'
import { makeRecoverySecret, writeRecoveryPhrase } from './recovery-phrase.ts'
import type { VaultStorage } from './storage.ts'

export const configName = 'config'
const vaultIdBytes = 16

/** An open vault. */
export interface Vault {
  readonly storage: VaultStorage
  /** Random, 32 hex digits. */
  readonly id: string
  readonly encryption: Encryption
  /** Key slots that were made with the vault. */
  readonly slots: readonly string[]
  readonly master: MasterKey
  readonly names: PartNames
}

export interface VaultConfig {
  readonly id: string
  readonly encryption: Encryption
  readonly slots: readonly string[]
}

/**
 * Makes a vault in an empty place. Encrypted, it gives the recovery phrase, which is kept nowhere else: print it once.
 * Throws `InvalidInputError` if there is something there already.
 */
export async function initVault(
  storage: VaultStorage,
  protection: { readonly passphrase: string } | { readonly unencrypted: true },
  random: Random,
): Promise<{ readonly recoveryPhrase?: string }> {
  await storage.prepare()
  for await (const { name } of storage.list(''))
    throw new InvalidInputError(
      name === configName || (await storage.stat(configName)) !== undefined
        ? `${storage.location} is a vault already: use it, or name another folder`
        : `${storage.location} is not empty (${name}): name an empty or a new folder for the vault`,
    )
  const id = Buffer.from(random.bytes(vaultIdBytes))
  if ('unencrypted' in protection) {
    await putConfig(storage, id, 'none', [])
    return {}
  }
  const master = random.bytes(masterBytes)
  const recoveryPhrase = writeRecoveryPhrase(makeRecoverySecret(random))
  const slots = new Map<string, VaultSecret>([
    ['keys/passphrase-1', { passphrase: protection.passphrase }],
    ['keys/recovery-1', { recoveryPhrase }],
  ])
  for (const [name, secret] of slots) await storage.put(name, await wrapKey(id, master, secret, random))
  // Last: a vault exists only when its config does.
  await putConfig(storage, id, 'aes-256-gcm', [...slots.keys()])
  return { recoveryPhrase }
}

async function putConfig(
  storage: VaultStorage,
  id: Uint8Array,
  encryption: Encryption,
  slots: string[],
): Promise<void> {
  const config = withSum(Buffer.concat([fileHeader('config', encryption), encode({ id, slots })]))
  if (!(await storage.put(configName, config)))
    throw new InvalidInputError(`${storage.location} has just been made a vault by someone else: use that one`)
}

/** Reads what a vault says of itself without a key. Throws `NotFoundError`, `DamagedError` or `VersionError`. */
export async function readVaultConfig(storage: VaultStorage): Promise<VaultConfig> {
  const bytes = await storage.get(configName, backupLimits.smallFileBytes)
  if (bytes === undefined) {
    for await (const { name } of storage.list(''))
      if (/^(keys|packs|index|manifests)\//.test(name))
        throw new DamagedError(
          `the vault ${storage.location} has lost its file ${configName}: copy it back from another copy of the vault`,
        )
    throw new NotFoundError(
      `there is no vault at ${storage.location}: if it is on a disk that can be removed, mount it; a new one is made with "hedgerow vault init ${storage.location}"`,
    )
  }
  const file = `${configName} of vault ${storage.location}`
  checkHeader(bytes, 'config', file)
  const map = asMap(decodeCbor(withoutSum(bytes, file).subarray(headerBytes)))
  return {
    id: asBytes(map['id'], vaultIdBytes).toString('hex'),
    encryption: bytes[6] === 1 ? 'aes-256-gcm' : 'none',
    slots: asList(map['slots']).map((name) => asText(name)),
  }
}

/**
 * Opens a vault; an unencrypted one without a secret. Throws `NotFoundError` if there is none, `WrongKeyError` for a wrong
 * or missing secret, `DamagedError`, `VersionError`.
 */
export async function openVault(
  storage: VaultStorage,
  secret?: { readonly passphrase?: string | undefined; readonly recoveryPhrase?: string | undefined },
): Promise<Vault> {
  const config = await readVaultConfig(storage)
  const given = secretOf(secret)
  if (config.encryption === 'none') {
    if (given !== undefined)
      throw new WrongKeyError(
        `the vault ${storage.location} is not encrypted: leave the passphrase out. If it ever had one, somebody has replaced it`,
      )
    return opened(storage, config, undefined)
  }
  if (given === undefined)
    throw new WrongKeyError(`the vault ${storage.location} is encrypted: give its passphrase or its recovery phrase`)
  return opened(storage, config, await findKey(storage, config, given))
}

function opened(storage: VaultStorage, config: VaultConfig, master: MasterKey): Vault {
  return { storage, ...config, encryption: encryptionOf(master), master, names: new PartNames(master) }
}

function secretOf(secret: Parameters<typeof openVault>[1]): VaultSecret | undefined {
  if (secret?.passphrase !== undefined) return { passphrase: secret.passphrase }
  if (secret?.recoveryPhrase !== undefined) return { recoveryPhrase: secret.recoveryPhrase }
  return undefined
}

async function findKey(storage: VaultStorage, config: VaultConfig, secret: VaultSecret): Promise<Buffer> {
  const kind = slotKindOf(secret)
  const names = new Set(config.slots)
  for await (const { name } of storage.list('keys/')) names.add(name)
  const faults: string[] = []
  for (const name of [...names].sort()) {
    const slot = await readSlot(storage, name).catch((error: unknown) => {
      if (!(error instanceof DamagedError)) throw error
      // The file's name tells which kind of secret it would have been for.
      if (name.startsWith(`keys/${kind}-`)) faults.push(error.message)
      return undefined
    })
    const master = slot === undefined ? undefined : await unwrapKey(Buffer.from(config.id, 'hex'), slot, secret)
    if (master !== undefined) return master
  }
  if (faults.length > 0)
    throw new DamagedError(
      `the vault ${storage.location} cannot be opened with this ${kind} key: ${faults.join('; ')}. Use ${kind === 'passphrase' ? 'the recovery phrase' : 'the passphrase'}`,
    )
  throw new WrongKeyError(
    `the ${kind === 'passphrase' ? 'passphrase' : 'recovery phrase'} does not open the vault ${storage.location}: try again${kind === 'passphrase' ? ', or use the recovery phrase that was printed when it was made' : ''}`,
  )
}

/** Reads one key slot. Throws `DamagedError` if it is missing or damaged. */
export async function readSlot(storage: VaultStorage, name: string): Promise<ReturnType<typeof decodeSlot>> {
  const bytes = await storage.get(name, backupLimits.smallFileBytes)
  if (bytes === undefined) throw new DamagedError(`${name} in vault ${storage.location} is missing`)
  return decodeSlot(bytes, `${name} in vault ${storage.location}`)
}
