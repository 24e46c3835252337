/** What a simulation says at its end: only what the seed decides, so that two runs print the same bytes. */
import type { Traffic } from './traffic.ts'

/** What happened. Edits that were not made: `refused` by a token, `interrupted` by a crash, `notThere` on that node. */
export interface Counts {
  unacknowledged: number
  amended: number
  removed: number
  resolved: number
  refused: number
  interrupted: number
  notThere: number
  joined: number
  crashes: number
  rollbacks: number
  restarts: number
}

export function noCounts(): Counts {
  return {
    unacknowledged: 0,
    amended: 0,
    removed: 0,
    resolved: 0,
    refused: 0,
    interrupted: 0,
    notThere: 0,
    joined: 0,
    crashes: 0,
    rollbacks: 0,
    restarts: 0,
  }
}

export interface SimulationResult {
  readonly scenario: string
  readonly seed: string
  readonly ok: boolean
  /** What differs, what is missing, what went wrong. */
  readonly problems: readonly string[]
  /** Nodes in all, and those that run at the end. */
  readonly nodes: number
  readonly live: number
  readonly virtualMs: number
  /** After the last step; absent if the nodes did not become equal. */
  readonly settledMs?: number
  /** Acknowledged readings, and edits, of which none may be missing. */
  readonly readings: number
  readonly edits: number
  /** Acknowledged on a disk that lost it before any other node had it: nobody can bring it back. */
  readonly forgiven: number
  readonly records: number
  readonly conflicts: number
  readonly counts: Counts
  readonly traffic: Traffic
  /** Of the node with the lowest number; of all, if `ok`. */
  readonly digest: string
  readonly content: string
  /** Warnings and errors in the nodes' logs, by message. */
  readonly warnings: Readonly<Record<string, number>>
}

/** Problems that the text shows; the JSON has all. */
const problemsShown = 20

export function formatResult(result: SimulationResult): string {
  const { counts, traffic } = result
  const settled =
    result.settledMs === undefined ? 'not equal at the end' : `equal ${seconds(result.settledMs)} after the last step`
  const lines = [
    `${result.ok ? 'ok' : 'FAILED'}: ${result.scenario}, seed ${result.seed}`,
    `  nodes        ${result.live} of ${result.nodes} run at the end; ${counts.joined} joined, ${counts.crashes} crashes, ${counts.rollbacks} rollbacks, ${counts.restarts} restarts`,
    `  time         ${seconds(result.virtualMs)} simulated; ${settled}`,
    `  acknowledged ${result.readings} readings, ${result.edits} edits: ${counts.amended} amended, ${counts.removed} removed, ${counts.resolved} resolved`,
    `  not done     ${counts.unacknowledged} readings unacknowledged; edits: ${counts.refused} refused, ${counts.interrupted} interrupted, ${counts.notThere} found nothing`,
    `  forgiven     ${result.forgiven} acknowledgements that a lying disk lost before any other node had them`,
    `  held         ${result.records} records, ${result.conflicts} conflicts`,
    `  sent         ${traffic.messages} messages (${kilobytes(traffic.messageBytes)}) in ${traffic.streams} streams on ${traffic.connections} connections, ${traffic.gossip} gossip (${kilobytes(traffic.gossipBytes)})`,
    `  digest       ${result.digest}`,
    `  content      ${result.content}`,
  ]
  if (!result.ok) {
    lines.push(`  problems     ${result.problems.length}`)
    for (const problem of result.problems.slice(0, problemsShown)) lines.push(`  - ${problem}`)
    const more = result.problems.length - problemsShown
    if (more > 0) lines.push(`  - and ${more} more (--json shows all)`)
    lines.push(`Run it again with --seed ${result.seed}`)
  }
  return lines.join('\n')
}

function seconds(ms: number): string {
  return `${Number((ms / 1_000).toFixed(3))} s`
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1_000).toFixed(1)} kB`
}
