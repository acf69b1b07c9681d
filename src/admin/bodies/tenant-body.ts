import { z } from 'zod'
import { TENANT_SETTINGS } from '../../tenants/tenant-settings.ts'
import { answeredFields } from '../setting-fields.ts'
import { count, instant, tenantId } from './wire.ts'

const { name, description, labels, ...settings } = answeredFields(TENANT_SETTINGS)

export const tenantBody = z
  .strictObject({
    id: tenantId,
    name,
    description,
    labels,
    state: z.enum(['active', 'suspended']),
    ...settings,
    suspended_at: instant.nullable(),
    created_at: instant,
    updated_at: instant,
  })
  .meta({
    id: 'Tenant',
    description: 'What a tenant may have at most. Its keys only ever narrow it.',
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
        suspended_at: null,
        created_at: '2026-11-24T09:00:00.000Z',
        updated_at: '2026-11-24T09:00:00.000Z',
      },
    ],
  })

export const tenantRehearsalBody = z
  .strictObject({
    dry_run: z.literal(true),
    would_delete: z.strictObject({ tenant: tenantId, keys: count, live_keys: count, admin_tokens: count }),
  })
  .meta({ id: 'TenantDeletionRehearsal' })
