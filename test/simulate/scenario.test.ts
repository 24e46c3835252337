import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { InvalidInputError } from '../../src/model/index.ts'
import { parseScenario } from '../../scripts/simulate/scenario.ts'

const good = `
name: a small one
nodes: 4
seed: 3
duration: 1m
steps:
  - at: 500ms
    append: { rate: 2, sensors: [air], fields: { t: float }, for: 10s }
  - at: 20s
    crash: ["0-1", 3]
`

function fault(text: string, options: { readonly peers?: number } = {}): string {
  try {
    parseScenario(text, 'file.yaml', options)
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    return error.message
  }
  return assert.fail('the scenario was taken')
}

describe('scenario', () => {
  it('reads times, nodes and what is left out', () => {
    const scenario = parseScenario(good, 'file.yaml')
    assert.equal(scenario.duration, 60_000)
    assert.equal(scenario.seed, '3')
    assert.deepEqual(scenario.network, { delayMs: [1, 20], loss: 0, reorder: 0, duplicate: 0 })
    assert.deepEqual(scenario.steps[1], { atMs: 20_000, action: { name: 'crash', value: ['0-1', 3] } })
  })

  it('lets the command line change nodes and seed', () => {
    const { nodes, seed } = parseScenario(good, 'file.yaml', { peers: 9, seed: 'x' })
    assert.deepEqual({ nodes, seed }, { nodes: 9, seed: 'x' })
  })

  it('reads the scenarios of the repository', () => {
    for (const name of ['partition', 'churn']) {
      const url = new URL(`../../scripts/scenarios/${name}.yaml`, import.meta.url)
      parseScenario(readFileSync(url, 'utf8'), name)
    }
  })

  const faults: readonly (readonly [what: string, from: string, to: string, message: RegExp])[] = [
    ['an unknown key, with its line', 'seed: 3', 'sede: 3', /file\.yaml:4:1: unknown key "sede"; did you mean seed\?/],
    [
      'an unknown key of a step, with its line',
      'rate: 2',
      'rat: 2',
      /file\.yaml:8:15: .*unknown key "rat"; did you mean rate\?/,
    ],
    ['an unknown action', 'crash: [', 'explode: [', /file\.yaml:10:5: .*unknown key "explode"/],
    ['a step with two actions', '    crash:', '    heal: true\n    crash:', /file\.yaml:9:5: .*a step has one action/],
    ['a step without an action', '\n    crash: ["0-1", 3]', '', /file\.yaml:9:5: .*a step has one action/],
    ['a time without a unit', 'at: 500ms', 'at: 500', /file\.yaml:7:9/],
    ['a node that does not exist', '["0-1", 3]', '4', /steps\.1 \(crash\): there is no node 4: they are 0 to 3/],
    ['a step after the end', 'at: 20s', 'at: 61s', /it begins after the end/],
    ['a load that outlasts the end', 'for: 10s', 'for: 60s', /it goes on after the end/],
    ['a node on two sides', 'crash: ["0-1", 3]', 'partition: [["0-1"], ["1-end"]]', /a node stands on two sides/],
    ['a rollback into the future', 'crash: ["0-1", 3]', 'rollback: { nodes: 1, to: 30s }', /can only go back/],
    ['joining what is a member', 'crash: ["0-1", 3]', 'join: { nodes: 3 }', /members from the start: lower `founded`/],
    ['a probability of one', 'crash: ["0-1", 3]', 'loss: 1', /steps\.1/],
  ]
  for (const [what, from, to, message] of faults)
    it(`refuses ${what}`, () => {
      assert.ok(good.includes(from))
      assert.match(fault(good.replace(from, to)), message)
    })

  it('checks the nodes against those of the command line', () => {
    assert.match(fault(good, { peers: 2 }), /there is no node 3/)
  })
})
