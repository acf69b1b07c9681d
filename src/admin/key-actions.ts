import { z } from 'zod'
import type { ApiKey } from '../api-keys/api-key.ts'
import type { ApiKeys, IssuedSecret } from '../api-keys/api-keys.ts'
import type { AdminAnswer } from './answer.ts'
import * as field from './fields.ts'
import { VERSIONED } from './preconditions.ts'
import { type AdminRoute, route, type Target } from './route.ts'

const LONGEST_OVERLAP_SECONDS = 30 * 86_400

const revocation = z.strictObject({ reason: field.reason.nullable().default(null) })
const rotation = z.strictObject({
  overlap_seconds: field.wholeNumber(0, LONGEST_OVERLAP_SECONDS).default(86_400),
  replace: z.enum(['oldest', 'newest'], 'must be "oldest", "newest" or null').nullable().default(null),
})

/** What is done to a key beside setting its fields. */
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
      method: 'post',
      path: '/keys/:id/disable',
      right: 'keys:write',
      target,
      ...VERSIONED,
      handle: async ({ actor, params }) => answer(await keys.disable(actor, params.id ?? '')),
    }),
    route({
      method: 'post',
      path: '/keys/:id/enable',
      right: 'keys:enable',
      target,
      ...VERSIONED,
      handle: async ({ actor, params }) => answer(await keys.enable(actor, params.id ?? '')),
    }),
    route({
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
