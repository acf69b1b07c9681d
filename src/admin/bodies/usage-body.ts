import { z } from 'zod'
import { count, instant, keyId, reporterId, tenantId } from './wire.ts'

/** May be negative in an hour with corrections of a closed month. */
const sum = z.int()

const usageRowBody = z
  .strictObject({
    tenant: tenantId.nullable().describe('Id of the tenant; null where the rows are not grouped by tenant.'),
    key: keyId
      .nullable()
      .describe('Id of the key; null where the rows are not grouped by key, or for a deleted key.'),
    model: z
      .string()
      .nullable()
      .describe(
        'Model or adapter; null where the rows are not grouped by model, or for a name that is not registered.',
      ),
    reporter: reporterId
      .nullable()
      .describe('Id of the usage reporter; null where the rows are not grouped by reporter.'),
    label: z
      .string()
      .nullable()
      .describe(
        'Value of the label that the tenant or key had at the time of the usage; null where the rows are not grouped by a label, or if neither had the label.',
      ),
    start: instant.describe(
      'Beginning of the hour, day or month; `from` where the rows are not grouped by time.',
    ),
    requests: sum.describe('Number of requests that reached the engine, cancelled ones included.'),
    refused_requests: sum.describe('Number of requests that were rejected or failed.'),
    input_tokens: sum.describe('Number of input tokens, those from a cache included.'),
    cached_input_tokens: sum.describe('Number of input tokens that the engine had in its cache.'),
    output_tokens: sum.describe('Number of output tokens.'),
    estimated_requests: sum.describe(
      'Number of cancelled requests of which the engine gave no count: their tokens are estimated from bytes.',
    ),
    adjusted_requests: sum.describe(
      'Number of requests that belong to a month that was already closed, and are counted in this row instead.',
    ),
  })
  .meta({
    id: 'Usage',
    description: 'Usage of one combination of what the rows are grouped by.',
    examples: [
      {
        tenant: 'acme',
        key: null,
        model: 'llama-3-8b',
        reporter: null,
        label: null,
        start: '2026-11-01T00:00:00.000Z',
        requests: 1200,
        refused_requests: 3,
        input_tokens: 480000,
        cached_input_tokens: 120000,
        output_tokens: 96000,
        estimated_requests: 2,
        adjusted_requests: 0,
      },
    ],
  })

export const usagePageBody = z
  .strictObject({
    data: z
      .array(usageRowBody)
      .describe('Rows of this page, ordered by start, tenant, key, model, reporter and label.'),
    next_cursor: z
      .string()
      .nullable()
      .describe('Value of `cursor` for the next page; null on the last page.'),
  })
  .meta({ id: 'UsagePage', description: 'A page of usage.' })

export const closedMonthBody = z
  .strictObject({ closed_before: instant.describe('Months before this time are closed.') })
  .meta({ id: 'ClosedMonths', description: 'Which months are closed.' })

export const voidedUsageBody = z
  .strictObject({
    requests: count.describe('Number of requests that were taken from the totals.'),
    input_tokens: count.describe('Number of input tokens that were taken from the totals.'),
    output_tokens: count.describe('Number of output tokens that were taken from the totals.'),
  })
  .meta({ id: 'VoidedUsage', description: 'What was taken from the totals.' })
