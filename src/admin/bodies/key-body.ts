import { z } from 'zod'
import { KEY_SETTINGS } from '../../api-keys/key-settings.ts'
import { answeredFields } from '../setting-fields.ts'
import { count, credential, instant, keyId, names, secretGone, secretId, tenantId } from './wire.ts'

const secret = z
  .strictObject({
    id: secretId,
    state: z.enum(['live', 'ending', 'ended', 'revoked']),
    created_at: instant,
    ends_at: instant.nullable(),
    last_used_at: instant.nullable().describe('Some seconds late.'),
    imported: z
      .strictObject({ client_id: z.string(), scheme: z.enum(['bcrypt', 'sha256']) })
      .nullable()
      .describe('A secret of another system, and the client_id that it goes with.'),
  })
  .meta({
    id: 'KeySecret',
    description: 'One of up to two live secrets of a key, without the secret itself.',
  })

const effective = z
  .strictObject({
    tier: z.string(),
    priority: z.int(),
    scopes: names,
    models: names,
    adapters: names,
    audiences: names,
    token_ttl_seconds: z.int(),
  })
  .meta({
    id: 'EffectiveRights',
    description: 'What an exchange would yield now: the tenant and the key taken together.',
  })

const { name, description, labels, ...settings } = answeredFields(KEY_SETTINGS)

const fields = {
  id: keyId,
  tenant: tenantId,
  name,
  description,
  labels,
  state: z.enum(['active', 'disabled', 'expired', 'revoked']),
  ...settings,
  disabled_at: instant.nullable(),
  revoked_at: instant.nullable(),
  revoked_reason: z.string().nullable(),
  created_at: instant,
  updated_at: instant,
  secrets: z.array(secret).describe('Newest first.'),
  effective: effective.optional(),
}

const example = {
  id: 'key_7Hq2kd9XwP3mZt5B',
  tenant: 'acme',
  name: 'ci',
  description: '',
  labels: { team: 'ml' },
  state: 'active',
  tier: null,
  scopes: ['inference'],
  models: null,
  adapters: null,
  audiences: null,
  token_ttl_seconds: null,
  expires_at: '2027-11-24T09:00:00.000Z',
  disabled_at: null,
  revoked_at: null,
  revoked_reason: null,
  created_at: '2026-11-24T09:00:00.000Z',
  updated_at: '2026-11-24T09:00:00.000Z',
  secrets: [
    {
      id: 'sec_4Rk8Lm2QvT9cXb7N',
      state: 'live',
      created_at: '2026-11-24T09:00:00.000Z',
      ends_at: null,
      last_used_at: null,
      imported: null,
    },
  ],
  effective: {
    tier: 'premium',
    priority: -10,
    scopes: ['inference'],
    models: ['llama-3-8b'],
    adapters: ['acme-sql'],
    audiences: ['vllm'],
    token_ttl_seconds: 300,
  },
} as const

export const keyBody = z.strictObject(fields).meta({
  id: 'Key',
  description: 'An API key: a name for up to two live secrets, and what they may be exchanged for.',
  examples: [example],
})

const keyWithSecret = z.strictObject({ ...fields, secret_id: secretId, secret: credential('mmk') }).meta({
  id: 'KeyWithSecret',
  description: 'The one answer that has the secret in it. It is not kept.',
  examples: [
    {
      ...example,
      secret_id: 'sec_4Rk8Lm2QvT9cXb7N',
      secret: 'mmk_7Hq2kd9XwP3mZt5B_0000000000000000000000000000000000000000000000000',
    },
  ],
})

/** `secret_id` is present as long as the first response is stored. */
const keyWithoutSecret = z.strictObject({ ...fields, secret_id: secretId.optional(), ...secretGone }).meta({
  id: 'KeyWithoutSecret',
  description: 'What a repetition under an Idempotency-Key gets: the secret was told once.',
})

export const issuedKeyBody = z.union([keyWithSecret, keyWithoutSecret])
export const reissuedKeyBody = keyWithoutSecret

export const inspectedBody = z
  .strictObject({
    well_formed: z.boolean().describe('It has the form of a key of ours, checksum included.'),
    key: keyBody.nullable().describe('null: nobody’s, or nothing that you may see.'),
    secret_id: secretId.nullable(),
  })
  .meta({ id: 'InspectedKey' })

export const usageBody = z
  .strictObject({
    day: z.iso.date().describe('UTC.'),
    outcome: z.string().describe('`exchanged`, or why it was refused.'),
    count,
  })
  .meta({ id: 'KeyUsage', examples: [{ day: '2026-11-24', outcome: 'exchanged', count: 1440 }] })

const named = z.array(z.strictObject({ id: keyId, tenant: tenantId, name: z.string() }))

export const bulkRevocationBody = z
  .strictObject({
    dry_run: z.literal(false),
    revoked: count,
    left: count.describe('How many the filter still has.'),
    keys: named,
  })
  .meta({ id: 'BulkRevocation' })

export const bulkRehearsalBody = z
  .strictObject({
    dry_run: z.literal(true),
    would_revoke: count.describe('With as many calls as it takes.'),
    keys: named.describe('The first of them.'),
  })
  .meta({ id: 'BulkRevocationRehearsal' })
