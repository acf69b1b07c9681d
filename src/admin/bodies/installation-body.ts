import { z } from 'zod'
import { adminTokenId, alg, count, instant, reporterId } from './wire.ts'

const policy = z
  .strictObject({
    signing_alg: alg.describe('Default signing algorithm of tokens.'),
    signing_algs: z
      .array(alg)
      .describe('Algorithms for which signing keys are published, the default algorithm first.'),
    audience_signing_algs: z
      .record(z.string(), alg)
      .describe('Signing algorithm for each audience that does not use the default.'),
    rotation_interval_seconds: count.describe('Time between two rotations of a signing key.'),
    publish_lead_seconds: count.describe('How long a new signing key is published before it signs.'),
    max_key_lifetime_seconds: count.describe('Default and longest lifetime of API keys and admin tokens.'),
    unending_keys_allowed: z
      .boolean()
      .describe('Whether API keys and admin tokens without expiry are allowed.'),
    max_live_keys_per_tenant: count.describe(
      'Largest number of live keys (neither revoked nor expired) of one tenant. Disabled keys count.',
    ),
    tenant_writes_per_minute: count.describe(
      'Largest number of changes by the administrators of one tenant, per minute and replica.',
    ),
    usage_dedup_seconds: count.describe(
      'How long after the end of a request its usage may be reported. Within this time a repeated report is recognized.',
    ),
    usage_retention_days: count.describe('How long hourly totals of usage are kept.'),
    contact_required: z.boolean().describe('Whether new tenants and keys must have a contact.'),
    longest_token_ttl_seconds: count.describe(
      'Longest token lifetime that any replica was ever configured with. A signing key stays published at least this long after it stopped signing.',
    ),
    longest_staleness_seconds: count.describe(
      'Longest `MINTMARK_STALENESS_SECONDS` that any replica was ever configured with. It is part of `published_keys.retention_seconds`.',
    ),
  })
  .meta({ id: 'Policy', description: 'Rules that all replicas of the installation share.' })

const inUse = z
  .strictObject({
    current: z.string().describe('Id of the pepper or encryption key that new records use.'),
    left_on_others: z
      .record(z.string(), count)
      .describe(
        'Number of records that still use another pepper or encryption key, by its id. Empty: the others can be removed.',
      ),
  })
  .meta({
    id: 'SecretUse',
    description:
      'Which pepper or encryption key new records use, and how many records still use another one.',
  })

/** More of them are only counted. */
export const MOST_NAMED = 100

const peppersInUse = z
  .strictObject({
    ...inUse.shape,
    admin_tokens_left: z
      .array(adminTokenId)
      .max(MOST_NAMED)
      .describe(`Active admin tokens that still use another pepper, newest first, at most ${MOST_NAMED}.`),
    usage_reporters_left: z
      .array(reporterId)
      .max(MOST_NAMED)
      .describe(`Usage reporters that still use another pepper, newest first, at most ${MOST_NAMED}.`),
  })
  .meta({
    id: 'PepperUse',
    description:
      'Which pepper new secrets use, and how many records still use another one: secrets of keys, active admin tokens, usage reporters and seals (MACs over rows that grant trust). Secrets, admin tokens and usage reporters change to the current pepper when they are used; `POST /admin/v1/signing-keys/rewrap` renews the seals.',
  })

const replica = z
  .strictObject({
    id: z.string().describe('Id of the process, new at each start.'),
    host: z.string().describe('Host name.'),
    state: z.enum(['serving', 'silent']).describe('`silent`: no recent heartbeat.'),
    started_at: instant.describe('Time when the process started.'),
    seen_at: instant.describe('Time of its last heartbeat.'),
    staleness_seconds: count.describe(
      'How long the process may exchange API keys while it cannot reach its database.',
    ),
  })
  .meta({ id: 'Replica', description: 'A running process of the service.' })

export const installationBody = z
  .strictObject({
    id: z.uuid().describe('Id of the installation, created with its database.'),
    issuer: z.string().describe('Issuer URL: the `iss` of all tokens.'),
    policy,
    published_keys: z
      .strictObject({
        retention_seconds: count.describe('How long a retiring signing key stays published.'),
        per_algorithm: count.describe('Largest number of published keys of one algorithm.'),
        total: count.describe('Largest number of published keys of all algorithms together.'),
        limit: count.describe('Upper limit of `total`, because some verifiers accept no larger JWKS.'),
      })
      .describe('How many signing keys are published under the current policy, and for how long.'),
    peppers: peppersInUse.describe('Peppers: the HMAC keys under which API keys are stored.'),
    encryption_keys: inUse.describe('Keys that encrypt the private signing keys.'),
    replicas: z.array(replica).describe('Running replicas.'),
    created_at: instant.describe('Time of the first start.'),
  })
  .meta({
    id: 'Installation',
    description: 'The installation: the record that all replicas share, and its replicas.',
  })
