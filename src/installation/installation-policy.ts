import { isDeepStrictEqual } from 'node:util'
import { rotationFaults } from '../config/rotation-policy.ts'
import type { SigningAlg } from '../config/signing-alg.ts'
import type { Handle } from '../database/database.ts'
import { type Policy, publishedAlgs } from './policy.ts'

/** The policy as columns of the installation record. */
export const POLICY_COLUMNS = [
  'signing_alg',
  'other_signing_algs',
  'audience_signing_algs',
  'rotation_interval_seconds',
  'publish_lead_seconds',
  'max_key_lifetime_seconds',
  'unending_keys_allowed',
  'max_live_keys_per_tenant',
  'tenant_writes_per_minute',
  'usage_dedup_seconds',
  'usage_retention_days',
  'contact_required',
  'longest_token_ttl_seconds',
  'longest_staleness_seconds',
] as const

export function policyOf(row: {
  signing_alg: string
  other_signing_algs: string[]
  audience_signing_algs: Record<string, string>
  rotation_interval_seconds: number
  publish_lead_seconds: number
  max_key_lifetime_seconds: number
  unending_keys_allowed: boolean
  max_live_keys_per_tenant: number
  tenant_writes_per_minute: number
  usage_dedup_seconds: number
  usage_retention_days: number
  contact_required: boolean
  longest_token_ttl_seconds: number
  longest_staleness_seconds: number
}): Policy {
  return {
    // The columns have check constraints; entries of the audience object that were written by hand are validated on
    // use.
    signingAlg: row.signing_alg as SigningAlg,
    otherSigningAlgs: row.other_signing_algs as SigningAlg[],
    audienceSigningAlgs: row.audience_signing_algs as Record<string, SigningAlg>,
    rotationIntervalSeconds: row.rotation_interval_seconds,
    publishLeadSeconds: row.publish_lead_seconds,
    maxKeyLifetimeSeconds: row.max_key_lifetime_seconds,
    unendingKeysAllowed: row.unending_keys_allowed,
    maxLiveKeysPerTenant: row.max_live_keys_per_tenant,
    tenantWritesPerMinute: row.tenant_writes_per_minute,
    usageDedupSeconds: row.usage_dedup_seconds,
    usageRetentionDays: row.usage_retention_days,
    contactRequired: row.contact_required,
    longestTokenTtlSeconds: row.longest_token_ttl_seconds,
    longestStalenessSeconds: row.longest_staleness_seconds,
  }
}

/** Writes what an administrator may change. Returns the installation's id. */
export async function updatePolicy(trx: Handle, policy: Policy): Promise<string> {
  const set = {
    signing_alg: policy.signingAlg,
    other_signing_algs: [...policy.otherSigningAlgs],
    audience_signing_algs: JSON.stringify(policy.audienceSigningAlgs),
    rotation_interval_seconds: policy.rotationIntervalSeconds,
    publish_lead_seconds: policy.publishLeadSeconds,
    max_key_lifetime_seconds: policy.maxKeyLifetimeSeconds,
    unending_keys_allowed: policy.unendingKeysAllowed,
    max_live_keys_per_tenant: policy.maxLiveKeysPerTenant,
    tenant_writes_per_minute: policy.tenantWritesPerMinute,
    usage_dedup_seconds: policy.usageDedupSeconds,
    usage_retention_days: policy.usageRetentionDays,
    contact_required: policy.contactRequired,
  }
  const { id } = await trx.updateTable('installation').set(set).returning('id').executeTakeFirstOrThrow()
  return id
}

/** The environment sets the policy of the first start; afterwards the record applies, and differences are warnings. */
export function policyWarnings(
  policy: Policy,
  input: { signingAlg: string; rotationIntervalSeconds: number; publishLeadSeconds: number },
): string[] {
  const pairs: [string, string | number, string | number][] = [
    ['MINTMARK_SIGNING_ALG', input.signingAlg, policy.signingAlg],
    ['MINTMARK_ROTATION_INTERVAL_SECONDS', input.rotationIntervalSeconds, policy.rotationIntervalSeconds],
    ['MINTMARK_PUBLISH_LEAD_SECONDS', input.publishLeadSeconds, policy.publishLeadSeconds],
  ]
  return pairs
    .filter(([, environment, recorded]) => environment !== recorded)
    .map(
      ([name, environment, recorded]) =>
        `${name} is ${environment} in the environment and ${recorded} in the installation record, which takes precedence`,
    )
}

/** A longer lifetime or staleness keeps retiring keys published for longer, and their number is limited. */
export function crowdFaults(
  before: Policy,
  input: { tokenTtlSeconds: number; stalenessSeconds: number },
): string[] {
  const after = {
    ...before,
    longestTokenTtlSeconds: Math.max(before.longestTokenTtlSeconds, input.tokenTtlSeconds),
    longestStalenessSeconds: Math.max(before.longestStalenessSeconds, input.stalenessSeconds),
  }
  if (isDeepStrictEqual(before, after)) return []
  return rotationFaults(after, publishedAlgs(after).length).map(
    ({ pointer, message }) =>
      `With MINTMARK_TOKEN_TTL_SECONDS=${input.tokenTtlSeconds} and MINTMARK_STALENESS_SECONDS=${input.stalenessSeconds}, ` +
      `${pointer.slice(1)} of the installation record ${message}: change the record first ("mintmark installation update"), or use lower values.`,
  )
}
