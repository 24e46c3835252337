const intMin = -(2n ** 63n)
const intMax = 2n ** 63n - 1n

/**
 * Reads an integer literal exactly: a float64 where that is exact for every integer of the size (up to 2^53), else a 64-bit
 * int; beyond 64 bits a float64 if the literal is what JavaScript writes for one. `undefined` if neither holds it.
 */
export function integerOf(literal: string): number | bigint | undefined {
  const number = Number(literal)
  if (Number.isSafeInteger(number)) return number
  // No literal that is kept is longer, and reading a long one costs more than its length.
  if (literal.length > 32) return undefined
  const exact = BigInt(literal.startsWith('+') ? literal.slice(1) : literal)
  if (exact >= intMin && exact <= intMax) return exact
  return String(number) === literal ? number : undefined
}

/** How a table writes numbers. Marks are single characters. */
export interface NumberMarks {
  readonly decimal: string
  readonly thousands: readonly string[]
}

/** What a cell holds: `undefined` is no number, `refused` is one that cannot be kept, with the reason. */
export type CellNumber = number | bigint | undefined | { readonly refused: string }

/**
 * Gives the reader of plain numbers: digits, decimal mark, exponent; thousands marks only between groups of three digits.
 * `int` gives every integer literal as bigint, `float` every number as the nearest float64.
 */
export function numberReader(marks: NumberMarks, type?: 'int' | 'float'): (text: string) => CellNumber {
  const decimal = escape(marks.decimal)
  const plain = new RegExp(`^[+-]?(?:\\d+(?:${decimal}\\d*)?|${decimal}\\d+)(?:[eE][+-]?\\d+)?$`)
  const group = marks.thousands.map(escape).join('|')
  const grouped = group === '' ? undefined : new RegExp(`^[+-]?\\d{1,3}(?:(?:${group})\\d{3})+(?:${decimal}\\d*)?$`)
  const groups = new RegExp(group, 'g')
  return (text) => {
    if (plain.test(text)) return read(text)
    if (grouped?.test(text) === true) return read(text.replace(groups, ''))
    if (/^[+-]?(nan|inf|infinity)$/i.test(text))
      return { refused: `${text} is not a value: leave the cell empty, or name it under missing in a profile` }
    return undefined
  }

  function read(text: string): CellNumber {
    const normal = marks.decimal === '.' ? text : text.replace(marks.decimal, '.')
    if (type !== 'float' && /^[+-]?\d+$/.test(normal)) {
      const integer = integerOf(normal)
      if (integer === undefined)
        return { refused: `${text.slice(0, 40)} does not fit 64 bits: give the column the type float in a profile` }
      return type === 'int' ? BigInt(integer) : integer
    }
    const number = Number(normal)
    return Number.isFinite(number) ? number : { refused: `${text.slice(0, 40)} is beyond the largest float64` }
  }
}

/** Writes the shortest text that reads back as the same number: a float64 beyond 2^53 with an exponent, so that it is not taken for an int. */
export function numberText(value: number | bigint): string {
  if (typeof value === 'bigint') return value.toString()
  if (Object.is(value, -0)) return '-0'
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? value.toExponential() : String(value)
}

function escape(mark: string): string {
  return mark.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')
}
