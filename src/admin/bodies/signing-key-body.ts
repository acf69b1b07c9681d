import { z } from 'zod'
import { alg, count, instant } from './wire.ts'

const kid = z.string().describe('Key id: RFC 7638 SHA-256 thumbprint.')

export const signingKeyBody = z
  .strictObject({
    kid,
    alg: alg.describe('Signing algorithm (RFC 7518).'),
    state: z
      .enum(['standby', 'active', 'retiring', 'removed'])
      .describe(
        '`standby`: published, and the next key to sign. `active`: published, and signs. `retiring`: still published, but no longer signs. `removed`: no longer published.',
      ),
    published_at: instant.describe('Time since which the key is in the JWKS.'),
    activates_at: instant.nullable().describe('Time from which the key signs; null: not scheduled.'),
    retires_at: instant
      .nullable()
      .describe('Time when the key is removed from the JWKS; null: not scheduled.'),
    held: z
      .boolean()
      .describe(
        'Whether an operator holds the key. Automatic rotation does not replace or remove a held key.',
      ),
  })
  .meta({
    id: 'SigningKey',
    description: 'A signing key, without its private key.',
    examples: [
      {
        kid: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs',
        alg: 'ES256',
        state: 'active',
        published_at: '2026-11-24T09:00:00.000Z',
        activates_at: '2026-11-24T09:00:00.000Z',
        retires_at: null,
        held: false,
      },
    ],
  })

export const scheduledBody = z
  .strictObject({
    kid,
    activates_at: instant.describe(
      'Time from which the key signs, at least `publish_lead_seconds` after its publication.',
    ),
  })
  .meta({ id: 'ScheduledRotation', description: 'The key that signs next, and from when.' })

export const rewrapBody = z
  .strictObject({
    encryption_key: z.string().describe('Id of the current encryption key.'),
    rewrapped: count.describe('Number of private signing keys that were encrypted again.'),
    resealed: count.describe(
      'Number of rows that grant trust (signing keys, imported secrets, identity providers and credentials) whose seal, a MAC over the row, was computed again with the newest encryption key and pepper.',
    ),
  })
  .meta({ id: 'Rewrapped', description: 'Result of re-encrypting the private signing keys.' })

const replica = z.strictObject({
  id: z.string().describe('Id of the replica.'),
  host: z.string().describe('Host name.'),
  state: z
    .enum(['confirmed', 'unconfirmed'])
    .describe(
      '`confirmed`: the replica no longer has the key. `unconfirmed`: the replica may still have it.',
    ),
  seen_at: instant.describe('Time of its last heartbeat.'),
  signs_until: instant
    .nullable()
    .describe('Latest time at which the replica can still sign with the key; null: it can no longer do so.'),
  remedy: z
    .string()
    .nullable()
    .describe('How to stop the replica from signing with the key before `signs_until`; null: not needed.'),
})

const verifier = z.strictObject({
  name: z.string().describe('Kind of verifier.'),
  forget_within_seconds: count.describe('Longest time for which this verifier uses a cached JWKS.'),
  after_failures_seconds: count
    .nullable()
    .describe('Longest time after a failed fetch until this verifier fetches the JWKS again; null: unknown.'),
  remedy: z.string().describe('How to make this verifier drop the key earlier.'),
})

export const emergencyBody = z
  .strictObject({
    kid,
    state: z
      .literal('revoked')
      .describe('Always `revoked`: the key is no longer published and is never used again.'),
    published: z.array(signingKeyBody).describe('Signing keys that are published now.'),
    replicas: z
      .array(replica)
      .describe('All replicas, each with its state: whether it may still sign with the key.'),
    tokens_end_within_seconds: count.describe(
      'Seconds until the last token that was signed with the key has expired.',
    ),
    verifiers: z.array(verifier).describe('Verifiers that may still accept the key, and for how long.'),
  })
  .meta({
    id: 'SigningKeyRevocation',
    description: 'Result of a revocation: where the key may still be used or accepted.',
  })
