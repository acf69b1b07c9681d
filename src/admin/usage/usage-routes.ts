import { z } from 'zod'
import { Invalid } from '../../errors.ts'
import { csv } from '../../system/csv.ts'
import type { UsageCorrections } from '../../usage/usage-corrections.ts'
import type { UsageRow } from '../../usage/usage-report.ts'
import type { UsageReports } from '../../usage/usage-reports.ts'
import { ok } from '../answer.ts'
import { closedMonthBody, usagePageBody, voidedUsageBody } from '../bodies/usage-body.ts'
import type { Cursors } from '../cursor.ts'
import * as field from '../fields.ts'
import { pageQuery } from '../paging.ts'
import { type AdminRoute, route } from '../route.ts'
import { readPlace, usageFilters, usageQuery, writePlace } from './usage-query.ts'

const LIST = '/usage'
/** Rows of a CSV file. */
const MOST_ROWS = 20_000

const listQuery = pageQuery.extend(usageFilters)
const csvQuery = z.strictObject(usageFilters)

const closing = z.strictObject({
  month: z
    .string('must be text')
    .regex(/^20\d\d-(0[1-9]|1[0-2])$/, 'must be a month like 2026-11')
    .describe('The last month to close, in UTC. Months before it are closed too.'),
})
const voiding = z.strictObject({
  since: field.instant.describe(
    'Takes back the records that were received at this time or later. If an earlier request named an earlier time, that one counts.',
  ),
  reason: field.reason.describe('Reason, for the audit trail.'),
})

interface Usage {
  reports: UsageReports
  corrections: UsageCorrections
  /** Of long positions. */
  cursors: Cursors
  /** Epoch milliseconds. */
  now: () => number
}

/** Hourly totals of usage. A tenant-admin sees its own tenant only. */
export function usageRoutes(services: { usage: Usage }): AdminRoute[] {
  return [...readingRoutes(services), ...correctionRoutes(services)]
}

function readingRoutes(services: { usage: Usage }): AdminRoute[] {
  return [
    route({
      operation: 'getUsage',
      summary: 'Get usage',
      details:
        'Sums of what gateways reported, by the hours of UTC in which requests ended. A report is included as soon as Mintmark has accepted it.',
      answers: { 200: usagePageBody },
      example: { query: { group_by: 'tenant,model,day' } },
      method: 'get',
      path: LIST,
      right: 'usage:read',
      target: 'scoped by the handler',
      query: listQuery,
      handle: async ({ admin, query: { limit, cursor, ...given } }) => {
        const { reports, cursors, now } = services.usage
        const list = { path: LIST, tenant: admin.tenantId, filter: given }
        const place = readPlace(cursors, list, cursor)
        const asked = usageQuery(given, admin, { now: now(), begun: place?.begun })
        const { rows, next } = await reports.read(asked, { limit, after: place?.after ?? null })
        const next_cursor = next && writePlace(cursors, list, asked, next)
        return ok({ data: rows.map(toWire), next_cursor })
      },
    }),
    route({
      operation: 'exportUsage',
      summary: 'Get usage as CSV',
      details: `The rows of \`GET /admin/v1/usage\` in one file, with a header line. Text that begins like a formula (=, +, -, @) gets an apostrophe in front, so that spreadsheets show it as text. More than ${MOST_ROWS} rows are rejected.`,
      answers: { 200: { csv: true } },
      example: { query: { group_by: 'tenant,month' } },
      method: 'get',
      path: `${LIST}.csv`,
      right: 'usage:read',
      target: 'scoped by the handler',
      query: csvQuery,
      handle: async ({ admin, query }) => {
        const { reports, now } = services.usage
        const asked = usageQuery(query, admin, { now: now() })
        const { rows, next } = await reports.read(asked, { limit: MOST_ROWS, after: null })
        if (next)
          throw new Invalid([
            { pointer: '', message: `has more than ${MOST_ROWS} rows: filter or group them` },
          ])
        return { status: 200, csv: csvOf(rows.map(toWire)) }
      },
    }),
  ]
}

function correctionRoutes(services: { usage: Usage }): AdminRoute[] {
  return [
    route({
      operation: 'closeUsageMonth',
      summary: 'Close a month',
      details:
        'The totals of this month and of all before it never change again. A record that arrives later is counted in the hour of its arrival, and also in `adjusted_requests` of that hour. A month closes by itself once its records are too old to be reported. Idempotent.',
      answers: { 200: closedMonthBody },
      conflicts: ['month_not_over'],
      example: { body: { month: '2026-10' } },
      method: 'post',
      path: `${LIST}/close`,
      right: 'usage-reporters:write',
      body: closing,
      handle: async ({ actor, body }) => {
        const { closedBefore } = await services.usage.corrections.closeMonth(actor, body.month)
        return ok({ closed_before: closedBefore })
      },
    }),
    route({
      operation: 'voidUsage',
      summary: 'Void the usage of a reporter',
      details:
        'Removes from the totals what a deleted reporter sent at `since` or later, for example after its secret was stolen. Mintmark keeps single records for `usage_dedup_seconds`. From hours whose records are still stored, it removes only the records that arrived at `since` or later. From hours whose records are not stored any more, it removes everything of this reporter, beginning with the hour of `since`. The amounts of a closed month are subtracted from the current hour. A request that is sent more than `usage_dedup_seconds` after `since` may remove the whole hour of `since`, also if an earlier request removed only a part of it. So if a request fails, repeat it before that time.',
      answers: { 200: voidedUsageBody },
      conflicts: ['usage_reporter_active'],
      example: { body: { since: '2026-11-24T09:00:00Z', reason: 'stolen' } },
      method: 'post',
      path: '/usage-reporters/:id/void',
      right: 'usage-reporters:write',
      exists: params => services.usage.corrections.reporterExists(params.id ?? ''),
      body: voiding,
      handle: async ({ actor, params, body }) => {
        const removed = await services.usage.corrections.void(actor, params.id ?? '', body)
        return ok({
          requests: removed.requests,
          input_tokens: removed.inputTokens,
          output_tokens: removed.outputTokens,
        })
      },
    }),
  ]
}

const toWire = (row: UsageRow) => ({
  tenant: row.tenant || null,
  key: row.key || null,
  model: row.model || null,
  reporter: row.reporter || null,
  label: row.label || null,
  start: row.start,
  requests: row.requests,
  refused_requests: row.refusedRequests,
  input_tokens: row.inputTokens,
  cached_input_tokens: row.cachedInputTokens,
  output_tokens: row.outputTokens,
  estimated_requests: row.estimatedRequests,
  adjusted_requests: row.adjustedRequests,
})

function csvOf(rows: readonly ReturnType<typeof toWire>[]): string {
  const names = Object.keys(toWire(NOTHING)) as (keyof ReturnType<typeof toWire>)[]
  return csv(
    names,
    rows.map(row =>
      names.map(name => (row[name] instanceof Date ? row[name].toISOString() : (row[name] ?? ''))),
    ),
  )
}

const NOTHING: UsageRow = {
  start: new Date(0),
  tenant: '',
  key: '',
  model: '',
  reporter: '',
  label: '',
  requests: 0,
  refusedRequests: 0,
  estimatedRequests: 0,
  adjustedRequests: 0,
  inputTokens: 0,
  cachedInputTokens: 0,
  outputTokens: 0,
}
