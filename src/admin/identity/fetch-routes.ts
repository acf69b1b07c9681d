import { z } from 'zod'
import type { FetchHealth } from '../../identity-providers/fetching/fetched-keys.ts'
import { ok } from '../answer.ts'
import { count, whole } from '../bodies/wire.ts'
import { type AdminRoute, route } from '../route.ts'

const fetchBody = z
  .strictObject({
    provider: z
      .string()
      .regex(/^idp_[0-9A-Za-z]{16}$/)
      .describe('Id of the identity provider.'),
    keys_age_seconds: count.describe(
      'Time since its keys were last fetched; if they never were, since this replica knows the provider.',
    ),
    failures: count.describe('Failed fetches since the last that succeeded.'),
    fault: z.string().nullable().describe('Why the last fetch failed; null: it did not.'),
  })
  .meta({
    id: 'ProviderFetch',
    description: 'How one replica fetches the keys of an identity provider.',
    examples: [{ provider: 'idp_3Fh7Kd9Qx2Lm5Zt8', keys_age_seconds: 42, failures: 0, fault: null }],
  })

/** Whether this replica gets the keys of identity providers. `health` is read at each request. */
export function providerFetchRoutes(health: () => readonly FetchHealth[]): AdminRoute[] {
  return [
    route({
      operation: 'listProviderFetches',
      summary: 'List fetches of the keys of identity providers',
      details:
        'Each replica fetches them itself: this is the state of the one that answers. Providers with `jwks` are not fetched.',
      answers: { 200: whole(fetchBody) },
      method: 'get',
      path: '/identity-providers/fetches',
      right: 'identity-providers:read',
      handle: async () => {
        const data = health().map(({ providerId, ageSeconds, failures, fault }) => ({
          provider: providerId,
          keys_age_seconds: Math.max(0, Math.round(ageSeconds)),
          failures,
          fault: fault ?? null,
        }))
        return ok({ data, next_cursor: null })
      },
    }),
  ]
}
