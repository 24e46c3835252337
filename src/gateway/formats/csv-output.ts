import { compareValues, formatTime, qualities, sameValue, type Quality, type Value } from '../../model/index.ts'
import type { FieldView, RecordView } from '../../store/index.ts'
import { formatLimits } from './limits.ts'
import { numberText } from './numbers.ts'

/** Columns of the CSV that queries print. See docs/csv.md. */
export const recordColumns = ['sensor', 'time', 'field', 'value', 'unit', 'quality', 'conflict'] as const

/**
 * Writes records as CSV (RFC 4180, lines end with LF): a line for each field, in a conflict one for each value that is left.
 * Nothing of it depends on the node that prints it or on node ids, so nodes with the same documents print the same bytes.
 */
export async function* formatRecordsCsv(records: AsyncIterable<RecordView>): AsyncIterable<string> {
  let text = `${recordColumns.join(',')}\n`
  for await (const { sensor, time, fields } of records) {
    const start = `${sensor},${formatTime(time)},`
    for (const view of fields)
      for (const line of linesOf(view)) text += `${start}${view.field},${line},${view.conflict ?? ''}\n`
    if (text.length >= formatLimits.outputChars) {
      yield text
      text = ''
    }
  }
  if (text !== '') yield text
}

/** `undefined` as value: removed. */
interface Shown {
  readonly value: Value | undefined
  readonly quality: Quality
  readonly unit?: string | undefined
}

function linesOf(view: FieldView): string[] {
  if (view.conflict !== undefined) return rivals(view).map(lineOf)
  if (view.shown !== undefined) return [lineOf(view.shown)]
  return view.removed ? [lineOf({ value: undefined, quality: 'good' })] : []
}

function lineOf({ value, unit, quality }: Shown): string {
  const shown = value === undefined ? '' : valueText(value)
  return `${shown},${quote(unit ?? '')},${value === undefined ? 'removed' : quality}`
}

/** The distinct things left in a conflict: readings that no amendment covers, and amendments. Values first, smallest first. */
function rivals(view: FieldView): Shown[] {
  const all: Shown[] = view.readings.filter((reading) => !reading.covered)
  for (const { removed, value, quality = 'good' } of view.amendments)
    if (removed === true || value !== undefined)
      all.push({ value: removed === true ? undefined : value, quality, unit: unitOf(view) })
  all.sort(compareShown)
  return all.filter((one, i) => i === 0 || !sameShown(one, all[i - 1] as Shown))
}

/** An amendment has no unit of its own: it corrects a value in the unit that the readings have. */
function unitOf(view: FieldView): string | undefined {
  return view.shown?.unit ?? view.readings.find((reading) => reading.unit !== undefined)?.unit
}

function compareShown(a: Shown, b: Shown): number {
  if (a.value === undefined || b.value === undefined)
    return Number(a.value === undefined) - Number(b.value === undefined)
  return (
    // Equal numbers must stand together whatever their types, so that one of them can be left out.
    (sameValue(a.value, b.value) ? 0 : compareValues(a.value, b.value)) ||
    qualities.indexOf(a.quality) - qualities.indexOf(b.quality) ||
    compareValues(a.value, b.value)
  )
}

function sameShown(a: Shown, b: Shown): boolean {
  if (a.value === undefined || b.value === undefined) return a.value === b.value
  return sameValue(a.value, b.value) && a.quality === b.quality
}

function valueText(value: Value): string {
  if (typeof value === 'string') return value === '' ? '""' : quote(value)
  return typeof value === 'boolean' ? String(value) : numberText(value)
}

function quote(text: string): string {
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text
}
