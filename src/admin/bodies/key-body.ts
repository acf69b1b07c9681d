import { z } from 'zod'
import { KEY_SETTINGS } from '../../api-keys/key-settings.ts'
import { allLimits } from '../../tenants/limits.ts'
import * as field from '../fields.ts'
import { answeredFields } from '../setting-fields.ts'
import { REVOKED_BY_REQUEST, tokenRevocationBody } from './token-revocation-body.ts'
import {
  count,
  credential,
  instant,
  keyId,
  namedKeys,
  names,
  secretGone,
  secretId,
  tenantId,
} from './wire.ts'

const creator = z.string().nullable()

const secret = z
  .strictObject({
    id: secretId.describe('Id of the secret. The id cannot be used to authenticate.'),
    state: z
      .enum(['live', 'ending', 'ended', 'revoked'])
      .describe(
        '`live`: can be exchanged until the key ends. `ending`: replaced in a rotation, can be exchanged until `ends_at`. `ended`: its time is over. `revoked`: was revoked.',
      ),
    created_by: creator.describe(
      '`root`, or the id of the admin token that created or rotated the key; null: not known.',
    ),
    created_at: instant.describe('Time of creation.'),
    ends_at: instant
      .nullable()
      .describe('Time from which the secret is rejected; null: when the key expires.'),
    last_used_at: instant
      .nullable()
      .describe('Time of the last exchange with this secret, updated every few seconds; null: never used.'),
    confirm_by: instant
      .nullable()
      .describe(
        'Time by which the new secret of a rotation must be confirmed or exchanged; otherwise it is revoked. null: no confirmation is pending.',
      ),
    imported: z
      .strictObject({
        client_id: z.string().describe('Client id that the client sends with this secret.'),
        scheme: z.enum(['bcrypt', 'sha256']).describe('Hash scheme of the stored secret.'),
        lookup: z.boolean().describe('Whether the secret is accepted without its client id.'),
      })
      .nullable()
      .describe(
        'Origin of a secret that was imported from another system; null for secrets that Mintmark created.',
      ),
  })
  .meta({
    id: 'KeySecret',
    description:
      'A secret of a key, without the secret text. At most two secrets of a key are `live` or `ending`.',
  })

export const effective = z
  .strictObject({
    tier: z.string().describe('Tier.'),
    priority: z.int().describe('Priority of the tier.'),
    scopes: names.describe('Scopes that can be requested.'),
    models: names.describe('Base models.'),
    adapters: names.describe('LoRA adapters.'),
    audiences: names.describe('Audiences that can be requested; the first is the default.'),
    token_ttl_seconds: z.int().describe('Lifetime of a token.'),
    limits: z
      .strictObject({
        tenant: field
          .answeredLimits('no limit')
          .describe(
            'Limits of all keys of the tenant together. Each number that the tenant has not set itself is that of the tier of the tenant.',
          ),
        key: field
          .answeredLimits('no limit of its own')
          .describe("The key's own limits, at most those of the tenant."),
      })
      .describe('Limits in its tokens, for the rate limits of gateways.'),
  })
  .meta({
    id: 'EffectiveRights',
    description:
      'Rights that a token would get now: the rights of the key, restricted by those of its tenant.',
  })

const { name, description, labels, ...settings } = answeredFields(KEY_SETTINGS)

const fields = {
  id: keyId.describe('Id of the key: the `sub` of its tokens.'),
  tenant: tenantId.describe('Id of the tenant that the key belongs to.'),
  name,
  description,
  labels,
  state: z
    .enum(['active', 'disabled', 'expired', 'revoked'])
    .describe('Only an active key can be exchanged.'),
  ...settings,
  disabled_at: instant.nullable().describe('Time since which the key is disabled; null: not disabled.'),
  revoked_at: instant.nullable().describe('Time of revocation; null: not revoked.'),
  revoked_reason: z.string().nullable().describe('Reason given at the revocation.'),
  created_by: creator.describe('`root`, or the id of the admin token that created it; null: not known.'),
  created_at: instant.describe('Time of creation.'),
  updated_at: instant.describe('Time of the last change.'),
  secrets: z.array(secret).describe('Secrets of the key without the secret text, newest first.'),
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
  limits: allLimits({ requests_per_minute: 100 }),
  expires_at: '2027-11-24T09:00:00.000Z',
  contact: null,
  escalation: null,
  disabled_at: null,
  revoked_at: null,
  revoked_reason: null,
  created_by: 'adm_2Vb6Nc4RtY8wQk3Z',
  created_at: '2026-11-24T09:00:00.000Z',
  updated_at: '2026-11-24T09:00:00.000Z',
  secrets: [
    {
      id: 'sec_4Rk8Lm2QvT9cXb7N',
      state: 'live',
      created_by: 'adm_2Vb6Nc4RtY8wQk3Z',
      created_at: '2026-11-24T09:00:00.000Z',
      ends_at: null,
      last_used_at: null,
      confirm_by: null,
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
    limits: {
      tenant: allLimits({ requests_per_minute: 600, tokens_per_minute: 90_000 }),
      key: allLimits({ requests_per_minute: 100 }),
    },
  },
} as const

const token_revocation = tokenRevocationBody.optional().describe(REVOKED_BY_REQUEST)
export const keyBody = z.strictObject({ ...fields, token_revocation }).meta({
  id: 'Key',
  description:
    'An API key with its settings, rights and secrets. At most two of its secrets can be exchanged for tokens.',
  examples: [example],
})

const keyWithSecret = z
  .strictObject({
    ...fields,
    secret_id: secretId.describe('Id of the new secret.'),
    secret: credential('mmk').describe(
      'The text that the client sends, `mmk_…`. Store it now: it is not returned again.',
    ),
  })
  .meta({
    id: 'KeyWithSecret',
    description: 'A key with its new secret. The secret is returned once; only its HMAC is stored.',
    examples: [
      {
        ...example,
        secret_id: 'sec_4Rk8Lm2QvT9cXb7N',
        secret: 'mmk_7Hq2kd9XwP3mZt5B_0000000000000000000000000000000000000000000000000',
      },
    ],
  })

/** `secret_id` is absent if the first response was not stored. */
const keyWithoutSecret = z
  .strictObject({
    ...fields,
    secret_id: secretId
      .optional()
      .describe('Id of the new secret. Absent if the first response was not stored.'),
    ...secretGone,
  })
  .meta({
    id: 'KeyWithoutSecret',
    description:
      'Response to a repeated request (same `Idempotency-Key`). Only the first response contained the secret.',
  })

export const issuedKeyBody = z.union([keyWithSecret, keyWithoutSecret])
export const reissuedKeyBody = keyWithoutSecret

export const inspectedBody = z
  .strictObject({
    well_formed: z
      .boolean()
      .describe('Whether the string has the form of a Mintmark API key, with a correct checksum.'),
    key: keyBody
      .nullable()
      .describe('The key; null if it is unknown or belongs to a tenant that you may not see.'),
    secret_id: secretId.nullable().describe('Id of the secret that matches the string.'),
  })
  .meta({ id: 'InspectedKey', description: 'What is known about a string that looks like an API key.' })

export const usageBody = z
  .strictObject({
    day: z.iso.date().describe('Day in UTC.'),
    outcome: z.string().describe('`exchanged`, or the reason why an exchange was rejected.'),
    count: count.describe('Number of exchanges with this outcome.'),
  })
  .meta({
    id: 'KeyUsage',
    description: 'Number of exchanges of a key, by day and outcome.',
    examples: [{ day: '2026-11-24', outcome: 'exchanged', count: 1440 }],
  })

export const bulkRevocationBody = z
  .strictObject({
    dry_run: z.literal(false).describe('Always false: the keys were revoked.'),
    revoked: count.describe('Number of keys revoked by this request.'),
    left: count.describe(
      'Number of matching keys that are not revoked, expired ones included; counting stops at 10,000. Repeat the request, with another `Idempotency-Key`, until `left` is 0.',
    ),
    keys: namedKeys.describe('The keys revoked by this request.'),
  })
  .meta({ id: 'BulkRevocation', description: 'Result of a revocation by filter.' })

export const bulkDryRunBody = z
  .strictObject({
    dry_run: z.literal(true).describe('Always true: nothing was revoked.'),
    would_revoke: count.describe(
      'Number of keys that match the filter and are not revoked, expired ones included; counting stops at 10,000. More than one request may be needed to revoke them.',
    ),
    keys: namedKeys.describe('The newest matching keys, at most 500.'),
  })
  .meta({ id: 'BulkRevocationDryRun', description: 'Result of a dry run of a revocation by filter.' })
