import { z } from 'zod'
import { keysPerAlg, MOST_PUBLISHED_KEYS, retentionSeconds } from '../config/rotation-policy.ts'
import type { Database } from '../database/database.ts'
import { type Installation, readInstallation } from '../installation/installation.ts'
import { type Policy, policyVersion, publishedAlgs } from '../installation/policy.ts'
import type { Replica, Replicas } from '../installation/replicas.ts'
import {
  type FindOnOtherPeppers,
  type PepperUse,
  rowsOnOtherEncryptionKeys,
  type UseById,
} from '../installation/secret-use.ts'
import type { PolicyChange } from '../signing-keys/policy-change.ts'
import type { SigningKeys } from '../signing-keys/signing-keys.ts'
import { ok } from './answer.ts'
import { installationBody, MOST_NAMED } from './bodies/installation-body.ts'
import { policyFields } from './bodies/policy-fields.ts'
import { withoutUndefined } from './fields.ts'
import { VERSIONED } from './preconditions.ts'
import { type AdminRoute, route } from './route.ts'

const patch = z
  .strictObject({
    policy: z.strictObject(policyFields, 'must be an object').optional().describe('Policy fields to change.'),
  })
  .meta({ id: 'InstallationPatch', description: 'Absent fields keep their value.' })

/** The record that all replicas of an installation share, and the list of replicas. */
export function installationRoutes(options: {
  database: Database
  signingKeys: SigningKeys
  replicas: Replicas
  findOnOtherPeppers: FindOnOtherPeppers
}): AdminRoute[] {
  const { database, signingKeys, replicas, findOnOtherPeppers } = options
  const show = async () => {
    const { installation, peppers, encryptionKeys } = await database.readSnapshot(async trx => {
      const installation = await readInstallation(trx)
      return {
        installation,
        peppers: await findOnOtherPeppers(trx, installation.currentPepper),
        encryptionKeys: await rowsOnOtherEncryptionKeys(trx, installation.currentEncryptionKey),
      }
    })
    const body = toWire(installation, { peppers, encryptionKeys, replicas: await replicas.list() })
    return ok(body, policyVersion(installation.policy))
  }
  // The version is that of the policy, the only part that can be changed here.
  return [
    route({
      operation: 'getInstallation',
      summary: 'Get the installation',
      details:
        'The policy, the peppers and encryption keys in use, and the replicas. The `ETag` is the version of the policy.',
      answers: { 200: installationBody },
      method: 'get',
      path: '/installation',
      right: 'installation:read',
      ...VERSIONED,
      handle: show,
    }),
    route({
      operation: 'updateInstallation',
      summary: 'Update the policy',
      details: 'The change applies to all replicas within seconds. The `ETag` is the version of the policy.',
      answers: { 200: installationBody },
      conflicts: ['signing_alg_not_ready', 'too_many_signing_keys'],
      example: { body: { policy: { max_key_lifetime_seconds: 31536000 } } },
      method: 'patch',
      path: '/installation',
      right: 'installation:write',
      ...VERSIONED,
      body: patch,
      handle: async ({ actor, body }) => {
        await signingKeys.changePolicy(actor, toChange(body.policy ?? {}))
        return show()
      },
    }),
  ]
}

function toChange(fields: NonNullable<z.infer<typeof patch>['policy']>): PolicyChange {
  return withoutUndefined({
    signingAlg: fields.signing_alg,
    signingAlgs: fields.signing_algs,
    audienceSigningAlgs: fields.audience_signing_algs,
    rotationIntervalSeconds: fields.rotation_interval_seconds,
    publishLeadSeconds: fields.publish_lead_seconds,
    maxKeyLifetimeSeconds: fields.max_key_lifetime_seconds,
    unendingKeysAllowed: fields.unending_keys_allowed,
    maxLiveKeysPerTenant: fields.max_live_keys_per_tenant,
    tenantWritesPerMinute: fields.tenant_writes_per_minute,
    usageDedupSeconds: fields.usage_dedup_seconds,
    usageRetentionDays: fields.usage_retention_days,
    contactRequired: fields.contact_required,
  })
}

function toWire(
  { id, issuer, policy, currentPepper, currentEncryptionKey, createdAt }: Installation,
  state: { peppers: PepperUse; encryptionKeys: UseById; replicas: readonly Replica[] },
) {
  return {
    id,
    issuer,
    policy: policyToWire(policy),
    published_keys: arithmetic(policy),
    peppers: pepperUse(currentPepper, state.peppers),
    encryption_keys: { current: currentEncryptionKey, left_on_others: state.encryptionKeys },
    replicas: state.replicas.map(replicaToWire),
    created_at: createdAt,
  }
}

const pepperUse = (current: string, { counts, adminTokens, usageReporters }: PepperUse) => ({
  current,
  left_on_others: counts,
  admin_tokens_left: adminTokens.slice(0, MOST_NAMED).map(({ id }) => id),
  usage_reporters_left: usageReporters.slice(0, MOST_NAMED).map(({ id }) => id),
})

const policyToWire = (policy: Policy) => ({
  signing_alg: policy.signingAlg,
  signing_algs: publishedAlgs(policy),
  audience_signing_algs: policy.audienceSigningAlgs,
  rotation_interval_seconds: policy.rotationIntervalSeconds,
  publish_lead_seconds: policy.publishLeadSeconds,
  max_key_lifetime_seconds: policy.maxKeyLifetimeSeconds,
  unending_keys_allowed: policy.unendingKeysAllowed,
  max_live_keys_per_tenant: policy.maxLiveKeysPerTenant,
  tenant_writes_per_minute: policy.tenantWritesPerMinute,
  usage_dedup_seconds: policy.usageDedupSeconds,
  usage_retention_days: policy.usageRetentionDays,
  contact_required: policy.contactRequired,
  longest_token_ttl_seconds: policy.longestTokenTtlSeconds,
  longest_staleness_seconds: policy.longestStalenessSeconds,
})

/** Number of keys that the policy publishes: (2 + retention / interval) per algorithm. */
function arithmetic(policy: Policy) {
  const algorithms = publishedAlgs(policy).length
  return {
    retention_seconds: retentionSeconds(policy),
    per_algorithm: keysPerAlg(policy),
    total: algorithms * keysPerAlg(policy),
    limit: MOST_PUBLISHED_KEYS,
  }
}

const replicaToWire = ({ id, host, startedAt, seenAt, silent, stalenessSeconds }: Replica) => ({
  id,
  host,
  state: silent ? 'silent' : 'serving',
  started_at: startedAt,
  seen_at: seenAt,
  staleness_seconds: stalenessSeconds,
})
