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
        '`standby`: published, signs next. `active`: signs. `retiring`: published, no longer signs. `removed`: not published.',
      ),
    published_at: instant.describe('Time since which it is in the JWKS.'),
    activates_at: instant.nullable().describe('Time from which it signs; null: not scheduled.'),
    retires_at: instant.nullable().describe('Time when it leaves the JWKS; null: not scheduled.'),
    held: z.boolean().describe('Held by an operator: it is neither replaced nor removed automatically.'),
  })
  .meta({
    id: 'SigningKey',
    description: 'A published signing key.',
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
      'Time from which the key signs: at least the publish lead after its publication.',
    ),
  })
  .meta({ id: 'ScheduledRotation', description: 'The key that signs next, and from when.' })

export const rewrapBody = z
  .strictObject({
    encryption_key: z.string().describe('Id of the current encryption key.'),
    rewrapped: count.describe('Number of private keys encrypted again.'),
    resealed: count.describe('Number of signing keys and imported secrets sealed again.'),
  })
  .meta({ id: 'Rewrapped', description: 'Result of encrypting the private signing keys again.' })

const replica = z.strictObject({
  id: z.string().describe('Id of the replica.'),
  host: z.string().describe('Host name.'),
  state: z.enum(['confirmed', 'unconfirmed']).describe('`confirmed`: it has dropped the key.'),
  seen_at: instant.describe('Time of its last heartbeat.'),
  signs_until: instant.nullable().describe('Latest time that it can sign with the key; null: it cannot.'),
  remedy: z.string().nullable().describe('How to end that earlier; null: nothing to do.'),
})

const verifier = z.strictObject({
  name: z.string().describe('Kind of verifier.'),
  forget_within_seconds: count.describe('Longest time that it keeps a cached JWKS.'),
  after_failures_seconds: count
    .nullable()
    .describe('Longest time that it keeps it after a failed fetch; null: unknown.'),
  remedy: z.string().describe('How to make it drop the key earlier.'),
})

export const emergencyBody = z
  .strictObject({
    kid,
    state: z.literal('revoked').describe('The key is not published and is never used again.'),
    published: z.array(signingKeyBody).describe('Signing keys that are published now.'),
    replicas: z
      .array(replica)
      .describe('Replicas: which have dropped the key, and which may still sign with it.'),
    tokens_end_within_seconds: count.describe('Time until the last token signed with it has expired.'),
    verifiers: z.array(verifier).describe('Verifiers that may still accept the key, and for how long.'),
  })
  .meta({
    id: 'SigningKeyRevocation',
    description: 'Result of a revocation: where the key may still be used or accepted.',
  })
