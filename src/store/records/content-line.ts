/**
 * The canonical line of one visible (sensor, time, field), and the sum over all lines that makes two stores comparable
 * by what they show. docs/content-digest.md defines both; the test vector there is tested.
 */
import { hash } from 'node:crypto'
import {
  typeOf,
  type FieldName,
  type NodeId,
  type Quality,
  type SensorId,
  type TimeUs,
  type Value,
} from '../../model/index.ts'
import type { Amendment } from '../types.ts'
import { compareText, valueText } from './value-key.ts'
import type { FieldState, Thing } from './field-state.ts'

/** Gives the line of a field, without a line end. */
export function contentLine(sensor: SensorId, time: TimeUs, { view, things, shown, notes }: FieldState): string {
  return JSON.stringify([
    sensor,
    time,
    view.field,
    shown === undefined ? -1 : things.indexOf(shown),
    things.map(thingParts),
    sortedActs(notes),
  ])
}

/** The same line for a field that has one reading and nothing else. */
export function plainContentLine(
  sensor: SensorId,
  time: TimeUs,
  field: FieldName,
  value: Value,
  quality: Quality,
  node: NodeId,
): string {
  const text = JSON.stringify(valueText(value))
  return `["${sensor}",${time},"${field}",0,[["reading","${typeOf(value)}",${text},"${quality}",["${node}"]]],[]]`
}

function thingParts(thing: Thing): unknown[] {
  switch (thing.kind) {
    case 'reading':
      return ['reading', typeOf(thing.value), valueText(thing.value), thing.quality, thing.nodes]
    case 'amendment':
      return ['amendment', typeOf(thing.value), valueText(thing.value), thing.quality, sortedActs(thing.acts)]
    case 'removal':
      return ['removal', sortedActs(thing.acts)]
  }
}

/** Who, when, why: `[by, at, user, why, note]`, absent texts as null; sorted by their JSON. */
function sortedActs(acts: readonly Amendment[]): unknown[] {
  return acts
    .map((act) => [act.by, act.at, act.user ?? null, act.why ?? null, act.note ?? null])
    .map((parts) => ({ parts, text: JSON.stringify(parts) }))
    .sort((a, b) => compareText(a.text, b.text))
    .map(({ parts }) => parts)
}

const words = 8
/** Additions that a lane of 32 bits takes before its carry must move on: 2^53 / 2^32, with room. */
const carryEvery = 1_000_000

/** Adds SHA-256 values modulo 2^256, in eight lanes of 32 bits: big integers would cost more than the hashing. */
export class ContentSum {
  readonly #lanes: number[] = Array.from<number>({ length: words }).fill(0)
  #pending = 0

  add(line: string): void {
    const digest = hash('sha256', line, 'buffer')
    for (let i = 0; i < words; i++) (this.#lanes[i] as number) += digest.readUInt32BE(4 * i)
    if (++this.#pending === carryEvery) this.#carry()
  }

  /** 64 hex digits. */
  hex(): string {
    this.#carry()
    return this.#lanes.map((lane) => lane.toString(16).padStart(8, '0')).join('')
  }

  #carry(): void {
    let carry = 0
    for (let i = words - 1; i >= 0; i--) {
      const sum = (this.#lanes[i] as number) + carry
      this.#lanes[i] = sum % 2 ** 32
      carry = Math.floor(sum / 2 ** 32)
    }
    this.#pending = 0
  }
}
