import { z } from 'zod'
import { alg, count, instant } from './wire.ts'

const policy = z
  .strictObject({
    signing_alg: alg.describe('Default signing algorithm of tokens.'),
    signing_algs: z.array(alg).describe('All algorithms with published signing keys, the default first.'),
    audience_signing_algs: z
      .record(z.string(), alg)
      .describe('Signing algorithm by audience, where it differs from the default.'),
    rotation_interval_seconds: count.describe('Time between two rotations of a signing key.'),
    publish_lead_seconds: count.describe('Time that a new signing key is published before it signs.'),
    max_key_lifetime_seconds: count.describe('Default and longest lifetime of an API key.'),
    unending_keys_allowed: z.boolean().describe('Whether API keys without expiry are allowed.'),
    max_live_keys_per_tenant: count.describe(
      'Most live keys of one tenant: neither revoked nor expired. Disabled keys count.',
    ),
    tenant_writes_per_minute: count.describe(
      'Most changes by the administrators of one tenant, per minute and replica.',
    ),
    longest_token_ttl_seconds: count.describe(
      'Longest token lifetime that any replica was ever configured with. Retired signing keys stay published at least as long.',
    ),
    longest_staleness_seconds: count.describe(
      'Longest staleness window that any replica was ever configured with. It counts towards the time that retired signing keys stay published.',
    ),
  })
  .meta({ id: 'Policy', description: 'Rules that all replicas of the installation share.' })

const inUse = z
  .strictObject({
    current: z.string().describe('Id of the secret that new records use.'),
    left_on_others: z
      .record(z.string(), count)
      .describe('Number of records that still use another secret, by its id.'),
  })
  .meta({ id: 'SecretUse', description: 'Which secret of the installation protects how many records.' })

const replica = z
  .strictObject({
    id: z.string().describe('Id of the process, new at each start.'),
    host: z.string().describe('Host name.'),
    state: z.enum(['serving', 'silent']).describe('`silent`: no heartbeat lately.'),
    started_at: instant.describe('Time of its start.'),
    seen_at: instant.describe('Time of its last heartbeat.'),
    staleness_seconds: count.describe('How long it may exchange keys without its database.'),
  })
  .meta({ id: 'Replica', description: 'A running process of the service.' })

export const installationBody = z
  .strictObject({
    id: z.uuid().describe('Id of the installation, created with its database.'),
    issuer: z.string().describe('Issuer URL: the `iss` of all tokens.'),
    policy,
    published_keys: z
      .strictObject({
        retention_seconds: count.describe('How long a retired signing key stays published.'),
        per_algorithm: count.describe('Largest number of published keys of one algorithm.'),
        total: count.describe('Largest number of published keys of all algorithms.'),
        limit: count.describe('Limit: some verifiers accept no larger JWKS.'),
      })
      .describe('Number of published signing keys that result from the policy.'),
    peppers: inUse.describe('Peppers of the stored digests of API keys.'),
    encryption_keys: inUse.describe('Keys that encrypt the private signing keys.'),
    replicas: z.array(replica).describe('Running replicas.'),
    created_at: instant.describe('Time of the first start.'),
  })
  .meta({
    id: 'Installation',
    description: 'The installation: the record that all replicas share, and its replicas.',
  })
