import { z } from 'zod'
import { AUDIENCE } from '../../config/formats.ts'
import {
  LONGEST_PUBLISH_LEAD_SECONDS,
  LONGEST_ROTATION_INTERVAL_SECONDS,
  SHORTEST_ROTATION_INTERVAL_SECONDS,
} from '../../config/rotation-policy.ts'
import { SIGNING_ALGS } from '../../config/signing-alg.ts'
import { wholeNumber } from '../fields.ts'

const alg = z.enum(SIGNING_ALGS, `must be one of ${SIGNING_ALGS.join(', ')}`)
const audience = z
  .string()
  .regex(
    AUDIENCE,
    'must have audiences as names: 1 to 196 printable characters without space, comma, quote or backslash',
  )

/** What the policy of an installation may be set to. */
export const policyFields = {
  signing_alg: alg
    .optional()
    .describe('Default signing algorithm of tokens. The algorithm must have an active signing key.'),
  signing_algs: z
    .array(alg, 'must be a list')
    .min(1, 'must have at least one entry')
    .max(4, 'must have at most 4 entries')
    .meta({ uniqueItems: true })
    .optional()
    .describe(
      'Algorithms for which signing keys are published. The list must include `signing_alg` and every algorithm in `audience_signing_algs`.',
    ),
  audience_signing_algs: z
    .record(audience, alg.nullable(), 'must be an object of algorithms')
    .nullable()
    .optional()
    .describe(
      'Signing algorithm for each audience that does not use the default. null for an audience removes that entry. null for the whole field removes all entries.',
    ),
  rotation_interval_seconds: wholeNumber(
    SHORTEST_ROTATION_INTERVAL_SECONDS,
    LONGEST_ROTATION_INTERVAL_SECONDS,
  )
    .optional()
    .describe('Time between two rotations of a signing key.'),
  publish_lead_seconds: wholeNumber(1, LONGEST_PUBLISH_LEAD_SECONDS)
    .optional()
    .describe('How long a new signing key is published before it signs.'),
  max_key_lifetime_seconds: wholeNumber(1, 2_147_483_647)
    .optional()
    .describe('Default and longest lifetime of API keys and admin tokens. Existing ones keep their expiry.'),
  unending_keys_allowed: z
    .boolean('must be true or false')
    .optional()
    .describe('Whether API keys and admin tokens without expiry are allowed.'),
  max_live_keys_per_tenant: wholeNumber(1, 10_000_000)
    .optional()
    .describe('Largest number of live keys of one tenant. If a tenant has more already, they keep working.'),
  tenant_writes_per_minute: wholeNumber(1, 1_000_000)
    .optional()
    .describe(
      'Largest number of changes by the administrators of one tenant, per minute and replica. Further ones get 429.',
    ),
  usage_dedup_seconds: wholeNumber(300, 86_400)
    .optional()
    .describe(
      'How long after the end of a request its usage may be reported. Older reports are rejected, and within this time a repeated report is recognized.',
    ),
  usage_retention_days: wholeNumber(32, 4_000)
    .optional()
    .describe('How long hourly totals of usage are kept.'),
  contact_required: z
    .boolean('must be true or false')
    .optional()
    .describe(
      'Whether a new tenant must have a contact. A new key then needs a contact too: its own, or that of its tenant. Existing ones stay as they are.',
    ),
}
