import { Option, type Command } from 'commander'
import type { Role } from '../../gateway/index.ts'
import { formatTime } from '../../model/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { parseDuration } from '../values.ts'

interface InviteOptions {
  readonly role: Role
  readonly expires: string
}

export function addInvite(root: Command, runner: Runner): void {
  const command = root
    .command('invite')
    .description('make a code that lets one other gateway in (admins; the other gateway can join while this node runs)')
    .addOption(new Option('--role <role>', 'what it may do').choices(['writer', 'admin', 'reader']).default('writer'))
    .option('--expires <duration>', 'how long the code is good: 90m, 24h, 7d', '24h')
    .action(action(runner, invite))
  examples(command, 'hedgerow invite --role writer --expires 2h')
}

async function invite(context: Context, options: InviteOptions): Promise<void> {
  const { output, signal } = context
  const expiresMs = parseDuration(options.expires)
  await using client = await context.client()
  const { code, expires } = await client.call('invite', { role: options.role, expiresMs }, { signal })
  if (output.json) {
    await output.object({ code, expires: formatTime(expires), role: options.role })
    return
  }
  await output.line(code)
  output.note(`good for one gateway as ${options.role} until ${formatTime(expires)}; it is a secret until then`)
  output.note('on the other gateway: hedgerow join CODE && hedgerow run')
}
