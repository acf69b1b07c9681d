import { z } from 'zod'
import type { ApiKey } from '../api-keys/api-key.ts'
import type { ApiKeys, IssuedSecret } from '../api-keys/api-keys.ts'
import type { AdminAnswer } from './answer.ts'
import { issuedKeyBody, keyBody } from './bodies/key-body.ts'
import * as field from './fields.ts'
import { VERSIONED } from './preconditions.ts'
import { type AdminRoute, route, type Target } from './route.ts'

const LONGEST_OVERLAP_SECONDS = 30 * 86_400

const revocation = z.strictObject({ reason: field.reason.nullable().default(null) })
const rotation = z.strictObject({
  overlap_seconds: field.wholeNumber(0, LONGEST_OVERLAP_SECONDS).default(86_400),
  replace: z.enum(['oldest', 'newest'], 'must be "oldest", "newest" or null').nullable().default(null),
})

/** Operations on a key other than setting its fields. */
export function keyActions(
  keys: ApiKeys,
  {
    answer,
    issued,
    target,
  }: {
    answer: (key: ApiKey) => Promise<AdminAnswer>
    issued: (secret: IssuedSecret) => Promise<AdminAnswer>
    target: Target
  },
): AdminRoute[] {
  return [
    route({
      operation: 'disableKey',
      summary: 'Disable a key',
      details: 'No exchange until it is enabled. Repeatable.',
      answers: { 200: keyBody },
      conflicts: ['key_revoked'],
      method: 'post',
      path: '/keys/:id/disable',
      right: 'keys:write',
      target,
      ...VERSIONED,
      handle: async ({ actor, params }) => answer(await keys.disable(actor, params.id ?? '')),
    }),
    route({
      operation: 'enableKey',
      summary: 'Enable a key',
      details: 'Repeatable.',
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
      details: 'For good, with all its secrets. Repeatable: the first reason stays.',
      answers: { 200: keyBody },
      example: { body: { reason: 'leaked' } },
      method: 'post',
      path: '/keys/:id/revoke',
      right: 'keys:write',
      target,
      ...VERSIONED,
      body: revocation,
      handle: async ({ actor, params, body }) =>
        answer(await keys.revoke(actor, params.id ?? '', body.reason)),
    }),
    route({
      operation: 'rotateKey',
      summary: 'Rotate a key',
      details: 'Adds a secret, and gives the older one `overlap_seconds` more. The id stays.',
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
        const options = { overlapSeconds: body.overlap_seconds, replace: body.replace }
        return issued(await keys.rotate(actor, params.id ?? '', options))
      },
    }),
    route({
      operation: 'revokeKeySecret',
      summary: 'Revoke one secret of a key',
      details: 'At once. Repeatable.',
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
