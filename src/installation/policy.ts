import type { RotationPolicy } from '../config/rotation-policy.ts'
import type { SigningAlg } from '../config/signing-alg.ts'
import { versionOf } from '../database/version.ts'

/** Rules that all replicas share, stored in the installation record at the first start and changed there only. */
export interface Policy extends RotationPolicy {
  /** Signs for audiences that `audienceSigningAlgs` does not name. */
  signingAlg: SigningAlg
  /** Published in addition to `signingAlg`, each with its own active and standby key. */
  otherSigningAlgs: readonly SigningAlg[]
  /** The algorithm of audiences with verifiers that need it: `{"legacy": "RS256"}`. */
  audienceSigningAlgs: Readonly<Record<string, SigningAlg>>
  maxKeyLifetimeSeconds: number
  unendingKeysAllowed: boolean
  /** Keys of one tenant that are neither revoked nor expired. */
  maxLiveKeysPerTenant: number
  /** Changes by the administrators of one tenant, per minute and replica. */
  tenantWritesPerMinute: number
  /** How long a record of usage may be reported, and is recognized when it is reported again. */
  usageDedupSeconds: number
  /** How long hourly totals of usage are kept. */
  usageRetentionDays: number
  /** New tenants need a contact, and new keys one of their own or their tenant's. */
  contactRequired: boolean
}

/** Excludes what replicas record automatically at start. */
export function policyVersion(policy: Policy): string {
  const { longestTokenTtlSeconds: _ttl, longestStalenessSeconds: _staleness, ...chosen } = policy
  return versionOf(chosen)
}

/** Every algorithm with keys, the default first. */
export const publishedAlgs = (policy: Pick<Policy, 'signingAlg' | 'otherSigningAlgs'>): SigningAlg[] => [
  ...new Set([policy.signingAlg, ...policy.otherSigningAlgs]),
]

/**
 * The algorithm for a token of these audiences: the one that an audience requires, otherwise the default. Undefined
 * when two audiences require different ones.
 */
export function signingAlgFor(
  policy: Pick<Policy, 'signingAlg' | 'audienceSigningAlgs'>,
  audiences: readonly string[],
): SigningAlg | undefined {
  const { audienceSigningAlgs: algs, signingAlg } = policy
  const chosen = audiences.filter(name => Object.hasOwn(algs, name)).map(name => algs[name])
  if (chosen.some(alg => alg !== chosen[0])) return undefined
  return chosen[0] ?? signingAlg
}
