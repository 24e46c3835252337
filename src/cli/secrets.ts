import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { UsageError } from '../model/index.ts'
import { Interrupted, type Surroundings } from './surroundings.ts'

export interface PassphraseSource {
  /** What the passphrase opens, for the prompt: `the exported identity`. */
  readonly purpose: string
  /** `--passphrase-file`. */
  readonly file?: string
  /** Asked twice, since a typing error would lock its author out. */
  readonly confirm?: boolean
}

/**
 * Gets a passphrase from `--passphrase-file`, HEDGEROW_PASSPHRASE_FILE, HEDGEROW_PASSPHRASE or a prompt on the terminal;
 * never from an argument, which every user of the machine could read.
 */
export async function passphrase(
  surroundings: Surroundings,
  { purpose, file, confirm = false }: PassphraseSource,
): Promise<string> {
  const { env, stdin, stderr } = surroundings
  const path = file ?? env['HEDGEROW_PASSPHRASE_FILE']
  if (path !== undefined && path !== '') return nonEmpty(readSecret(path), path)
  const variable = env['HEDGEROW_PASSPHRASE']
  if (variable !== undefined) return nonEmpty(variable, 'HEDGEROW_PASSPHRASE')
  if (stdin.isTTY !== true || stderr.isTTY !== true)
    throw new UsageError(
      `a passphrase for ${purpose} is needed: set HEDGEROW_PASSPHRASE or HEDGEROW_PASSPHRASE_FILE, or name a file with --passphrase-file`,
    )
  const first = nonEmpty(await prompt(surroundings, `Passphrase for ${purpose}: `), 'the prompt')
  if (confirm && (await prompt(surroundings, 'The same again: ')) !== first)
    throw new UsageError('the two passphrases differ')
  return first
}

/** Gets a vault's recovery phrase from `--recovery-phrase-file`, HEDGEROW_RECOVERY_PHRASE_FILE or HEDGEROW_RECOVERY_PHRASE, if it is there. */
export function recoveryPhrase({ env }: Surroundings, file: string | undefined): string | undefined {
  const path = file ?? env['HEDGEROW_RECOVERY_PHRASE_FILE']
  if (path !== undefined && path !== '') return nonEmpty(readSecret(path), path)
  return env['HEDGEROW_RECOVERY_PHRASE']
}

function readSecret(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    throw new UsageError(`the file ${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
}

function nonEmpty(secret: string, source: string): string {
  if (secret === '') throw new UsageError(`the secret in ${source} is empty`)
  return secret
}

/** Asks on the terminal without showing what is typed. */
function prompt({ stdin, stderr }: Surroundings, question: string): Promise<string> {
  stderr.write(question)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: stdin, output: silent, terminal: true })
  return new Promise((resolve, reject) => {
    lines.once('line', (line) => {
      resolve(line)
      lines.close()
    })
    lines.once('SIGINT', () => {
      reject(new Interrupted('SIGINT'))
      lines.close()
    })
    lines.once('close', () => {
      stderr.write('\n')
      reject(new UsageError('no passphrase was given'))
    })
  })
}

/** Asks a yes-or-no question on the terminal; where there is none, the way out is `--yes`. */
export async function confirmed({ stdin, stderr }: Surroundings, question: string, yes: boolean): Promise<boolean> {
  if (yes) return true
  if (stdin.isTTY !== true || stderr.isTTY !== true)
    throw new UsageError(`${question} Say --yes to go on without being asked`)
  const lines = createInterface({ input: stdin, output: stderr })
  try {
    const answer = await new Promise<string>((resolve) => {
      lines.question(`${question} [y/N] `, resolve)
      lines.once('close', () => resolve(''))
    })
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    lines.close()
  }
}
