import { z } from 'zod'
import { count, instant, keyId, names, tenantId } from './wire.ts'

export const reviewedKeyBody = z
  .strictObject({
    id: keyId.describe('Id of the key.'),
    name: z.string().describe('Display name of the key.'),
    tenant: tenantId.describe('Id of its tenant.'),
    tenant_name: z.string().describe('Display name of the tenant.'),
    state: z.enum(['active', 'disabled', 'expired']).describe('Only an active key can be exchanged.'),
    contact: z
      .string()
      .nullable()
      .describe("Who is responsible: the key's contact, otherwise its tenant's; null: neither has one."),
    escalation: z
      .string()
      .nullable()
      .describe("Whom to reach when the contact does not answer: the key's, otherwise its tenant's."),
    created_by: z
      .string()
      .nullable()
      .describe('`root`, or the id of the admin token that created the key; null: not known.'),
    created_at: instant.describe('Time of creation.'),
    expires_at: instant.nullable().describe('Time of expiry; null: never.'),
    last_used_at: instant
      .nullable()
      .describe('Time of the last exchange, with a secret or another credential; null: never used.'),
    usable_secrets: count.describe('Number of secrets that can be used. Other credentials are not counted.'),
    tier: z.string().nullable().describe('Effective tier.'),
    scopes: names.describe('Effective scopes.'),
    models: names.describe('Base models that a token may name now.'),
    adapters: names.describe('LoRA adapters that a token may name now.'),
    audiences: names.describe('Audiences that can be requested.'),
  })
  .meta({
    id: 'ReviewedKey',
    description: 'A key with its owner, its last use and what a token would get now.',
    examples: [
      {
        id: 'key_7Hq2kd9XwP3mZt5B',
        name: 'ci',
        tenant: 'acme',
        tenant_name: 'Acme',
        state: 'active',
        contact: 'ml-platform@acme.example',
        escalation: 'on-call@acme.example',
        created_by: 'adm_2Vb6Nc4RtY8wQk3Z',
        created_at: '2026-11-24T09:00:00.000Z',
        expires_at: '2027-11-24T09:00:00.000Z',
        last_used_at: '2026-11-28T17:12:00.000Z',
        usable_secrets: 1,
        tier: 'premium',
        scopes: ['inference'],
        models: ['llama-3-8b'],
        adapters: ['acme-sql'],
        audiences: ['vllm'],
      },
    ],
  })
