import { type Command, Option } from 'commander'
import { systemClock } from '../../system/clock.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { moment, type View } from '../output.ts'
import type { Column } from '../table.ts'
import { parseTime } from '../time-arguments.ts'
import { costOf, type Prices, readPrices, shownCost } from '../usage/prices.ts'
import { usedOfLimits, usedOfLimitsView } from '../usage/usage-of-limits.ts'
import { action, resultVerb } from '../verb.ts'

interface Usage {
  tenant: string | null
  key: string | null
  model: string | null
  reporter: string | null
  start: string
  requests: number
  refused_requests: number
  input_tokens: number
  cached_input_tokens: number
  output_tokens: number
  estimated_requests: number
  adjusted_requests: number
  /** With --prices; null: a model without a price is part of it. */
  cost?: number | null
}

interface Options {
  from?: string
  to?: string
  tenant?: string
  key?: string
  model?: string
  reporter?: string
  label?: string
  groupBy: string
  timeZone?: string
  prices?: string
  limits?: boolean
}

const NAMES = ['tenant', 'key', 'model', 'reporter'] as const
const TIMES = ['hour', 'day', 'month']
const SUMS = [
  'requests',
  'refused_requests',
  'input_tokens',
  'cached_input_tokens',
  'output_tokens',
  'estimated_requests',
  'adjusted_requests',
] as const

export function usageCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(program, 'usage', {
    summary: 'who used what: requests and tokens that gateways reported',
    details:
      'Sums by hours of UTC, of the current month unless --from is set. --prices multiplies tokens by the prices of a CSV ' +
      'file with the columns model,input,cached_input,output: prices for a million tokens, "*" for other models.',
    examples: [
      'mintmark usage',
      'mintmark usage --group-by tenant,month --from 2026-01-01 --time-zone Europe/Berlin',
      'mintmark usage --tenant acme --group-by key,model --prices prices.csv',
      'mintmark usage --limits',
    ],
    quiet: 'print only names',
  })
  for (const [flags, description] of [
    ['--from <time>', 'hours that begin at this time or later, like 7d or 2026-11-01'],
    ['--to <time>', 'hours that begin before this time (default: all until now)'],
    ['--tenant <tenants>', 'only these tenants, separated by commas'],
    ['--key <keys>', 'only these keys'],
    ['--model <models>', 'only these models or adapters'],
    ['--reporter <reporters>', 'only what these gateways reported'],
    ['--label <name=value>', 'only tenants and keys that had this label then'],
    ['--time-zone <name>', 'where days and months begin (default: UTC)'],
    ['--prices <file>', 'add a column with the cost'],
  ] as const)
    command.option(flags, description, flags.endsWith('<time>') ? parseTime('ago') : text => text)
  command.addOption(
    new Option(
      '--group-by <names>',
      'tenant, key, model, reporter, and one of hour, day and month, separated by commas',
    ).default('tenant'),
  )
  command.addOption(
    new Option(
      '--limits',
      'today (UTC) with the limits of a day, by tenant; can be combined with --tenant',
    ).conflicts(['from', 'to', 'key', 'model', 'reporter', 'label', 'timeZone', 'prices']),
  )
  command.action(
    action(environment, async ({ admin, output }) => {
      const options = command.opts<Options>()
      if (options.limits) {
        const only = options.tenant === undefined ? undefined : new Set(options.tenant.split(','))
        return output.list(await usedOfLimits(admin, systemClock.wallMs(), only), usedOfLimitsView)
      }
      const prices = options.prices === undefined ? undefined : await readPrices(options.prices)
      const groups = options.groupBy.split(',')
      const wanted = prices && !groups.includes('model') ? [...groups, 'model'] : groups
      const rows = await admin.list<Usage>('/usage', undefined, filterOf(options, wanted))
      const shown = prices ? folded(rows, groups, prices) : rows
      await output.list(shown, viewOf(shown, groups))
      if (shown.some(({ cost }) => cost === null))
        output.note('A cost is "-" where a model has no price. Add it to the file, or a line for "*".')
    }),
  )
}

function filterOf(options: Options, groups: readonly string[]): Record<string, string> {
  const { from, to, tenant, key, model, reporter, label, timeZone } = options
  const filter = { from, to, tenant, key, model, reporter, label, time_zone: timeZone }
  const given = Object.entries(filter).filter((entry): entry is [string, string] => entry[1] !== undefined)
  if (groups.some(name => name === '')) throw new CliError(EXIT.usage, '--group-by has an empty name.')
  return { ...Object.fromEntries(given), group_by: groups.join(',') }
}

/** Adds the cost to rows that are grouped by model, and sums them where the user did not ask for models. */
function folded(rows: readonly Usage[], groups: readonly string[], prices: Prices): Usage[] {
  const sums = new Map<string, Usage>()
  for (const row of rows) {
    const one = {
      ...row,
      model: groups.includes('model') ? row.model : null,
      cost: costOf(row, prices) ?? null,
    }
    const name = JSON.stringify([one.start, ...NAMES.map(each => one[each])])
    const before = sums.get(name)
    sums.set(name, before ? sum(before, one) : one)
  }
  return [...sums.values()]
}

function sum(a: Usage, b: Usage): Usage {
  const counts = Object.fromEntries(SUMS.map(name => [name, a[name] + b[name]]))
  const cost = a.cost == null || b.cost == null ? null : a.cost + b.cost
  return { ...a, ...counts, cost }
}

const number = (value: number) => value.toLocaleString('en-US')

function viewOf(rows: readonly Usage[], groups: readonly string[]): View<Usage> {
  const named = NAMES.filter(name => groups.includes(name))
  const isTimed = groups.some(group => TIMES.includes(group))
  const columns: Column<Usage>[] = [
    ...(isTimed ? [{ title: 'START', of: (row: Usage) => moment(row.start) }] : []),
    ...named.map(name => ({ title: name.toUpperCase(), of: (row: Usage) => row[name] ?? '-' })),
    { title: 'REQUESTS', of: row => number(row.requests) },
    { title: 'REFUSED', of: row => number(row.refused_requests), optional: true },
    { title: 'INPUT', of: row => number(row.input_tokens) },
    { title: 'CACHED', of: row => number(row.cached_input_tokens), optional: true },
    { title: 'OUTPUT', of: row => number(row.output_tokens) },
    ...(rows.some(({ cost }) => cost !== undefined)
      ? [{ title: 'COST', of: ({ cost }: Usage) => (cost == null ? '-' : shownCost(cost)) }]
      : []),
    { title: 'TOKENS', of: bars(rows), optional: 'longer' },
  ]
  return {
    plural: 'usage',
    id: row => named.map(name => row[name] ?? '-').join(' ') || row.start,
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
