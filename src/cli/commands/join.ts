import { addAbortSignal } from 'node:stream'
import type { Command } from 'commander'
import { joinDirectory } from '../../gateway/index.ts'
import { systemClock, systemRandom, UsageError } from '../../model/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { createLog } from '../log.ts'
import type { Surroundings } from '../surroundings.ts'
import { counted } from '../values.ts'

export function addJoin(root: Command, runner: Runner): void {
  const command = root
    .command('join')
    .description('join a site with a code from "hedgerow invite"')
    .argument('[code]', 'the code; read from standard input when left out')
    .option('--name <name>', "this gateway's name, for people (else the machine's)")
    .action(action(runner, join))
  examples(command, 'hedgerow join hedgerow1:… --name greenhouse', 'ssh barn hedgerow invite | hedgerow join')
}

/** Characters read from standard input for a code: more than any has. */
const codeChars = 4_096

async function join(context: Context, { name }: { readonly name?: string }, given: string | undefined): Promise<void> {
  const { output, signal } = context
  const code = given ?? (await readCode(context.surroundings))
  const log = createLog(output)
  const result = await joinDirectory(context.newDir(), code, {
    clock: systemClock,
    random: systemRandom,
    // The dialogue is short, and its end is told: only what goes wrong on the way is worth a line.
    log: (level, message, fields) => (level === 'error' ? log(level, message, fields) : undefined),
    signal,
    ...(name === undefined ? {} : { name }),
  })
  if (output.json) {
    await output.object({ ...result, dir: context.newDir() })
    return
  }
  const { site, node, via, viaName, coming, taken } = result
  output.note(`joined site ${site} through ${viaName} (${via})`)
  output.note(`this node is ${node}`)
  output.note(
    `${counted(coming, 'record is', 'records are')} coming${taken === 0 ? '' : `; ${counted(taken, 'record')} of this directory ${taken === 1 ? 'comes' : 'come'} along`}`,
  )
}

async function readCode({ stdin, stderr, signal }: Surroundings): Promise<string> {
  if (stdin.isTTY === true) stderr.write('Code: ')
  addAbortSignal(signal, stdin)
  let text = ''
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8')
    if (text.length > codeChars || (stdin.isTTY === true && text.includes('\n'))) break
  }
  const code = text.trim()
  if (code === '') throw new UsageError('no code: name it, or send it on standard input (hedgerow invite makes one)')
  return code
}
