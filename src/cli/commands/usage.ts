import { type Command, Option } from 'commander'
import { systemClock } from '../../system/clock.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { printNotice } from '../output.ts'
import { streams } from '../streams.ts'
import { monthIn, parseDayOrTime, parseMonth, parseTimeZone, timeIn } from '../usage/local-time.ts'
import { readPrices } from '../usage/prices.ts'
import { usedOfLimits, usedOfLimitsView } from '../usage/usage-of-limits.ts'
import { groupingOf, type Usage, withCosts } from '../usage/usage-row.ts'
import { usageCsv, usageView } from '../usage/usage-view.ts'
import { action, resultVerb } from '../verb.ts'

interface Options {
  from?: string
  to?: string
  month?: string
  tenant?: string
  key?: string
  model?: string
  reporter?: string
  label?: string
  groupBy: string
  timeZone?: string
  prices?: string
  csv?: boolean
  limits?: boolean
}

const WITHOUT_PRICE =
  'A model without a price has no cost, and no sum. Add it to the file, or a line for "*".'

export function usageCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const command = withOptions(
    resultVerb(program, 'usage', {
      summary: 'who used what: requests and tokens that gateways reported',
      details:
        'Sums by hours of UTC, of the current month unless --month or --from is set. --prices multiplies tokens by the prices of a CSV ' +
        'file with the columns model,input,cached_input,output: prices for a million tokens, "*" for other models.',
      examples: [
        'mintmark usage',
        'mintmark usage --month 2026-10 --time-zone Europe/Berlin --group-by label:team,model',
        'mintmark usage --month 2026-10 --group-by tenant,model --prices prices.csv --csv > october.csv',
        'mintmark usage --tenant acme --group-by key,day --from 7d',
        'mintmark usage --limits',
      ],
      quiet: 'print only names',
    }),
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
      const shownAs = { ...groupingOf(groups), timeZone: options.timeZone ?? 'UTC' }
      const shown = prices ? withCosts(rows, shownAs, prices) : rows
      const lacksPrice = shown.some(({ cost }) => cost === null)
      if (options.csv) {
        const text = usageCsv(shown, shownAs, prices !== undefined)
        await new Promise<void>(resolve => streams().stdout.write(text, () => resolve()))
        if (lacksPrice) printNotice(WITHOUT_PRICE)
        return
      }
      await output.list(shown, usageView(shown, shownAs))
      if (lacksPrice) output.note(WITHOUT_PRICE)
    }),
  )
}

function withOptions(command: Command): Command {
  const month = new Option('--month <month>', 'hours that begin in this month, like 2026-10')
  const csv = new Option('--csv', 'print a CSV file with the columns that are asked for')
  const limits = new Option(
    '--limits',
    'today (UTC) with the limits of a day, by tenant; can be combined with --tenant',
  )
  command
    .option('--from <time>', 'hours that begin at this time or later, like 7d or 2026-11-01', parseDayOrTime)
    .option('--to <time>', 'hours that begin before this time (default: all until now)', parseDayOrTime)
    .addOption(month.argParser(parseMonth).conflicts(['from', 'to']))
  for (const [flags, description] of [
    ['--tenant <tenants>', 'only these tenants, separated by commas'],
    ['--key <keys>', 'only these keys'],
    ['--model <models>', 'only these models or adapters'],
    ['--reporter <reporters>', 'only what these gateways reported'],
    ['--label <name=value>', 'only tenants and keys that had this label then'],
    ['--prices <file>', 'add a column with the cost'],
  ] as const)
    command.option(flags, description)
  return command
    .option('--time-zone <name>', 'where days and months begin (default: UTC)', parseTimeZone)
    .option(
      '--group-by <names>',
      'tenant, key, model, reporter, a label like label:team, and one of hour, day and month, separated by commas',
      'tenant',
    )
    .addOption(csv.conflicts(['output', 'quiet', 'field', 'limits']))
    .addOption(
      limits.conflicts(['from', 'to', 'month', 'key', 'model', 'reporter', 'label', 'timeZone', 'prices']),
    )
}

function filterOf(options: Options, groups: readonly string[]): Record<string, string> {
  const { from, to, month, tenant, key, model, reporter, label, timeZone } = options
  if (groups.some(name => name === '')) throw new CliError(EXIT.usage, '--group-by has an empty name.')
  const zone = timeZone ?? 'UTC'
  const times = month
    ? monthIn(zone, month)
    : { from: from && timeIn(zone, from), to: to && timeIn(zone, to) }
  const filter = { ...times, tenant, key, model, reporter, label, time_zone: timeZone }
  const given = Object.entries(filter).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return { ...Object.fromEntries(given), group_by: groups.join(',') }
}
