/** `npm run simulate`: many nodes in one process, following a scenario on a virtual clock. See docs/simulator.md. */
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { HedgerowError, UsageError } from '../src/model/index.ts'
import { formatResult } from './simulate/result.ts'
import { parseScenario, type Scenario } from './simulate/scenario.ts'
import { runSimulation, type LogLine } from './simulate/simulation.ts'

const help = `Usage: npm run simulate -- SCENARIO.yaml [--peers N] [--seed S] [--json] [--log]

Runs the gateways of a site in one process: the nodes that \`hedgerow run\` runs, on a virtual clock, seeded randomness, a
simulated network and disks in memory. At the end all of them must show the same, with nothing lost that was acknowledged.

  SCENARIO.yaml   what happens; scripts/scenarios/ has some, docs/simulator.md explains them
  --peers N       that many nodes, whatever the scenario says
  --seed S        another run of the same scenario; the same seed prints the same bytes
  --json          one JSON object instead of text
  --log           the nodes' log on standard error, with simulated seconds
  --help          this text

Exit code: 0 all is well, 1 something differs or is lost (the seed is printed), 2 the scenario or the command is wrong.

Example: npm run simulate -- scripts/scenarios/partition.yaml --seed 7`

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  let scenario: Scenario
  let options: ReturnType<typeof readArguments>
  try {
    options = readArguments(args)
    if (options.help) {
      console.log(help)
      return 0
    }
    scenario = parseScenario(await readFile(options.file, 'utf8'), options.file, options)
  } catch (error) {
    if (!isUsersFault(error)) throw error
    console.error(error.message)
    return 2
  }
  const startMs = performance.now()
  process.on('uncaughtExceptionMonitor', () => console.error(`the simulation broke: seed ${scenario.seed}`))
  const result = await runSimulation(scenario, options.log ? { log: printLog } : {})
  console.log(options.json ? JSON.stringify(result) : formatResult(result))
  console.error(`took ${((performance.now() - startMs) / 1_000).toFixed(1)} s`)
  return result.ok ? 0 : 1
}

function readArguments(args: readonly string[]): {
  readonly file: string
  readonly peers?: number
  readonly seed?: string
  readonly json: boolean
  readonly log: boolean
  readonly help: boolean
} {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      peers: { type: 'string' },
      seed: { type: 'string' },
      json: { type: 'boolean', default: false },
      log: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const { peers, seed, json, log, help } = values
  const [file, ...rest] = positionals
  if (!help && (file === undefined || rest.length > 0))
    throw new UsageError(`name one scenario, such as scripts/scenarios/partition.yaml (see --help)`)
  if (peers !== undefined && !/^[1-9]\d{0,3}$/.test(peers))
    throw new UsageError(`--peers ${peers}: give a number of nodes`)
  return {
    file: file ?? '',
    ...(peers === undefined ? {} : { peers: Number(peers) }),
    ...(seed === undefined ? {} : { seed }),
    json,
    log,
    help,
  }
}

/** Faults of the command line and the file; all others are the program's. */
function isUsersFault(error: unknown): error is Error {
  if (error instanceof HedgerowError) return true
  return (
    error instanceof Error && 'code' in error && /^(ENOENT|EISDIR|EACCES|ERR_PARSE_ARGS_.*)$/.test(String(error.code))
  )
}

function printLog({ ms, node, level, message, fields }: LogLine): void {
  console.error(`${(ms / 1_000).toFixed(3).padStart(9)} node-${node} ${level} ${message} ${JSON.stringify(fields)}`)
}
