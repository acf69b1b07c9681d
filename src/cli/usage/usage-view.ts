import { csv } from '../../system/csv.ts'
import type { View } from '../output.ts'
import type { Column } from '../table.ts'
import { localStarts } from './local-time.ts'
import { shownCost } from './prices.ts'
import { type Grouping, SUMS, type Usage } from './usage-row.ts'

/** How rows are shown: where days and months begin, and what they are grouped by. */
interface Shown extends Grouping {
  timeZone: string
}

const startIn = (unit: NonNullable<Grouping['unit']>, timeZone: string) => {
  const shown = localStarts(unit, timeZone)
  return ({ start }: Usage) => shown(start)
}

const number = (value: number) => value.toLocaleString('en-US')

export function usageView(
  rows: readonly Usage[],
  { names, unit, labelName = '', timeZone }: Shown,
): View<Usage> {
  const has = (name: keyof Usage) => rows.some(row => row[name] !== undefined && row[name] !== 0)
  const columns: Column<Usage>[] = [
    ...(unit ? [{ title: 'START', of: startIn(unit, timeZone) }] : []),
    ...names.map(name => ({
      title: (name === 'label' ? labelName : name).toUpperCase(),
      of: (row: Usage) => row[name] ?? '-',
    })),
    { title: 'REQUESTS', of: row => number(row.requests) },
    { title: 'REFUSED', of: row => number(row.refused_requests), optional: true },
    { title: 'INPUT', of: row => number(row.input_tokens) },
    { title: 'CACHED', of: row => number(row.cached_input_tokens), optional: true },
    { title: 'OUTPUT', of: row => number(row.output_tokens) },
    ...(['estimated_requests', 'adjusted_requests'] as const).filter(has).map(name => ({
      title: name.replace('_requests', '').toUpperCase(),
      of: (row: Usage) => number(row[name]),
      optional: true as const,
    })),
    ...(rows.some(({ cost }) => cost !== undefined)
      ? [{ title: 'COST', of: ({ cost }: Usage) => (cost == null ? '-' : shownCost(cost)) }]
      : []),
    { title: 'TOKENS', of: bars(rows), optional: 'longer' },
  ]
  return {
    plural: 'usage',
    id: row => names.map(name => row[name] ?? '-').join(' ') || row.start,
    columns,
  }
}

const BAR_CELLS = 20
const tokensOf = (row: Usage) => Math.max(0, row.input_tokens + row.output_tokens)

/** A bar for each row, relative to the largest. */
function bars(rows: readonly Usage[]): (row: Usage) => string {
  const most = Math.max(1, ...rows.map(tokensOf))
  return row => '█'.repeat(Math.ceil((tokensOf(row) / most) * BAR_CELLS))
}

/** A file for spreadsheets, with the columns that were asked for. An empty cell is a name or cost that is not known. */
export function usageCsv(
  rows: readonly Usage[],
  { names, unit, labelName = '', timeZone }: Shown,
  hasCost: boolean,
): string {
  const start = unit && startIn(unit, timeZone)
  const header = [
    ...(unit ? [unit] : []),
    ...names.map(name => (name === 'label' ? `label:${labelName}` : name)),
    ...SUMS,
    ...(hasCost ? ['cost'] : []),
  ]
  return csv(
    header,
    rows.map(row => [
      ...(start ? [start(row)] : []),
      ...names.map(name => row[name] ?? ''),
      ...SUMS.map(name => row[name]),
      ...(hasCost ? [row.cost ?? ''] : []),
    ]),
  )
}
