import type { Command } from 'commander'
import { formatTime } from '../../model/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { table } from '../table.ts'

export function addMembers(root: Command, runner: Runner): void {
  const group = root.command('members').description('who belongs to the site')
  const command = group.command('list').description('list the members of the site').action(action(runner, list))
  examples(command, 'hedgerow members list')
}

async function list({ output, client: open, signal }: Context): Promise<void> {
  await using client = await open()
  const members = await client.call('members', undefined, { signal })
  if (output.json) {
    for (const { certificate, founder, revoked, adopted } of members) {
      const { node, name, role, expires, issuer } = certificate
      await output.object({
        node,
        name,
        role,
        founder,
        revoked,
        adopted,
        ...(expires === undefined ? {} : { expires: formatTime(expires) }),
        issuer,
      })
    }
    return
  }
  await output.data(
    table(
      [{ title: 'name' }, { title: 'role' }, { title: '' }, { title: 'node' }],
      members.map(({ certificate, founder, revoked, adopted }) => [
        certificate.name,
        certificate.role,
        [founder ? 'founder' : '', revoked ? 'revoked' : '', adopted ? 'of an earlier site' : '']
          .filter(Boolean)
          .join(', '),
        certificate.node,
      ]),
      output.columns,
    ),
  )
}
