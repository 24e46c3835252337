import { sameValue, type Value, type ValueType } from '../../model/index.ts'
import { quoted } from './items.ts'
import { numberReader } from './numbers.ts'
import type { CsvProfile } from './profile.ts'

/** `undefined` is missing. */
export type Cell = Value | undefined | { readonly refused: string }

/** Gives the reader of cells of one type; `undefined` as type is a number or a bool. */
export function cellReader(profile: CsvProfile, type: ValueType | undefined): (cell: string) => Cell {
  const readNumber = numberReader(profile, type === 'int' || type === 'float' ? type : undefined)
  const texts = new Set(profile.missing.filter((mark) => typeof mark === 'string'))
  const numbers = profile.missing.filter((mark) => typeof mark === 'number')
  const expected = type === 'int' ? 'an integer' : 'a number'

  return (cell) => {
    const text = cell.trim()
    if (text === '' || texts.has(text)) return undefined
    if (type === 'string') return cell
    if (type === 'bool') return boolOf(text) ?? { refused: `expected true or false, found ${quoted(text)}` }
    const number = readNumber(text)
    if (number === undefined) {
      const bool = type === undefined ? boolOf(text) : undefined
      return bool ?? { refused: `expected ${expected}, found ${quoted(text)}${hint(text)}` }
    }
    if (typeof number === 'object') return number
    if (numbers.some((mark) => sameValue(mark, number))) return undefined
    if (type === 'int' && typeof number === 'number') return { refused: `expected ${expected}, found ${quoted(text)}` }
    return number
  }

  function hint(text: string): string {
    if (type === undefined && /\p{L}/u.test(text)) return ' (a column of text needs type: string in a profile)'
    return /[.,]/.test(text) ? ` (the decimal mark here is ${quoted(profile.decimal)})` : ''
  }
}

function boolOf(text: string): boolean | undefined {
  return /^true$/i.test(text) ? true : /^false$/i.test(text) ? false : undefined
}
