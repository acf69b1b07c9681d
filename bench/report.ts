import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const PAGE = fileURLToPath(new URL('../docs/performance.md', import.meta.url))
const FIGURES = fileURLToPath(new URL('../docs/performance/', import.meta.url))

export type Cell = string | number

/** A table for people and for programs. */
export interface Table {
  /** Of the marker in the page, and of the table's files. */
  name: string
  columns: string[]
  rows: Cell[][]
  /** SVG. */
  plot?: string
}

/** 12,345 or 1.23: no more digits than the measurement is precise to. */
export function figure(value: Cell): string {
  if (typeof value === 'string') return value
  return value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)))
}

export function markdown({ columns, rows }: Table): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  const rule = columns.map((_, index) => (typeof rows[0]?.[index] === 'number' ? '---:' : '---'))
  return [line(columns), line(rule), ...rows.map(row => line(row.map(figure)))].join('\n')
}

/** Writes a table between its markers in docs/performance.md, and its CSV and plot; other text of the page is kept. */
export function publish(table: Table, machine: string): void {
  mkdirSync(FIGURES, { recursive: true })
  const plot = table.plot ? `\n\n![${table.name}](performance/${table.name}.svg)` : ''
  const page = between(readFileSync(PAGE, 'utf8'), 'machine', machine)
  writeFileSync(PAGE, between(page, table.name, markdown(table) + plot))
  const csv = [table.columns, ...table.rows].map(row => row.map(quote).join(',')).join('\n')
  writeFileSync(`${FIGURES}${table.name}.csv`, `${csv}\n`)
  if (table.plot) writeFileSync(`${FIGURES}${table.name}.svg`, table.plot)
}

function between(page: string, name: string, content: string): string {
  const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`]
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from < 0 || to < from) throw new Error(`docs/performance.md lacks the markers ${begin} and ${end}`)
  return `${page.slice(0, from + begin.length)}\n${content}\n${page.slice(to)}`
}

/** RFC 4180. */
const quote = (cell: Cell) =>
  /[",\n]/.test(String(cell)) ? `"${String(cell).replaceAll('"', '""')}"` : String(cell)
