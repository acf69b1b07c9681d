import { z } from 'zod'
import { allLimits } from '../../tenants/limits.ts'
import { TENANT_SETTINGS } from '../../tenants/tenant-settings.ts'
import { answeredFields } from '../setting-fields.ts'
import { REVOKED_BY_REQUEST, tokenRevocationBody } from './token-revocation-body.ts'
import { count, instant, tenantId } from './wire.ts'

const { name, description, labels, ...settings } = answeredFields(TENANT_SETTINGS)

export const tenantBody = z
  .strictObject({
    id: tenantId.describe('Id of the tenant: the `tenant` of its tokens.'),
    name,
    description,
    labels,
    state: z.enum(['active', 'suspended']).describe('Keys of a suspended tenant cannot be exchanged.'),
    ...settings,
    suspended_at: instant.nullable().describe('Time of suspension; null: not suspended.'),
    created_at: instant.describe('Time of creation.'),
    updated_at: instant.describe('Time of the last change.'),
    token_revocation: tokenRevocationBody.optional().describe(REVOKED_BY_REQUEST),
  })
  .meta({
    id: 'Tenant',
    description: 'A tenant. Its lists and limits are upper bounds: a key can only restrict them.',
    examples: [
      {
        id: 'acme',
        name: 'Acme',
        description: '',
        labels: { team: 'ml' },
        state: 'active',
        tier: 'premium',
        allowed_tiers: ['premium', 'batch'],
        scopes: ['inference'],
        models: null,
        adapters: ['acme-sql'],
        audiences: ['vllm'],
        token_ttl_seconds: null,
        staleness_seconds: null,
        max_key_lifetime_seconds: null,
        limits: allLimits({ requests_per_minute: 600, tokens_per_minute: 90_000 }),
        contact: 'ml-platform@acme.example',
        escalation: 'on-call@acme.example',
        suspended_at: null,
        created_at: '2026-11-24T09:00:00.000Z',
        updated_at: '2026-11-24T09:00:00.000Z',
      },
    ],
  })

export const tenantDryRunBody = z
  .strictObject({
    dry_run: z.literal(true).describe('Always true: nothing was deleted.'),
    would_delete: z
      .strictObject({
        tenant: tenantId.describe('Id of the tenant.'),
        keys: count.describe('Number of keys of the tenant.'),
        live_keys: count.describe(
          'Number of live keys of the tenant: keys that are neither expired nor revoked.',
        ),
        admin_tokens: count.describe('Number of admin tokens of the tenant.'),
      })
      .describe('What the request would delete.'),
  })
  .meta({ id: 'TenantDeletionDryRun', description: 'Result of a dry run of a deletion.' })
