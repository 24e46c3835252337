import type { Command } from 'commander'
import { openNode, whenFree, type Node, type WhoAmI } from '../../gateway/index.ts'
import { action, collect, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { exitCodes, type ExitCode } from '../exit-codes.ts'
import { createLog } from '../log.ts'
import { named } from '../values.ts'

export interface RunOptions {
  readonly listen?: readonly string[]
  readonly announce?: readonly string[]
  readonly peer?: readonly string[]
  readonly mdns?: boolean
}

/** Adds the options that say how a node runs. */
export function runOptions(command: Command): Command {
  return command
    .option(
      '--listen <multiaddr>',
      'listen here instead of TCP 47474 on IPv4 and IPv6; may come several times',
      collect,
    )
    .option(
      '--announce <multiaddr>',
      'tell others this address instead of those listened on (port forward, relay); may come several times',
      collect,
    )
    .option('--peer <multiaddr>', 'keep connected to this address; may come several times', collect)
    .option('--no-mdns', 'do not look for other nodes on the local network')
}

export function addRun(root: Command, runner: Runner): void {
  const command = runOptions(root.command('run').description('run the node until Ctrl-C or SIGTERM')).action(
    action(runner, async (context: Context, options: RunOptions) => {
      const dir = context.dir()
      return runNode(context, dir, options, (who) => announce(context, dir, who))
    }),
  )
  examples(
    command,
    'hedgerow run',
    'hedgerow run --listen /ip4/0.0.0.0/tcp/47480 --peer /ip4/192.168.1.20/tcp/47474 --no-mdns',
  )
}

/** Runs the node of a directory until the signal, or until its disk fails. */
export async function runNode(
  context: Context,
  dir: string,
  { listen, announce: announced, peer, mdns }: RunOptions,
  onStarted: (who: WhoAmI, node: Node) => Promise<void>,
): Promise<ExitCode> {
  const { output, signal } = context
  const log = createLog(output)
  const node = await whenFree(dir, () =>
    openNode({
      dir,
      mode: 'run',
      log,
      ...(listen === undefined ? {} : { listen }),
      ...(announced === undefined ? {} : { announce: announced }),
      ...(peer === undefined ? {} : { staticPeers: peer }),
      ...(mdns === undefined ? {} : { mdns }),
    }),
  )
  try {
    await onStarted(await node.operations.calls.whoami(undefined, { signal }), node)
    const failure = await Promise.race([node.failed, aborted(signal)])
    if (failure !== undefined) throw failure
    output.note('stopping…')
  } finally {
    await node.close()
  }
  return exitCodes.ok
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}

async function announce(
  { output }: Context,
  dir: string,
  { node, site, siteName, name, addresses }: WhoAmI,
): Promise<void> {
  if (output.json) await output.object({ node, site, siteName, name, dir, addresses })
  else {
    output.note(`node ${named(node ?? '', name)} of site ${named(site, siteName)} runs in ${dir}`)
    for (const address of addresses) output.note(`  ${address}`)
  }
}
