import { z } from 'zod'
import type { ApiKey } from '../api-keys/api-key.ts'
import type { ApiKeys, IssuedSecret } from '../api-keys/api-keys.ts'
import type { SecretConfirmations } from '../api-keys/secret-confirmations.ts'
import type { Admin } from './admin-auth.ts'
import type { AdminAnswer } from './answer.ts'
import { issuedKeyBody, keyBody } from './bodies/key-body.ts'
import * as field from './fields.ts'
import { VERSIONED } from './preconditions.ts'
import { type AdminRoute, route, type Target } from './route.ts'

const revocation = z.strictObject({
  reason: field.reason.nullable().default(null).describe('Reason, for the audit trail.'),
})
const disabling = z.strictObject({ revoke_tokens: field.revokeTokens.default(false) })
const rotation = z.strictObject({
  ...field.rotation(
    'If the key already has two secrets that are `live` or `ending`: which of them to revoke before the new one is created, the older or the newer. null: the rotation of such a key gets 409.',
  ),
  confirm_within_seconds: field
    .wholeNumber(60, field.LONGEST_OVERLAP_SECONDS)
    .nullable()
    .default(null)
    .describe(
      'Time within which the new secret must be confirmed or exchanged. `overlap_seconds` of the previous secret begins at the confirmation or exchange. If neither happens in time, the new secret is revoked, and the previous one stays valid. null: `overlap_seconds` begins now.',
    ),
})

/** Operations on a key other than setting its fields. */
export function keyActions(
  keys: ApiKeys,
  confirmations: SecretConfirmations,
  {
    answer,
    answerEnded,
    issued,
    target,
  }: {
    answer: (key: ApiKey) => Promise<AdminAnswer>
    /** After a request that revoked issued tokens. */
    answerEnded: (admin: Admin, key: ApiKey) => Promise<AdminAnswer>
    issued: (secret: IssuedSecret) => Promise<AdminAnswer>
    target: Target
  },
): AdminRoute[] {
  return [
    route({
      operation: 'disableKey',
      summary: 'Disable a key',
      details:
        'The key cannot be exchanged until it is enabled. With `revoke_tokens`, the tokens that are already issued are revoked too. Idempotent.',
      answers: { 200: keyBody },
      conflicts: ['key_revoked'],
      example: { body: { revoke_tokens: true } },
      method: 'post',
      path: '/keys/:id/disable',
      right: 'keys:write',
      target,
      ...VERSIONED,
      body: disabling,
      handle: async ({ actor, admin, params, body: { revoke_tokens: withTokens } }) => {
        const key = await keys.disable(actor, params.id ?? '', { withTokens })
        return withTokens ? answerEnded(admin, key) : answer(key)
      },
    }),
    route({
      operation: 'enableKey',
      summary: 'Enable a key',
      details: 'A disabled key can be exchanged again. Idempotent.',
      answers: { 200: keyBody },
      conflicts: ['key_revoked'],
      method: 'post',
      path: '/keys/:id/enable',
      right: 'keys:enable',
      target,
      ...VERSIONED,
      handle: async ({ actor, params }) => answer(await keys.enable(actor, params.id ?? '')),
    }),
    route({
      operation: 'revokeKey',
      summary: 'Revoke a key',
      details:
        'Permanently revokes the key with all its secrets, and the tokens that are already issued to it. Idempotent: a second request keeps the reason of the first.',
      answers: { 200: keyBody },
      example: { body: { reason: 'leaked' } },
      method: 'post',
      path: '/keys/:id/revoke',
      right: 'keys:write',
      target,
      ...VERSIONED,
      body: revocation,
      handle: async ({ actor, admin, params, body }) =>
        answerEnded(admin, await keys.revoke(actor, params.id ?? '', body.reason)),
    }),
    route({
      operation: 'rotateKey',
      summary: 'Rotate a key',
      details:
        'Creates another secret. The previous secret stays valid for `overlap_seconds`. The id of the key does not change. The response contains the new secret, once.',
      answers: { 201: issuedKeyBody },
      conflicts: ['key_revoked', 'key_expired', 'two_live_secrets'],
      example: { body: { overlap_seconds: 3600, replace: 'oldest' } },
      method: 'post',
      path: '/keys/:id/rotate',
      right: 'keys:write',
      issuesSecret: true,
      target,
      ...VERSIONED,
      body: rotation,
      handle: async ({ actor, params, body }) => {
        const options = {
          overlapSeconds: body.overlap_seconds,
          replace: body.replace,
          confirmWithinSeconds: body.confirm_within_seconds,
        }
        return issued(await keys.rotate(actor, params.id ?? '', options))
      },
    }),
    route({
      operation: 'confirmKeySecret',
      summary: 'Confirm a secret of a key',
      details:
        'Says that the holder of the key has the new secret of a rotation with `confirm_within_seconds`. The overlap of the previous secret begins. Idempotent.',
      answers: { 200: keyBody },
      conflicts: ['secret_ended'],
      method: 'post',
      path: '/keys/:id/secrets/:secret/confirm',
      right: 'keys:write',
      target,
      ...VERSIONED,
      handle: async ({ actor, params }) =>
        answer(await confirmations.confirm(actor, params.id ?? '', params.secret ?? '')),
    }),
    route({
      operation: 'revokeKeySecret',
      summary: 'Revoke a secret of a key',
      details: 'Permanently revokes this secret. Another secret of the key stays valid. Idempotent.',
      answers: { 200: keyBody },
      method: 'post',
      path: '/keys/:id/secrets/:secret/revoke',
      right: 'keys:write',
      target,
      ...VERSIONED,
      handle: async ({ actor, params }) =>
        answer(await keys.revokeSecret(actor, params.id ?? '', params.secret ?? '')),
    }),
  ]
}
