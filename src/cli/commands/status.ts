import type { Command } from 'commander'
import { action, examples, type Runner } from '../command.ts'
import type { Context } from '../context.ts'
import { counted, named } from '../values.ts'
import { peerJson, peerTable } from './peers.ts'

export function addStatus(root: Command, runner: Runner): void {
  const command = root
    .command('status')
    .description('say how the node is: records, digest, what is at risk, peers, warnings')
    .option('--deep', 'also work out the digest of everything that can be seen (reads all records)')
    .action(action(runner, status))
  examples(command, 'hedgerow status', 'hedgerow status --deep --json')
}

async function status({ output, client: open, signal }: Context, { deep }: { readonly deep?: boolean }): Promise<void> {
  await using client = await open()
  const found = await client.call('status', { deep: deep ?? false }, { signal })
  const { node, site, siteName, records, documents, digest, content, atRisk, warnings, peers } = found
  if (output.json) {
    await output.object({
      node: node ?? null,
      site,
      ...(siteName === undefined ? {} : { siteName }),
      records,
      documents,
      digest,
      ...(content === undefined ? {} : { content }),
      atRisk,
      warnings,
      peers: peers.map(peerJson),
    })
    return
  }
  const { name } = await client.call('whoami', undefined, { signal })
  await output.line(
    `node      ${node === undefined ? 'none: this directory was restored and has no identity yet' : named(node, name)}`,
  )
  await output.line(`site      ${named(site, siteName)}`)
  await output.line(`records   ${records} in ${counted(documents, 'document')} (corrections count, too)`)
  await output.line(
    `at risk   ${records === 0 ? 'none' : atRisk === 0 ? 'none: every record is on another node, too' : `${counted(atRisk, 'record is', 'records are')} on no other node`}`,
  )
  await output.line(`digest    ${digest}`)
  if (content !== undefined) await output.line(`content   ${content}`)
  await output.line(`running   ${client.remote ? 'yes' : 'no'}`)
  if (peers.length > 0) await output.data(`\n${peerTable(peers, output.columns)}`)
  for (const warning of warnings) output.warn(warning)
}
