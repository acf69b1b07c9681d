import { z } from 'zod'
import { Invalid } from '../../errors.ts'
import { USAGE_GROUPS, type UsageGroup, type UsagePlace, type UsageQuery } from '../../usage/usage-report.ts'
import type { Admin } from '../admin-auth.ts'
import type { Cursors, List } from '../cursor.ts'
import * as field from '../fields.ts'

const MOST_NAMES = 50
const TIME_GROUPS: readonly UsageGroup[] = ['hour', 'day', 'month']

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
    .describe('Hours that begin at this time or later. Default: the beginning of the current month, in UTC.'),
  to: field.instant.optional().describe('Hours that begin before this time. Default: all until now.'),
  tenant: names('these tenants'),
  key: names('these keys'),
  model: names('these models or adapters'),
  reporter: names('these usage reporters'),
  label: field.labelFilter
    .optional()
    .describe(
      'Only usage of a tenant or key that had this label then, like `team=ml`, or `team` for any value.',
    ),
  group_by: z
    .string('must be text')
    .regex(/^[a-z]*(,[a-z]+)*$/, `must be a comma-separated list of ${USAGE_GROUPS.join(', ')}`)
    .transform(text => (text === '' ? [] : text.split(',')) as UsageGroup[])
    .refine(list => list.every(name => USAGE_GROUPS.includes(name)), `must be of ${USAGE_GROUPS.join(', ')}`)
    .refine(
      list => list.filter(name => TIME_GROUPS.includes(name)).length <= 1,
      'must have at most one of hour, day and month',
    )
    .default([])
    .describe(`What to sum by: a comma-separated list of ${USAGE_GROUPS.join(', ')}. Default: one row.`),
  time_zone: z
    .string('must be text')
    .max(64, 'must be at most 64 characters')
    .refine(isTimeZone, 'must be a time zone like Europe/Berlin')
    .default('UTC')
    .describe(
      'Where days and months begin, as an IANA name. Totals are by hours of UTC: an hour counts where it begins.',
    ),
}
const filters = z.strictObject(usageFilters)

/** The usage that an administrator asks for; a tenant-admin gets that of its tenant only. */
export function usageQuery(
  { group_by, time_zone, from, to, ...names }: z.output<typeof filters>,
  { tenantId }: Admin,
  now: number,
): UsageQuery {
  const month = new Date(now)
  const begin = from ?? new Date(Date.UTC(month.getUTCFullYear(), month.getUTCMonth(), 1))
  const end = to ?? new Date(now)
  if (end < begin) throw new Invalid([{ pointer: '/to', message: 'must not be earlier than the beginning' }])
  const tenant = tenantId === null ? names.tenant : (names.tenant ?? [tenantId]).filter(id => id === tenantId)
  return { ...names, tenant, groups: new Set(group_by), from: begin, to: end, timeZone: time_zone }
}

/** Continues the list of the same filter. @throws {Invalid} */
export function readPlace(cursors: Cursors, list: List, cursor: string | undefined): UsagePlace | null {
  if (cursor === undefined) return null
  return JSON.parse(cursors.read(list, cursor, /^\[.*\]$/)) as UsagePlace
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    // Offsets have the opposite sign in Postgres.
    return /^[A-Za-z]/.test(name)
  } catch {
    return false
  }
}
