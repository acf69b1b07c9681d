import { z } from 'zod'
import { count, instant, labels, names, tenantId } from './wire.ts'

export const tenantBody = z
  .strictObject({
    id: tenantId,
    name: z.string(),
    description: z.string(),
    labels,
    state: z.enum(['active', 'suspended']),
    tier: z.string(),
    allowed_tiers: names,
    scopes: names,
    models: names.nullable().describe('null: every registered base model.'),
    adapters: names,
    audiences: names.describe('The first is the default.'),
    token_ttl_seconds: z.int().nullable().describe("null: the policy's."),
    staleness_seconds: z.int().nullable().describe("null: the policy's; 0: each exchange asks Postgres."),
    max_key_lifetime_seconds: z.int().nullable().describe("null: the policy's."),
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
