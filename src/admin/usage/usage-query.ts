import { z } from 'zod'
import { Invalid } from '../../errors.ts'
import { beginningOfMonth, isTimeZone } from '../../system/time-zone.ts'
import { USAGE_GROUPS, type UsageGroup, type UsagePlace, type UsageQuery } from '../../usage/usage-report.ts'
import type { Admin } from '../admin-auth.ts'
import type { Cursors, List } from '../cursor.ts'
import * as field from '../fields.ts'

const MOST_NAMES = 50
const TIME_GROUPS: readonly string[] = ['hour', 'day', 'month']
/** Those that are named as they are. */
const GROUPS: readonly string[] = USAGE_GROUPS.filter(name => name !== 'label')
/** `label:team`, with the name of a label as fields.ts has it. */
const LABEL_GROUP = /^label:([A-Za-z0-9][-A-Za-z0-9._/]{0,62})$/

/** Comma-separated values of one filter. */
const names = (what: string) =>
  z
    .string('must be text')
    .max(3_000, 'must be at most 3000 characters')
    .refine(text => !text.includes('\0') && text.isWellFormed(), 'must not contain a NUL character')
    .transform(text => text.split(','))
    .refine(list => list.length <= MOST_NAMES, `must have at most ${MOST_NAMES} entries`)
    .optional()
    .describe(`Only usage of ${what}. Several are separated by commas.`)

export const usageFilters = {
  from: field.instant
    .optional()
    .describe(
      'Hours that begin at this time or later. Default: the beginning of the current month in `time_zone`.',
    ),
  to: field.instant.optional().describe('Hours that begin before this time. Default: all until now.'),
  tenant: names('these tenants'),
  key: names('these keys'),
  model: names('these models or adapters'),
  reporter: names('these usage reporters'),
  label: field.labelFilter
    .optional()
    .describe(
      'Only usage of a tenant or key that had this label at the time of the usage: `team=ml`, or `team` for any value.',
    ),
  group_by: z
    .string('must be text')
    .max(300, 'must be at most 300 characters')
    .transform(text => (text === '' ? [] : text.split(',')))
    .refine(
      list => list.every(name => GROUPS.includes(name) || LABEL_GROUP.test(name)),
      `must be a comma-separated list of ${GROUPS.join(', ')}, and label: with the name of a label`,
    )
    .refine(
      list => list.filter(name => TIME_GROUPS.includes(name)).length <= 1,
      'must have at most one of hour, day and month',
    )
    .refine(
      list => new Set(list.filter(name => LABEL_GROUP.test(name))).size <= 1,
      'must have at most one label',
    )
    .default([])
    .describe(
      `What to sum by: a comma-separated list of ${GROUPS.join(', ')}, and of a label like \`label:team\`. Default: one row.`,
    ),
  time_zone: z
    .string('must be text')
    .max(64, 'must be at most 64 characters')
    .refine(isTimeZone, 'must be a time zone like Europe/Berlin, or UTC')
    .default('UTC')
    .describe(
      'IANA name of the time zone in which days and months begin. Totals are kept by hours of UTC: an hour belongs to the day or month in which it begins.',
    ),
}
const filters = z.strictObject(usageFilters)

/**
 * The usage that an administrator asks for; a tenant-admin gets that of its tenant only. `begun`: where the first page began, so that
 * a new month in the middle of a list does not begin another one.
 */
export function usageQuery(
  { group_by, time_zone, from, to, ...names }: z.output<typeof filters>,
  { tenantId }: Admin,
  { now, begun }: { now: number; begun?: Date | undefined },
): UsageQuery {
  const begin = from ?? begun ?? new Date(beginningOfMonth(now, time_zone))
  const end = to ?? new Date(Math.max(now, begin.getTime()))
  if (end < begin) throw new Invalid([{ pointer: '/to', message: 'must not be earlier than the beginning' }])
  const tenant = tenantId === null ? names.tenant : (names.tenant ?? [tenantId]).filter(id => id === tenantId)
  const labelName = group_by.map(name => LABEL_GROUP.exec(name)?.[1]).find(name => name !== undefined)
  const groups = new Set(group_by.map(name => name.split(':')[0] as UsageGroup))
  return { ...names, tenant, groups, labelName, from: begin, to: end, timeZone: time_zone }
}

interface Continued {
  /** `from` of the first page. */
  begun: Date
  after: UsagePlace
}

/** Continues the list of the same filter. @throws {Invalid} */
export function readPlace(cursors: Cursors, list: List, cursor: string | undefined): Continued | undefined {
  if (cursor === undefined) return undefined
  const [begun, ...after] = JSON.parse(cursors.read(list, cursor, /^\[.*\]$/)) as [string, ...UsagePlace]
  return { begun: new Date(begun), after }
}

/** The longest cursor: names, and the value of a label, whose characters take six each. */
export const PLACE_BYTES = 1_600

/** In ASCII, as a cursor needs it. */
export const writePlace = (cursors: Cursors, list: List, { from }: UsageQuery, next: UsagePlace): string =>
  cursors.write(
    list,
    JSON.stringify([from.toISOString(), ...next]).replaceAll(
      /[^\x20-\x7e]/g,
      one => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
  )
