import { type Cost, costOf, type Prices } from './prices.ts'

/** A row of `GET /admin/v1/usage`. */
export interface Usage {
  tenant: string | null
  key: string | null
  model: string | null
  reporter: string | null
  label: string | null
  start: string
  requests: number
  refused_requests: number
  input_tokens: number
  cached_input_tokens: number
  output_tokens: number
  estimated_requests: number
  adjusted_requests: number
  /** With --prices; null: a model without a price is part of it. */
  cost?: Cost | null
}

const NAMES = ['tenant', 'key', 'model', 'reporter', 'label'] as const
export const SUMS = [
  'requests',
  'refused_requests',
  'input_tokens',
  'cached_input_tokens',
  'output_tokens',
  'estimated_requests',
  'adjusted_requests',
] as const
const TIMES = ['hour', 'day', 'month'] as const

/** What rows are grouped by: `--group-by` in parts. */
export interface Grouping {
  names: readonly (typeof NAMES)[number][]
  /** The group of time. */
  unit: (typeof TIMES)[number] | undefined
  /** Of the group `label:team`: `team`. */
  labelName: string | undefined
}

export function groupingOf(groups: readonly string[]): Grouping {
  const label = groups.find(group => group.startsWith('label:'))
  return {
    names: NAMES.filter(name => (name === 'label' ? label !== undefined : groups.includes(name))),
    unit: TIMES.find(unit => groups.includes(unit)),
    labelName: label?.slice('label:'.length),
  }
}

/** Adds the cost to rows that are grouped by model, and sums them where the user did not ask for models. */
export function withCosts(rows: readonly Usage[], { names }: Grouping, prices: Prices): Usage[] {
  const sums = new Map<string, { row: Usage; cost: Cost | undefined }>()
  for (const each of rows) {
    const row = { ...each, model: names.includes('model') ? each.model : null }
    const cost = costOf(each, prices)
    const place = JSON.stringify([row.start, ...NAMES.map(name => row[name])])
    const before = sums.get(place)
    if (!before) sums.set(place, { row, cost })
    else {
      before.row = sum(before.row, row)
      before.cost = before.cost === undefined || cost === undefined ? undefined : before.cost.plus(cost)
    }
  }
  return [...sums.values()].map(({ row, cost }) => ({ ...row, cost: cost ?? null })).sort(byPlace)
}

/** The order of the service, where models come before reporters and labels. */
function byPlace(a: Usage, b: Usage): number {
  for (const name of ['start', ...NAMES] as const) {
    const [one, other] = [Buffer.from(a[name] ?? ''), Buffer.from(b[name] ?? '')]
    const order = one.compare(other)
    if (order !== 0) return order
  }
  return 0
}

const sum = (a: Usage, b: Usage): Usage => ({
  ...a,
  ...Object.fromEntries(SUMS.map(name => [name, a[name] + b[name]])),
})
