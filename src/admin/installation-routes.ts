import type { Database } from '../database/database.ts'
import { readInstallation } from '../database/installation.ts'
import type { SigningKey } from '../signing-keys/signing-key.ts'
import type { SigningKeys } from '../signing-keys/signing-keys.ts'
import { type AdminRoute, ok, route } from './route.ts'

/** Signing keys, and the record that all replicas of an installation share. */
export function installationRoutes(options: { database: Database; signingKeys: SigningKeys }): AdminRoute[] {
  const { database, signingKeys } = options
  return [
    route({
      method: 'get',
      path: '/installation',
      right: 'installation:read',
      handle: async () => {
        const { id, issuer, policy, createdAt } = await database.read(readInstallation)
        const wire = {
          signing_alg: policy.signingAlg,
          rotation_interval_seconds: policy.rotationIntervalSeconds,
          publish_lead_seconds: policy.publishLeadSeconds,
          max_key_lifetime_seconds: policy.maxKeyLifetimeSeconds,
          unending_keys_allowed: policy.unendingKeysAllowed,
          longest_token_ttl_seconds: policy.longestTokenTtlSeconds,
          longest_staleness_seconds: policy.longestStalenessSeconds,
        }
        return ok({ id, issuer, policy: wire, created_at: createdAt })
      },
    }),
    route({
      method: 'get',
      path: '/signing-keys',
      right: 'signing-keys:read',
      // All of them: there are never more than a handful.
      handle: async () => ok({ data: (await signingKeys.list()).map(toWire), next_cursor: null }),
    }),
    route({
      method: 'post',
      path: '/signing-keys/rotate',
      right: 'signing-keys:rotate',
      handle: async ({ actor }) => {
        const { kid, activatesAt } = await signingKeys.rotate(actor)
        return ok({ kid, activates_at: new Date(activatesAt) })
      },
    }),
  ]
}

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
