/** One thing that was measured, and what it must be. Without a bar it is there to be read. */
export interface Figure {
  name: string
  value: string
  bar: string
  missed: boolean
}

interface Bar {
  atMost?: number
  atLeast?: number
  exactly?: number
}

/** What one experiment measured. */
export class Report {
  readonly figures: Figure[] = []
  readonly #allowance: number

  /** `allowance`: by how much the bars of percentiles are longer. */
  constructor(options: { allowance: number }) {
    this.#allowance = options.allowance
  }

  /** A percentile of what exchanges took, which says as much of the machine as of us. */
  checkPercentile(name: string, ms: number, barMs: number): void {
    this.check(name, ms, { atMost: barMs * this.#allowance }, 'ms')
  }

  /** A number that is held against a bar. `unit` is written after it: `ms`, `s`. */
  check(name: string, value: number, bar: Bar, unit = ''): void {
    const missed =
      Number.isNaN(value) ||
      (bar.atMost !== undefined && value > bar.atMost) ||
      (bar.atLeast !== undefined && value < bar.atLeast) ||
      (bar.exactly !== undefined && value !== bar.exactly)
    this.figures.push({ name, value: text(value, unit), bar: barText(bar, unit), missed })
  }

  /** Something that must be so. */
  holds(name: string, holds: boolean, said = holds ? 'yes' : 'no'): void {
    this.figures.push({ name, value: said, bar: 'yes', missed: !holds })
  }

  /** Something to read, without a bar. */
  note(name: string, value: number | string, unit = ''): void {
    this.figures.push({
      name,
      value: typeof value === 'number' ? text(value, unit) : value,
      bar: '',
      missed: false,
    })
  }
}

function barText({ atMost, atLeast, exactly }: Bar, unit: string): string {
  if (exactly !== undefined) return text(exactly, unit)
  const parts = [
    atLeast !== undefined && `≥ ${text(atLeast, unit)}`,
    atMost !== undefined && `≤ ${text(atMost, unit)}`,
  ]
  return parts.filter(Boolean).join(', ')
}

function text(value: number, unit: string): string {
  const digits = Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  const number = value.toLocaleString('en-US', { maximumFractionDigits: digits })
  return unit ? `${number} ${unit}` : number
}

/** For the terminal: one line for each figure. */
export function asLines(figures: readonly Figure[]): string {
  const widths = {
    name: widest(figures.map(({ name }) => name)),
    value: widest(figures.map(({ value }) => value)),
  }
  return figures
    .map(({ name, value, bar, missed }) => {
      const mark = missed ? 'MISSED' : bar ? 'ok' : ''
      return `  ${mark.padEnd(6)} ${name.padEnd(widths.name)}  ${value.padStart(widths.value)}${bar && `   bar: ${bar}`}`
    })
    .join('\n')
}

/** For docs/faults.md: rows of a table with the columns experiment, figure, measured, bar. */
export function asRows(title: string, figures: readonly Figure[]): string {
  return figures
    .map(({ name, value, bar, missed }, index) => {
      const measured = missed ? `**${value}**` : value
      return `| ${index === 0 ? title : ''} | ${name.replaceAll('|', '\\|')} | ${measured} | ${bar} |`
    })
    .join('\n')
}

const widest = (texts: readonly string[]) => Math.max(0, ...texts.map(({ length }) => length))
