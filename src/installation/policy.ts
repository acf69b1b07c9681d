import type { RotationPolicy } from '../config/rotation-policy.ts'
import type { SigningAlg } from '../config/signing-alg.ts'
import { versionOf } from '../database/version.ts'

/** Rules that all replicas share, written into the installation record at the first start and changed there only. */
export interface Policy extends RotationPolicy {
  /** What signs for audiences that `audienceSigningAlgs` does not name. */
  signingAlg: SigningAlg
  /** Published beside `signingAlg`, each with an active and a standby key of its own. */
  otherSigningAlgs: readonly SigningAlg[]
  /** What signs for an audience whose verifiers need it: `{"legacy": "RS256"}`. */
  audienceSigningAlgs: Readonly<Record<string, SigningAlg>>
  maxKeyLifetimeSeconds: number
  unendingKeysAllowed: boolean
}

/** Without what replicas note by themselves when they start. */
export function policyVersion(policy: Policy): string {
  const { longestTokenTtlSeconds: _ttl, longestStalenessSeconds: _staleness, ...chosen } = policy
  return versionOf(chosen)
}

/** Every algorithm that has keys, the default first. */
export const publishedAlgs = (policy: Pick<Policy, 'signingAlg' | 'otherSigningAlgs'>): SigningAlg[] => [
  ...new Set([policy.signingAlg, ...policy.otherSigningAlgs]),
]

/**
 * The algorithm for a token of these audiences: the one that an audience among them asks for, else the default.
 * Undefined when two of them ask for different ones.
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
