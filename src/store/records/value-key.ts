import { typeOf, type Quality, type Value } from '../../model/index.ts'

/** Gives the same text for the same values (`sameValue`) and different texts for all others. */
export function valueKey(value: Value): string {
  switch (typeof value) {
    case 'number':
      // An integral float is the same value as the integer; BigInt gives its exact digits, and 0 for −0.
      return Number.isSafeInteger(value) ? `n${value}` : Number.isInteger(value) ? `n${BigInt(value)}` : `f${value}`
    case 'bigint':
      return `n${value}`
    case 'boolean':
      return value ? 'b1' : 'b0'
    case 'string':
      return `s${value}`
  }
}

/** Key of a value with its quality: what makes two statements one thing. */
export function statementKey(value: Value, quality: Quality): string {
  return `${quality}|${valueKey(value)}`
}

/** Writes a value exactly: shortest decimal that reads back as the same float64 (ECMAScript), digits, `true`, or the text; `-0` for negative zero. */
export function valueText(value: Value): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

/** Type and text: distinguishes every two values that are not identical. */
export function exactKey(value: Value): string {
  return `${typeOf(value)}|${valueText(value)}`
}

const qualityRank: Readonly<Record<Quality, number>> = { good: 0, uncertain: 1, bad: 2 }

/** Best first. */
export function compareQuality(a: Quality, b: Quality): number {
  return qualityRank[a] - qualityRank[b]
}

/** Order by UTF-16 code units. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
