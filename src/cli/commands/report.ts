import type { Command } from 'commander'
import { systemClock } from '../../system/clock.ts'
import { csv } from '../../system/csv.ts'
import { parseWholeNumber } from '../field-options.ts'
import { markdownReport } from '../report/markdown.ts'
import { FIELDS, REVIEW_VIEW, type ReviewedKey, textOf } from '../report/reviewed-key.ts'
import { readAdminSettings } from '../settings.ts'
import { streams } from '../streams.ts'
import { action, listVerb, noun } from '../verb.ts'
import { tenantOfCaller } from './context/tenant-of-caller.ts'

const DAY_MS = 86_400_000

/** A report about keys: its title, and the filter that it adds. */
interface Report {
  title: string
  /** `days`: of the option; undefined: it has none. */
  about: (days: number) => string
  filter: (days: number, now: number) => Record<string, string>
}

const instant = (ms: number) => new Date(ms).toISOString()

/** Reports about keys for their owners and for auditors. */
export function reportCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const report = noun(program, 'report', {
    summary: 'access review, expiring keys and unused keys, as tables or files',
    examples: [
      'mintmark report access-review --markdown > access-review-2026-11-29.md',
      'mintmark report unused-keys --days 180 --csv > unused.csv',
    ],
  })
  const review = reportVerb(report, 'access-review', {
    summary: 'list keys with their owner, last use, rights and creator',
    details:
      'Keys that are not revoked, newest first. The Markdown file is dated, and has a column to answer in.',
    examples: ['mintmark report access-review', 'mintmark report access-review --tenant acme --markdown'],
  })
  run(review, environment, {
    title: 'Access review',
    about: () => 'Keys that are not revoked.',
    filter: () => ({}),
  })
  const expiring = reportVerb(report, 'expiring-keys', {
    summary: 'list keys that expire soon, with their owner and last use',
    examples: ['mintmark report expiring-keys', 'mintmark report expiring-keys --days 7 --csv'],
  }).option('--days <n>', 'keys that expire within this many days', parseWholeNumber, 30)
  run(expiring, environment, {
    title: 'Expiring keys',
    about: days => `Keys that are not revoked and expire within ${days} days, or have expired.`,
    filter: (days, now) => ({ expires_before: instant(now + days * DAY_MS) }),
  })
  const unused = reportVerb(report, 'unused-keys', {
    summary: 'list keys that were not used for a time, with their owner',
    details: 'Keys that were created before that time and not used since, or never.',
    examples: ['mintmark report unused-keys', 'mintmark report unused-keys --days 30 --tenant acme'],
  }).option('--days <n>', 'keys that were not used in this many days', parseWholeNumber, 90)
  run(unused, environment, {
    title: 'Unused keys',
    about: days => `Keys that are not revoked and were not used in the last ${days} days.`,
    filter: (days, now) => ({ unused_since: instant(now - days * DAY_MS) }),
  })
}

function reportVerb(parent: Command, usage: string, help: Parameters<typeof listVerb>[2]): Command {
  return listVerb(parent, usage, help)
    .option('--tenant <tenant>', 'only keys of this tenant')
    .option('--csv', 'print a CSV file with all fields')
    .option('--markdown', 'print a dated report as a Markdown file')
}

interface Options {
  tenant?: string
  days?: number
  csv?: boolean
  markdown?: boolean
  limit?: number
}

function run(command: Command, environment: NodeJS.ProcessEnv, report: Report): void {
  command.action(
    action(environment, async ({ admin, output }) => {
      const { tenant, days = 0, limit, csv: asCsv, markdown } = command.opts<Options>()
      const now = systemClock.wallMs()
      const filter = { ...report.filter(days, now), ...(tenant !== undefined && { tenant }) }
      const keys = await admin.list<ReviewedKey>('/access-review', limit, filter)
      if (asCsv)
        await write(
          csv(
            FIELDS,
            keys.map(key => FIELDS.map(field => textOf(key, field))),
          ),
        )
      else if (markdown) {
        const only = tenant ?? (await tenantOfCaller(admin))
        const bounds = [
          ...(only === undefined ? [] : [`Tenant: ${only}.`]),
          ...(limit === undefined ? [] : [`At most ${limit} keys.`]),
        ]
        const about = [report.about(days), ...bounds].join(' ')
        const service = readAdminSettings(environment).url
        await write(markdownReport(keys, { title: report.title, about, service, now }))
      } else await output.list(keys, REVIEW_VIEW)
    }),
  )
}

function write(text: string): Promise<void> {
  return new Promise(resolve => streams().stdout.write(text, () => resolve()))
}
