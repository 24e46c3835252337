import type { Command } from 'commander'
import type { Amount, PeerInfo } from '../../gateway/index.ts'
import { formatTime, systemClock, type TimeUs } from '../../model/index.ts'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { table } from '../table.ts'
import { formatAge, formatBytes } from '../values.ts'

export function addPeers(root: Command, runner: Runner): void {
  const command = root
    .command('peers')
    .description('list the other nodes: connected or not, and what each lacks')
    .action(action(runner, peers))
  examples(command, 'hedgerow peers')
}

async function peers({ output, client: open, signal }: Context): Promise<void> {
  await using client = await open()
  const { peers: known } = await client.call('status', {}, { signal })
  if (output.json) for (const peer of known) await output.object(peerJson(peer))
  else if (known.length === 0) output.note('no other node is known: let one in with hedgerow invite')
  else await output.data(peerTable(known, output.columns))
}

/** A peer as `--json` gives it. */
export function peerJson({ node, name, connected, behind, ahead, lastSeen, lastSynced }: PeerInfo): object {
  const time = (at: TimeUs | undefined): string | null => (at === undefined ? null : formatTime(at))
  return { node, name, connected, behind, ahead, lastSeen: time(lastSeen), lastSynced: time(lastSynced) }
}

export function peerTable(peers: readonly PeerInfo[], columns: number | undefined): string {
  const now = systemClock.nowUs()
  const ago = (at: TimeUs | undefined): string => (at === undefined ? 'never' : `${formatAge(now - at)} ago`)
  const amount = ({ records, bytes }: Amount): string =>
    records === 0 && bytes === 0 ? '0' : `${records} (${formatBytes(bytes)})`
  return table(
    [
      { title: 'name' },
      { title: 'connected' },
      { title: 'we lack' },
      { title: 'it lacks' },
      { title: 'seen' },
      { title: 'synced' },
      { title: 'node' },
    ],
    peers.map(({ node, name, connected, behind, ahead, lastSeen, lastSynced }) => [
      name,
      connected ? 'yes' : 'no',
      amount(behind),
      amount(ahead),
      connected ? 'now' : ago(lastSeen),
      ago(lastSynced),
      node,
    ]),
    columns,
  )
}
