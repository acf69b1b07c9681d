import { z } from 'zod'
import { jwksMaxAgeSeconds } from '../config/rotation-policy.ts'
import { SIGNING_ALGS } from '../config/signing-alg.ts'
import type { Database } from '../database/database.ts'
import { readInstallation } from '../installation/installation.ts'
import type { Policy } from '../installation/policy.ts'
import type { Replica } from '../installation/replicas.ts'
import type { Emergency } from '../signing-keys/emergency.ts'
import { type SigningKey, signingKeyVersion } from '../signing-keys/signing-key.ts'
import type { SigningKeys } from '../signing-keys/signing-keys.ts'
import { VERIFIERS } from '../signing-keys/verifiers.ts'
import { ok } from './answer.ts'
import { emergencyBody, rewrapBody, scheduledBody, signingKeyBody } from './bodies/signing-key-body.ts'
import { whole } from './bodies/wire.ts'
import { reason } from './fields.ts'
import { REVALIDATED, VERSIONED } from './preconditions.ts'
import { type AdminRoute, route } from './route.ts'

/** The keys that tokens are signed with: published keys and the operations on them. */
export function signingKeyRoutes(options: { database: Database; signingKeys: SigningKeys }): AdminRoute[] {
  const { database, signingKeys } = options
  const answer = (key: SigningKey) => ok(toWire(key), signingKeyVersion(key))
  return [
    route({
      operation: 'listSigningKeys',
      summary: 'List published signing keys',
      answers: { 200: whole(signingKeyBody) },
      method: 'get',
      path: '/signing-keys',
      right: 'signing-keys:read',
      // Without paging: at most ten exist.
      handle: async () => ok({ data: (await signingKeys.list()).map(toWire), next_cursor: null }),
    }),
    route({
      operation: 'getSigningKey',
      summary: 'Get a published signing key',
      answers: { 200: signingKeyBody },
      method: 'get',
      path: '/signing-keys/:kid',
      right: 'signing-keys:read',
      ...REVALIDATED,
      handle: async ({ params }) => answer(await signingKeys.get(kidOf(params))),
    }),
    route({
      operation: 'rotateSigningKey',
      summary: 'Rotate a signing key',
      details:
        'The standby key becomes active as soon as it has been published for `publish_lead_seconds`. Idempotent.',
      answers: { 200: scheduledBody },
      conflicts: ['signing_key_held', 'no_standby', 'too_many_signing_keys'],
      example: { body: { alg: 'ES256' } },
      method: 'post',
      path: '/signing-keys/rotate',
      right: 'signing-keys:rotate',
      body: z.strictObject({
        alg: z
          .enum(SIGNING_ALGS, `must be one of ${SIGNING_ALGS.join(', ')}`)
          .optional()
          .describe('Algorithm of the key to rotate. Default: the default algorithm of the policy.'),
      }),
      handle: async ({ actor, body }) => {
        const { kid, activatesAt } = await signingKeys.rotate(actor, body.alg)
        return ok({ kid, activates_at: new Date(activatesAt) })
      },
    }),
    route({
      operation: 'rewrapSigningKeys',
      summary: 'Re-encrypt private signing keys',
      details:
        'Encrypts all private keys and all fetch tokens of identity providers with the current encryption key. Also computes the seals again: the MACs over the stored signing keys, imported secrets, identity providers and credentials. Then older encryption keys can be removed. Idempotent.',
      answers: { 200: rewrapBody },
      conflicts: ['another_encryption_key', 'signing_key_not_opened'],
      method: 'post',
      path: '/signing-keys/rewrap',
      right: 'signing-keys:rewrap',
      handle: async ({ actor }) => {
        const { encryptionKeyId, rewrapped, resealed } = await signingKeys.rewrap(actor)
        return ok({ encryption_key: encryptionKeyId, rewrapped, resealed })
      },
    }),
    route({
      operation: 'holdSigningKey',
      summary: 'Hold a signing key',
      details: 'Automatic rotation does not replace or remove the key until it is released. Idempotent.',
      answers: { 200: signingKeyBody },
      method: 'post',
      path: '/signing-keys/:kid/hold',
      right: 'signing-keys:rotate',
      ...VERSIONED,
      handle: async ({ actor, params }) => answer(await signingKeys.hold(actor, kidOf(params))),
    }),
    route({
      operation: 'releaseSigningKey',
      summary: 'Release a signing key',
      details: 'Automatic rotation of the key continues. Idempotent.',
      answers: { 200: signingKeyBody },
      method: 'post',
      path: '/signing-keys/:kid/release',
      right: 'signing-keys:rotate',
      ...VERSIONED,
      handle: async ({ actor, params }) => answer(await signingKeys.release(actor, kidOf(params))),
    }),
    route({
      operation: 'revokeSigningKey',
      summary: 'Revoke a signing key',
      details:
        'Use this when a private key may have leaked. The key is removed from the JWKS, and every replica that reaches the database stops signing with the key. The response says for each replica whether it may still sign with the key. It also lists the verifiers that may still accept the key. Idempotent.',
      answers: { 200: emergencyBody },
      conflicts: ['signing_key_held'],
      example: { body: { reason: 'leaked' } },
      method: 'post',
      path: '/signing-keys/:kid/revoke',
      right: 'signing-keys:revoke',
      body: z.strictObject({ reason: reason.optional().describe('Reason, for the audit trail.') }),
      handle: async ({ actor, params, body }) => {
        const emergency = await signingKeys.revoke(actor, kidOf(params), body.reason ?? '')
        const { policy } = await database.run(readInstallation)
        return ok(emergencyToWire(emergency, signingKeys, policy))
      },
    }),
  ]
}

const kidOf = (params: Record<string, string>) => params.kid ?? ''
const instant = (ms: number | null) => (ms === null ? null : new Date(ms))

function toWire(key: SigningKey) {
  return {
    kid: key.kid,
    alg: key.alg,
    state: key.state,
    published_at: instant(key.publishedAt),
    activates_at: instant(key.activatesAt),
    retires_at: instant(key.retiresAt),
    held: key.held,
  }
}

/** The result in full: who may still sign with the key, and which verifiers may still trust it. */
function emergencyToWire({ kid, confirmed, unconfirmed }: Emergency, { ring }: SigningKeys, policy: Policy) {
  return {
    kid,
    state: 'revoked',
    published: ring.keys.map(toWire),
    replicas: [...unconfirmed.map(unconfirmedToWire), ...confirmed.map(confirmedToWire)],
    tokens_end_within_seconds: policy.longestTokenTtlSeconds,
    verifiers: [
      {
        name: 'any verifier that follows Cache-Control',
        forget_within_seconds: jwksMaxAgeSeconds(policy),
        after_failures_seconds: null,
        remedy: 'restart it',
      },
      ...VERIFIERS.map(({ name, refreshSeconds, afterFailureSeconds, remedy }) => ({
        name,
        forget_within_seconds: refreshSeconds,
        after_failures_seconds: afterFailureSeconds,
        remedy,
      })),
    ],
  }
}

const confirmedToWire = ({ id, host, seenAt }: Replica) => ({
  id,
  host,
  state: 'confirmed',
  seen_at: seenAt,
  signs_until: null,
  remedy: null,
})

const unconfirmedToWire = ({ id, host, seenAt, exchangesUntil }: Replica) => ({
  id,
  host,
  state: 'unconfirmed',
  seen_at: seenAt,
  signs_until: exchangesUntil,
  remedy: 'stop the process, or remove it from the load balancer',
})
