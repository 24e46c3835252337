/** What the demo corrects, and the account it keeps of it. */
import type { NodeClient, RecordItem } from '../../src/gateway/index.ts'
import type { FieldName, SensorId, TimeUs } from '../../src/model/index.ts'

export interface Correction {
  readonly sensor: SensorId
  readonly time: TimeUs
  readonly field: FieldName
  readonly value: number
}

export interface Plan {
  readonly mainland: readonly Correction[]
  readonly island: readonly Correction[]
  /** Values that both sides correct, each differently: what last-write-wins would lose one of. */
  readonly contested: number
}

/** What stands in conflict on a node, counted field by field. */
export interface Rivals {
  readonly conflicts: number
  /** Corrections beside another one of the same value: what last-write-wins would have dropped without a trace. */
  readonly dropped: number
}

export async function countRivals(client: NodeClient): Promise<Rivals> {
  let conflicts = 0
  let dropped = 0
  for await (const { fields } of client.stream('query', { onlyConflicts: true }))
    for (const { conflict, amendments } of fields) {
      if (conflict !== undefined) conflicts++
      dropped += Math.max(0, new Set(amendments.map(({ value }) => value)).size - 1)
    }
  return { conflicts, dropped }
}

/** Plans corrections of the first numeric field of records spread over everything there is. */
export async function planCorrections(client: NodeClient, count: number, contested: number): Promise<Plan> {
  const records: RecordItem[] = []
  let seen = 0
  const wanted = count - contested
  const { records: total } = await client.call('status', {})
  const every = Math.max(1, Math.floor(total / wanted))
  for await (const record of client.stream('query', {}))
    if (seen++ % every === 0 && records.length < wanted) records.push(record)
  const corrections = records.flatMap(({ sensor, time, fields }): Correction[] => {
    const field = fields.find(({ shown, conflict }) => typeof shown?.value === 'number' && conflict === undefined)
    return field === undefined
      ? []
      : [{ sensor, time, field: field.field, value: Math.round(10 * Number(field.shown?.value) + 5) / 10 }]
  })
  const both = corrections.slice(0, Math.min(contested, Math.floor(corrections.length / 4)))
  const rest = corrections.slice(both.length)
  const half = Math.floor(rest.length / 2)
  return {
    mainland: [...both, ...rest.slice(0, half)],
    island: [...both.map((one) => ({ ...one, value: one.value + 1 })), ...rest.slice(half)],
    contested: both.length,
  }
}

export async function correct(client: NodeClient, corrections: readonly Correction[], user: string): Promise<void> {
  for (const { sensor, time, field, value } of corrections)
    await client.call('amend', { sensor, time, fields: [{ field, value }], user, why: 'calibration' })
}

/** The corrections that a node does not hold. */
export async function lostCorrections(client: NodeClient, corrections: readonly Correction[]): Promise<Correction[]> {
  const expected = new Map<string, Correction[]>()
  for (const one of corrections) {
    const key = `${one.sensor} ${one.time}`
    expected.set(key, [...(expected.get(key) ?? []), one])
  }
  const lost: Correction[] = []
  for await (const record of client.stream('query', {})) {
    const key = `${record.sensor} ${record.time}`
    for (const { field, value } of expected.get(key) ?? []) {
      const amendments = record.fields.find((view) => view.field === field)?.amendments ?? []
      if (!amendments.some((amendment) => amendment.value === value))
        lost.push({ sensor: record.sensor, time: record.time, field, value })
    }
    expected.delete(key)
  }
  return [...lost, ...[...expected.values()].flat()]
}
