import { z } from 'zod'
import type { ApiKey } from '../api-keys/api-key.ts'
import type { ApiKeys } from '../api-keys/api-keys.ts'
import type { KeyFilter } from '../api-keys/key-filter.ts'
import { ok } from './answer.ts'
import { inspectedBody, usageBody } from './bodies/key-body.ts'
import { whole } from './bodies/wire.ts'
import * as field from './fields.ts'
import { withoutUndefined } from './fields.ts'
import { pageQuery } from './paging.ts'
import { type AdminRoute, route, type Target } from './route.ts'
import { shownAs } from './route-docs.ts'

/** Queries about keys: which key a string is, how much a key was used, and list filters. */

export const tenantKeyQuery = pageQuery.extend({
  label: field.labelFilter
    .optional()
    .describe('Only keys with this label: `name=value`, or `name` for any value.'),
  created_by: field.creator
    .optional()
    .describe('Only keys created by this administrator: `root`, or the id of an admin token.'),
  expires_before: field.instant.optional().describe('Only keys that expire before this time.'),
  imported: z
    .enum(['any', 'lookup'], 'must be "any" or "lookup"')
    .optional()
    .describe(
      'Only keys with an imported secret that can still be used. `any`: every such key. `lookup`: only those with a secret that needs no `client_id`.',
    ),
  pepper: field.pepperId
    .optional()
    .describe(
      'Only keys that still depend on this pepper: neither revoked nor expired, with a usable secret that is stored under this pepper. The ids of such peppers are in `peppers.left_on_others` of the installation.',
    ),
  unused_since: field.instant
    .optional()
    .describe('Only keys that were created before this time and not exchanged since.'),
})
export const keyQuery = tenantKeyQuery.extend({
  tenant: field.tenantId.optional().describe('Only keys of this tenant.'),
})

export function keyFilter(query: z.output<typeof keyQuery>, tenantId: string | undefined): KeyFilter {
  const {
    label,
    created_by: creator,
    expires_before: expiresBefore,
    unused_since: unusedSince,
    imported,
    pepper,
  } = query
  return withoutUndefined({
    tenantId,
    label,
    createdBy: creator === undefined ? undefined : [creator],
    expiresBefore,
    unusedSince,
    imported,
    pepper,
  })
}

const inspection = z.strictObject({
  key: z
    .string('must be text')
    .max(1000, 'must be at most 1000 characters')
    .describe('String to identify, such as an API key found in a log. Mintmark does not store or log it.'),
})
const period = z.strictObject({
  days: z
    .string()
    .regex(/^([1-9]\d?|[1-3]\d\d|400)$/, 'must be a whole number from 1 to 400')
    .transform(Number)
    .default(30)
    .describe('Number of days, today included.')
    .register(shownAs, { schema: { type: 'integer', minimum: 1, maximum: 400, default: 30 } }),
})

export function keyQueries(
  keys: ApiKeys,
  target: Target,
  one: (key: ApiKey) => Promise<object>,
): AdminRoute[] {
  return [
    route({
      operation: 'inspectKey',
      summary: 'Identify a key',
      details:
        'Returns the key that has the given secret, in any state. This request is not recorded as a use of the key.',
      answers: { 200: inspectedBody },
      example: { body: { key: 'mmk_7Hq2kd9XwP3mZt5B_0000000000000000000000000000000000000000000000000' } },
      method: 'post',
      path: '/keys/inspect',
      right: 'keys:read',
      target: 'scoped by the handler',
      body: inspection,
      handle: async ({ admin, body }) => {
        const { wellFormed, found } = await keys.inspect(body.key.trim())
        const visible = found && (admin.tenantId === null || found.key.tenantId === admin.tenantId)
        const key = visible ? await one(found.key) : null
        return ok({ well_formed: wellFormed, key, secret_id: visible ? found.secretId : null })
      },
    }),
    route({
      operation: 'getKeyExchanges',
      summary: 'Get daily exchanges of a key',
      details:
        'Number of successful and of rejected exchanges on each day. The numbers are updated every few seconds.',
      answers: { 200: whole(usageBody) },
      example: { query: { days: '7' } },
      method: 'get',
      path: '/keys/:id/exchanges',
      right: 'keys:read',
      target,
      query: period,
      handle: async ({ params, query }) => {
        const data = await keys.usage(params.id ?? '', query.days)
        return ok({ data, next_cursor: null })
      },
    }),
  ]
}
