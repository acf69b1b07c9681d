/** A number that may have more digits than JavaScript's. */
interface Exact {
  toString(): string
  toJSON(): number
}

type Cell = string | number | Exact

/** RFC 4180, with a header line. Numbers are written as they are. */
export function csv(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return [header, ...rows].map(row => `${row.map(cell).join(',')}\r\n`).join('')
}

/** Spreadsheets run a cell that begins like a formula, and names are chosen by others: an apostrophe makes it text. */
function cell(value: Cell): string {
  if (typeof value !== 'string') return String(value)
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
