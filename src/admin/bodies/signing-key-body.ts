import { z } from 'zod'
import { alg, count, instant } from './wire.ts'

const kid = z.string().describe('RFC 7638 SHA-256 thumbprint.')

export const signingKeyBody = z
  .strictObject({
    kid,
    alg,
    state: z.enum(['standby', 'active', 'retiring', 'removed']),
    published_at: instant,
    activates_at: instant.nullable(),
    retires_at: instant.nullable(),
    held: z.boolean().describe('Nothing happens to it by itself.'),
  })
  .meta({
    id: 'SigningKey',
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
  .strictObject({ kid, activates_at: instant.describe('Never before verifiers have had the publish lead.') })
  .meta({ id: 'ScheduledRotation' })

export const rewrapBody = z
  .strictObject({ encryption_key: z.string(), rewrapped: count })
  .meta({ id: 'Rewrapped' })

const replica = z.strictObject({
  id: z.string(),
  host: z.string(),
  state: z.enum(['confirmed', 'unconfirmed']),
  seen_at: instant,
  signs_until: instant.nullable(),
  sooner: z.string().nullable(),
})

const verifier = z.strictObject({
  name: z.string(),
  forget_within_seconds: count,
  after_failures_seconds: count.nullable(),
  sooner: z.string(),
})

export const emergencyBody = z
  .strictObject({
    kid,
    state: z.literal('revoked'),
    published: z.array(signingKeyBody),
    replicas: z.array(replica).describe('Who has dropped the key, and who may still sign with it.'),
    tokens_end_within_seconds: count,
    verifiers: z.array(verifier).describe('Who may still believe it, and for how long.'),
  })
  .meta({ id: 'SigningKeyRevocation' })
