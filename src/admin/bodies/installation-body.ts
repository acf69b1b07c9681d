import { z } from 'zod'
import { alg, count, instant } from './wire.ts'

const policy = z
  .strictObject({
    signing_alg: alg,
    signing_algs: z.array(alg),
    audience_signing_algs: z.record(z.string(), alg),
    rotation_interval_seconds: count,
    publish_lead_seconds: count,
    max_key_lifetime_seconds: count,
    unending_keys_allowed: z.boolean(),
    longest_token_ttl_seconds: count,
    longest_staleness_seconds: count,
  })
  .meta({ id: 'Policy' })

const inUse = z
  .strictObject({
    current: z.string(),
    left_on_others: z.record(z.string(), count).describe('How many are left under another id.'),
  })
  .meta({ id: 'SecretUse' })

const replica = z
  .strictObject({
    id: z.string(),
    host: z.string(),
    state: z.enum(['serving', 'silent']),
    started_at: instant,
    seen_at: instant,
    staleness_seconds: count,
  })
  .meta({ id: 'Replica' })

export const installationBody = z
  .strictObject({
    id: z.uuid(),
    issuer: z.string(),
    policy,
    published_keys: z
      .strictObject({ retention_seconds: count, each_algorithm: count, all: count, most: count })
      .describe('How many signing keys the policy comes to, and how many verifiers take.'),
    peppers: inUse,
    encryption_keys: inUse,
    replicas: z.array(replica),
    created_at: instant,
  })
  .meta({ id: 'Installation', description: 'The record that all replicas share, and the replicas.' })
