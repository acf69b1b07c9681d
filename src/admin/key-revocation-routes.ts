import { z } from 'zod'
import type { ApiKey } from '../api-keys/api-key.ts'
import type { KeyFilter } from '../api-keys/key-filter.ts'
import type { KeyRevocations } from '../api-keys/key-revocations.ts'
import type { Admin } from './admin-auth.ts'
import { ok } from './answer.ts'
import { bulkDryRunBody, bulkRevocationBody } from './bodies/key-body.ts'
import * as field from './fields.ts'
import { withoutUndefined } from './fields.ts'
import { ForeignTenant } from './foreign-tenant.ts'
import { type AdminRoute, route } from './route.ts'

const filter = z
  .strictObject(
    {
      tenant: field.tenantId.optional().describe('Only keys of this tenant.'),
      label: field.labelFilter
        .optional()
        .describe('Only keys with this label: `name=value`, or `name` for any value.'),
      created_by: field.creator
        .optional()
        .describe('Only keys created by this administrator: `root`, or the id of an admin token.'),
      created_before: field.instant.optional().describe('Only keys created before this time.'),
      created_after: field.instant.optional().describe('Only keys created after this time.'),
      expires_before: field.instant.optional().describe('Only keys that expire before this time.'),
      pepper: field.pepperId
        .optional()
        .describe(
          'Only keys that still depend on this pepper: neither revoked nor expired, with a usable secret that is stored under this pepper. The ids of such peppers are in `peppers.left_on_others` of the installation.',
        ),
      unused_since: field.instant
        .optional()
        .describe('Only keys that were created before this time and not exchanged since.'),
    },
    'must be an object',
  )
  .refine(given => Object.values(given).some(value => value !== undefined), {
    message:
      'must name at least one of tenant, label, created_by, created_before, created_after, expires_before, pepper, unused_since',
  })

const bulkRevocation = z.strictObject({
  filter: filter.describe(
    'Which keys to revoke: those that meet all conditions. At least one condition is required.',
  ),
  reason: field.reason.nullable().default(null).describe('Reason, for the audit trail.'),
  dry_run: field.flag.default(false).describe('Only list the keys that would be revoked.'),
})

/** Revokes all keys that match a filter, a few hundred per call. */
export function keyRevocationRoutes(revocations: KeyRevocations): AdminRoute[] {
  return [
    route({
      operation: 'revokeKeys',
      summary: 'Revoke keys matching a filter',
      details:
        'Each request revokes a few hundred keys. Repeat the request, with another `Idempotency-Key`, until `left` is 0. With `dry_run` keys are only listed.',
      answers: { 200: z.union([bulkRevocationBody, bulkDryRunBody]) },
      notFound: true,
      example: { body: { filter: { tenant: 'acme', label: 'team=ml' }, dry_run: true } },
      method: 'post',
      path: '/keys/revoke',
      right: 'keys:write',
      target: 'scoped by the handler',
      body: bulkRevocation,
      handle: async ({ actor, admin, body: { filter: given, reason, dry_run } }) => {
        const wanted = within(admin, given)
        if (dry_run) {
          const { keys, left } = await revocations.rehearse(wanted)
          return ok({ dry_run, would_revoke: left, keys: keys.map(nameOf) })
        }
        const { keys, left } = await revocations.revoke(actor, wanted, reason)
        return ok({ dry_run, revoked: keys.length, left, keys: keys.map(nameOf) })
      },
    }),
  ]
}

/** @throws {ForeignTenant} for another tenant, with the message for one that does not exist. */
function within(admin: Admin, given: z.output<typeof filter>): KeyFilter {
  if (admin.tenantId !== null && given.tenant !== undefined && given.tenant !== admin.tenantId)
    throw new ForeignTenant('tenant', given.tenant)
  return withoutUndefined({
    tenantId: admin.tenantId ?? given.tenant,
    label: given.label,
    createdBy: given.created_by === undefined ? undefined : [given.created_by],
    createdBefore: given.created_before,
    createdAfter: given.created_after,
    expiresBefore: given.expires_before,
    unusedSince: given.unused_since,
    pepper: given.pepper,
  })
}

const nameOf = ({ id, tenantId, name }: ApiKey) => ({ id, tenant: tenantId, name })
