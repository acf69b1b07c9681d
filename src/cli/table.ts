import { stripVTControlCharacters } from 'node:util'
import { cutTo, printable, styled, styledState, textWidth } from './terminal-text.ts'

/** Aligned text for people: tables of many objects, records of one. */

export interface Column<T> {
  title: string
  of: (item: T) => string
  /** May be shortened where the terminal is too narrow. Text to copy, such as ids, may not. */
  cut?: boolean
  /** Left out where the terminal is too narrow for all columns; 'longer': only where it is without the other optional ones, too. */
  optional?: true | 'longer'
  state?: boolean
}

const GAP = '  '
const NARROWEST = 8

/** A header line and one for each item. `width` is the terminal's, Infinity without one. */
export function table<T>(items: readonly T[], all: readonly Column<T>[], width: number): string {
  // Titles are bold on a terminal: what makes them so has no width.
  const fits = (text: string) =>
    stripVTControlCharacters(text)
      .split('\n')
      .every(line => textWidth(line) <= width)
  const whole = tableOf(items, all, width)
  if (fits(whole)) return whole
  const most = tableOf(
    items,
    all.filter(({ optional }) => optional !== true),
    width,
  )
  if (fits(most)) return most
  return tableOf(
    items,
    all.filter(({ optional }) => !optional),
    width,
  )
}

function tableOf<T>(items: readonly T[], columns: readonly Column<T>[], width: number): string {
  const rows = items.map(item => columns.map(column => printable(column.of(item))))
  const natural = columns.map((column, index) =>
    Math.max(textWidth(column.title), ...rows.map(row => textWidth(row[index] ?? ''))),
  )
  const widths = fitted(natural, columns, width)
  const line = (cells: readonly string[], style: (cell: string, column: Column<T>) => string) =>
    columns
      .map((column, index) => {
        const text = cutTo(widths[index] ?? 0, cells[index] ?? '')
        return style(index === columns.length - 1 ? text : padded(text, widths[index] ?? 0), column)
      })
      .join(GAP)
  const titles = line(
    columns.map(column => column.title),
    cell => styled('bold', cell),
  )
  const lines = rows.map(row => line(row, (cell, column) => (column.state ? styledState(cell) : cell)))
  return [titles, ...lines].join('\n')
}

/** One line per name and value, with aligned values. */
export function record(entries: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...entries.map(([name]) => textWidth(name)))
  return entries
    .map(([name, value]) => {
      const shown = printable(value)
      return `${styled('bold', padded(name, width))}${GAP}${name === 'state' ? styledState(shown) : shown}`
    })
    .join('\n')
}

/** Shortens the widest columns that may be cut until all fit, or none can be cut further. */
function fitted(natural: readonly number[], columns: readonly Column<never>[], width: number): number[] {
  const widths = [...natural]
  const excess = () => widths.reduce((sum, cells) => sum + cells + GAP.length, -GAP.length) - width
  while (excess() > 0) {
    const widest = Math.max(...widths.filter((_, index) => columns[index]?.cut))
    if (widest <= NARROWEST) break
    widths[widths.findIndex((cells, index) => columns[index]?.cut && cells === widest)] = widest - 1
  }
  return widths
}

const padded = (text: string, width: number) => text + ' '.repeat(Math.max(0, width - textWidth(text)))
