import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { formatResult, type SimulationResult } from '../../scripts/simulate/result.ts'
import { parseScenario } from '../../scripts/simulate/scenario.ts'
import { runSimulation } from '../../scripts/simulate/simulation.ts'

/** Three nodes, two of them cut off for a while; all measure and correct. */
const cut = `
name: a short cut
nodes: 3
seed: 11
duration: 40s
settle: 2m
steps:
  - at: 1s
    append: { rate: 1, sensors: [air], fields: { t: float }, for: 36s }
  - at: 8s
    partition: [[0], [1, 2]]
  - at: 10s
    amend: { rate: 1, for: 12s, pool: 6 }
  - at: 24s
    heal: true
`

/**
 * A node corrects records, the others learn of it; its disk comes up as it was before, it starts alone, and corrects the
 * same records again before it meets anybody.
 */
const rolledBack = `
name: a disk that lied
nodes: 3
seed: 12
duration: 60s
settle: 2m
steps:
  - at: 1s
    append: { rate: 1, sensors: [air], fields: { t: float }, for: 8s }
  - at: 14s
    amend: { nodes: 1, rate: 2, for: 6s, pool: 4 }
  - at: 25s
    partition: [[1], [0, 2]]
  - at: 26s
    rollback: { nodes: 1, to: 13s }
  - at: 28s
    restart: 1
  - at: 30s
    amend: { nodes: 1, rate: 2, for: 8s, pool: 4 }
  - at: 40s
    heal: true
`

async function simulate(text: string, top = ''): Promise<SimulationResult> {
  return runSimulation(parseScenario(top + text, 'test.yaml'))
}

describe('simulation', () => {
  it('prints the same bytes for the same seed, and others for another', async () => {
    const [one, two] = [await simulate(cut), await simulate(cut)]
    assert.equal(formatResult(one), formatResult(two))
    assert.equal(JSON.stringify(one), JSON.stringify(two))
    const other = await runSimulation(parseScenario(cut, 'test.yaml', { seed: '99' }))
    assert.notEqual(other.digest, one.digest)
  })

  it('finds all nodes equal and nothing lost', async () => {
    const result = await simulate(cut)
    assert.deepEqual(result.problems, [])
    assert.equal(result.readings, 3 * 36)
    assert.ok(result.edits > 20 && result.conflicts > 0, formatResult(result))
  })

  it('converges with gossip off', async () => {
    const result = await simulate(cut, 'gossip: false\n')
    assert.deepEqual(result.problems, [])
    assert.equal(result.traffic.gossip, 0)
  })

  it('fails with reconciliation off, and prints the seed', async () => {
    const result = await simulate(cut, 'reconciliation: false\n')
    assert.equal(result.ok, false)
    const text = formatResult(result)
    assert.match(text, /^FAILED: a short cut, seed 11$/m)
    assert.match(text, /documents \(digest\) differ: node-0 have/)
    assert.match(text, /node-0 lacks \d+ acknowledged things: /)
    assert.match(text, /--seed 11$/)
  })

  it('loses nothing that a node acknowledged alone before its power was cut', async () => {
    const result = await simulate(
      cut.replace('heal: true', 'heal: true\n  - at: 23s\n    crash: 0\n  - at: 28s\n    restart: 0'),
    )
    assert.deepEqual(result.problems, [])
    assert.deepEqual([result.counts.crashes, result.forgiven], [1, 0])
  })

  it('survives a disk that lied', async () => {
    const result = await simulate(rolledBack)
    assert.deepEqual(result.problems, [])
    assert.equal(result.counts.rollbacks, 1)
  })

  it('fails with actors kept across restarts, and prints the seed', async () => {
    const result = await simulate(rolledBack, 'keepActors: true\n')
    assert.equal(result.ok, false)
    assert.match(formatResult(result), /documents \(digest\) differ: .*--seed 12$/s)
  })

  it('lets nodes join by invite while others crash', async () => {
    const result = await simulate(`
name: joins and crashes
nodes: 5
founded: 2
seed: 13
duration: 50s
network: { delayMs: [5, 50], loss: 0.2, reorder: 0.1, duplicate: 0.1 }
steps:
  - at: 0s
    append: { rate: 1, sensors: [air], fields: { t: float }, for: 40s }
  - at: 5s
    join: { nodes: "2-end", every: 1s }
  - at: 20s
    crash: [0, 3]
  - at: 24s
    restart: [0, 3]
  - at: 30s
    stop: 1
  - at: 33s
    restart: 1
`)
    assert.deepEqual(result.problems, [])
    assert.deepEqual([result.live, result.counts.joined, result.counts.crashes], [5, 3, 2])
  })

  it('says so when nothing is left to compare', async () => {
    const result = await simulate(`
name: nobody
nodes: 1
seed: 1
duration: 2s
steps:
  - at: 1s
    crash: 0
`)
    assert.deepEqual(result.problems, ['no node runs at the end'])
  })
})

describe('npm run simulate', () => {
  const script = fileURLToPath(new URL('../../scripts/simulate.ts', import.meta.url))
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hedgerow-simulate-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  function simulateFile(text: string, ...more: string[]): { status: number | null; stdout: string; stderr: string } {
    const file = join(folder, 'scenario.yaml')
    writeFileSync(file, text)
    return spawnSync(process.execPath, [script, file, ...more], { encoding: 'utf8', timeout: 60_000 })
  }

  it('exits with 1 and the seed where nodes differ', () => {
    const { status, stdout } = simulateFile(`reconciliation: false\n${cut}`, '--seed', '5')
    assert.equal(status, 1)
    assert.match(stdout, /seed 5/)
  })

  it('exits with 0 and one JSON object where all is well', () => {
    const { status, stdout } = simulateFile(cut, '--json', '--peers', '4')
    assert.equal(status, 0)
    const result = JSON.parse(stdout) as SimulationResult
    assert.deepEqual([result.ok, result.nodes, result.seed], [true, 4, '11'])
  })

  it('exits with 2 where the scenario is wrong', () => {
    const { status, stdout, stderr } = simulateFile(cut.replace('nodes:', 'node:'))
    assert.equal(status, 2)
    assert.equal(stdout, '')
    assert.match(stderr, /scenario\.yaml:3:1: unknown key "node"; did you mean nodes\?/)
  })
})
