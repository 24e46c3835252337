/** Runs a scenario: its steps at their times, then a while to become equal, then the checks. */
import { HedgerowError } from '../../src/model/index.ts'
import {
  createSeededRandom,
  createSimulatedWorld,
  createVirtualClock,
  type SeededRandom,
  type SimulatedWorld,
  type VirtualClock,
} from '../../src/peer/index.ts'
import { Acknowledged } from './acknowledged.ts'
import { addressBook } from './addresses.ts'
import { appendLoad, type Load } from './append-load.ts'
import { compareNodes } from './compare.ts'
import { readContents } from './contents.ts'
import { editLoad } from './edit-load.ts'
import { noCounts, type Counts, type SimulationResult } from './result.ts'
import type { Action, JoinAction, Scenario } from './scenario.ts'
import { selectNodes, type Selector } from './selector.ts'
import { SimulatedNode } from './sim-node.ts'
import { noTraffic } from './traffic.ts'

/** One line of a node's log, with the simulated time, ms. */
export interface LogLine {
  readonly ms: number
  readonly node: number
  readonly level: string
  readonly message: string
  readonly fields: Record<string, unknown>
}

export interface SimulationOptions {
  readonly log?: (line: LogLine) => void
}

/** When all simulations begin: the wall clock of their nodes. */
const startUs = Date.UTC(2026, 0, 1) * 1_000
/** Simulated time that making the site and closing it may take, ms. */
const housekeepingMs = 600_000
/** How often the nodes are compared while they settle, ms. */
const compareEveryMs = 1_000

/** Runs a scenario to its end. Nothing but the scenario decides the result. */
export async function runSimulation(scenario: Scenario, options: SimulationOptions = {}): Promise<SimulationResult> {
  return await new Simulation(scenario, options).run()
}

class Simulation {
  readonly #scenario: Scenario
  readonly #clock: VirtualClock
  readonly #random: SeededRandom
  readonly #world: SimulatedWorld
  readonly #nodes: SimulatedNode[]
  readonly #acknowledged = new Acknowledged()
  readonly #counts: Counts = noCounts()
  readonly #traffic = noTraffic()
  readonly #warnings = new Map<string, number>()
  readonly #problems: string[] = []
  /** What is under way, by what it is. */
  readonly #tasks = new Map<Promise<void>, string>()
  #forgiven = 0

  constructor(scenario: Scenario, { log }: SimulationOptions) {
    const { network, disk, gossip, reconciliation, keepActors } = scenario
    this.#scenario = scenario
    this.#clock = createVirtualClock(startUs)
    this.#random = createSeededRandom(scenario.seed)
    this.#world = createSimulatedWorld({ clock: this.#clock, random: this.#random.fork('network'), ...network })
    const surroundings = {
      clock: this.#clock,
      random: this.#random,
      world: this.#world,
      traffic: this.#traffic,
      book: addressBook(() => this.#nodes.map(({ id }) => id)),
      acknowledged: this.#acknowledged,
      syncMs: disk.syncMs,
      gossip,
      reconciliation,
      keepActors,
      log: (node: number, level: string, message: string, fields: Record<string, unknown>): void => {
        if (level !== 'info') this.#warnings.set(message, (this.#warnings.get(message) ?? 0) + 1)
        log?.({ ms: this.#clock.monotonicMs(), node, level, message, fields })
      },
      problem: (what: string): void => this.#problem(what),
    }
    this.#nodes = Array.from({ length: scenario.nodes }, (_, i) => new SimulatedNode(i, surroundings))
  }

  async run(): Promise<SimulationResult> {
    await this.#drive(this.#foundSite(), 'founding the site')
    const beginMs = this.#clock.monotonicMs()
    for (const [i, { atMs, action }] of this.#scenario.steps.entries()) {
      const what = `step ${i} (${action.name} at ${atMs / 1_000} s)`
      this.#clock.setTimer(() => this.#task(what, this.#perform(action, `step ${i}`, beginMs)), atMs)
    }
    await this.#clock.runFor(this.#scenario.duration)
    const result = await this.#finish(beginMs)
    await this.#drive(Promise.all(this.#nodes.map((node) => node.close())), 'closing the nodes')
    return result
  }

  async #foundSite(): Promise<void> {
    const members = this.#nodes.slice(0, this.#scenario.founded)
    await members[0]?.found(members.slice(1))
    await Promise.all(members.map((node) => node.start()))
  }

  /** Runs the clock until the work is done; throws what it threw. */
  async #drive<T>(work: Promise<T>, what: string): Promise<T> {
    let done = false
    const end = (): void => {
      done = true
    }
    work.then(end, end)
    if (!(await this.#clock.runUntil(() => done, housekeepingMs)))
      throw new RangeError(`${what} took more than ${housekeepingMs / 1_000} simulated seconds`)
    return await work
  }

  #task(what: string, work: Promise<void>): void {
    const task = work.catch((error: unknown) => {
      if (!(error instanceof HedgerowError)) throw error
      this.#problem(`${what}: ${error.message}`)
    })
    this.#tasks.set(task, what)
    void task.finally(() => this.#tasks.delete(task))
  }

  #problem(what: string): void {
    this.#problems.push(what)
  }

  // ------------------------------------------------------------------------------------------------ steps

  async #perform(action: Action, label: string, beginMs: number): Promise<void> {
    switch (action.name) {
      case 'join':
        return await this.#join(action.value)
      case 'append':
        await Promise.all(this.#loads(action.value.nodes, label).map((load) => appendLoad(load, action.value)))
        return
      case 'amend':
      case 'remove':
      case 'resolve': {
        const { name, value } = action
        const pool = this.#pool(value.pool, label)
        await Promise.all(this.#loads(value.nodes, label).map((load) => editLoad(load, name, value, pool)))
        return
      }
      case 'partition':
        return this.#world.partition(action.value.map((side) => this.#select(side).map((node) => node.id)))
      case 'heal':
        return this.#world.heal()
      case 'loss':
        return this.#world.setLoss(action.value)
      case 'delay':
        return this.#world.setDelay(action.value)
      case 'stop':
        await Promise.all(this.#select(action.value).map((node) => node.stop()))
        return
      case 'crash':
        for (const node of this.#select(action.value)) {
          this.#counts.crashes += 1
          node.crash()
        }
        return
      case 'rollback':
        for (const node of this.#select(action.value.nodes)) {
          this.#counts.rollbacks += 1
          node.rollback(beginMs + action.value.to)
          await this.#forgive(node, beginMs + action.value.to)
        }
        return
      case 'restart':
        await Promise.all(this.#select(action.value).map((node) => this.#restart(node)))
        return
    }
  }

  #select(selector: Selector | readonly Selector[]): SimulatedNode[] {
    return selectNodes(selector, this.#nodes.length).map((number) => this.#nodes[number] as SimulatedNode)
  }

  async #join({ nodes, via, every }: JoinAction): Promise<void> {
    const inviter = this.#nodes[via] as SimulatedNode
    await Promise.all(
      this.#select(nodes).map(async (node, i) => {
        await this.#clock.sleep(i * every)
        await node.join(inviter)
        this.#counts.joined += 1
      }),
    )
  }

  async #restart(node: SimulatedNode): Promise<void> {
    this.#counts.restarts += 1
    await node.stop()
    await node.start()
  }

  #loads(selector: Selector, label: string): Load[] {
    return this.#select(selector).map((node) => ({
      node,
      clock: this.#clock,
      random: this.#random.fork(`${label} node ${node.number}`),
      acknowledged: this.#acknowledged,
      counts: this.#counts,
      problem: (what) => this.#problem(what),
    }))
  }

  /** Records that the edits of one step choose from, the same for all its nodes. */
  #pool(size: number, label: string): Acknowledged['known'] {
    const known = this.#acknowledged.known
    const random = this.#random.fork(`${label} pool`)
    return Array.from(
      { length: Math.min(size, known.length) },
      () => known[Math.floor(random.uniform() * known.length)]!,
    )
  }

  /** What this node's disk wrote after `sinceMs` is gone; what no other running node has of it cannot come back. */
  async #forgive(node: SimulatedNode, sinceMs: number): Promise<void> {
    const others = this.#nodes.flatMap((other) => (other === node ? [] : (other.running ?? [])))
    const contents = await Promise.all(others.map(({ store }) => readContents(store)))
    this.#forgiven += this.#acknowledged.diskLost(node.number, sinceMs, contents)
  }

  // ------------------------------------------------------------------------------------------------ the end

  async #finish(beginMs: number): Promise<SimulationResult> {
    const { name, seed, duration, settle } = this.#scenario
    const settledMs = await this.#settle(settle)
    // A node that stays down may hold what nobody else has.
    for (const node of this.#nodes)
      if (node.isMember && node.running === undefined) await this.#forgive(node, -Infinity)
    const live = this.#nodes.filter((node) => node.running !== undefined)
    const contents = await Promise.all(
      live.map(async (node) => ({ name: node.name, contents: await readContents(node.running!.store) })),
    )
    this.#problems.push(...compareNodes(contents, this.#acknowledged))
    if (live.length === 0) this.#problem('no node runs at the end')
    const first = contents[0]?.contents
    return {
      scenario: name,
      seed,
      ok: this.#problems.length === 0,
      problems: this.#problems,
      nodes: this.#nodes.length,
      live: live.length,
      virtualMs: Math.round(this.#clock.monotonicMs() - beginMs),
      ...(settledMs === undefined ? {} : { settledMs: Math.round(settledMs - beginMs - duration) }),
      readings: this.#acknowledged.readings,
      edits: this.#acknowledged.edits,
      forgiven: this.#forgiven,
      records: first?.records.size ?? 0,
      conflicts: first?.conflicts ?? 0,
      counts: this.#counts,
      traffic: { ...this.#traffic },
      digest: first?.digest ?? '',
      content: first?.content ?? '',
      warnings: Object.fromEntries([...this.#warnings].sort(([a], [b]) => (a < b ? -1 : 1))),
    }
  }

  /** Waits until nothing is under way and all nodes are equal. Gives when they were; `undefined` if they did not become so in time. */
  async #settle(limitMs: number): Promise<number | undefined> {
    const endMs = this.#clock.monotonicMs() + limitMs
    if (!(await this.#clock.runUntil(() => this.#tasks.size === 0, limitMs)))
      this.#problem(`still under way ${limitMs / 1_000} s after the end: ${[...this.#tasks.values()].join(', ')}`)
    while (!(await this.#areEqual())) {
      const leftMs = endMs - this.#clock.monotonicMs()
      if (leftMs <= 0) return undefined
      await this.#clock.runFor(Math.min(compareEveryMs, leftMs))
    }
    return this.#clock.monotonicMs()
  }

  async #areEqual(): Promise<boolean> {
    const digests = new Set<string>()
    for (const { running } of this.#nodes)
      if (running !== undefined) digests.add(`${await running.store.digest()} ${running.store.members.digest()}`)
    return digests.size <= 1
  }
}
