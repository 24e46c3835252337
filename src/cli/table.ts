/** Text in columns. */
export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
}

/** Lays rows out in columns two spaces apart. Rows wider than `columns` characters are cut in their last column. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], terminal?: number): string {
  const titles = columns.map((column) => column.title)
  const widths = columns.map((_, i) => Math.max(...[titles, ...rows].map((row) => textWidth(row[i] ?? ''))))
  const line = (row: readonly string[]): string => {
    const cells = columns.map(({ align }, i) => pad(row[i] ?? '', widths[i] ?? 0, align ?? 'left'))
    return cut(cells.join('  ').trimEnd(), terminal)
  }
  return [titles, ...rows].map((row) => `${line(row)}\n`).join('')
}

/** Characters that a table of these cells is wide. */
export function tableWidth(rows: readonly (readonly string[])[]): number {
  const count = Math.max(0, ...rows.map((row) => row.length))
  let width = Math.max(0, count - 1) * 2
  for (let i = 0; i < count; i++) width += Math.max(0, ...rows.map((row) => textWidth(row[i] ?? '')))
  return width
}

const segmenter = new Intl.Segmenter()

function textWidth(text: string): number {
  return /^[\u0020-\u007e]*$/.test(text) ? text.length : [...segmenter.segment(text)].length
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const spaces = ' '.repeat(Math.max(0, width - textWidth(text)))
  return align === 'left' ? text + spaces : spaces + text
}

function cut(line: string, terminal: number | undefined): string {
  if (terminal === undefined || textWidth(line) <= terminal) return line
  return `${[...segmenter.segment(line)]
    .slice(0, terminal - 1)
    .map(({ segment }) => segment)
    .join('')}…`
}
