import type { Fault } from '../errors.ts'

/** The settings that determine how long keys stay published. */
export interface RotationPolicy {
  rotationIntervalSeconds: number
  publishLeadSeconds: number
  longestTokenTtlSeconds: number
  longestStalenessSeconds: number
}

/** Some verifiers reject a larger JWK Set (AWS ALB). */
export const MOST_PUBLISHED_KEYS = 10
export const LONGEST_JWKS_MAX_AGE_SECONDS = 300
/** Clock skew that verifiers tolerate (Envoy's and Istio's default). */
const CLOCK_SKEW_SECONDS = 60
/** istiod's interval between JWKS fetches after failures. */
export const SHORTEST_PUBLISH_LEAD_SECONDS = 3600
/** So the full max-age means a lead of at least an hour, and a lower one a shorter lead. */
export const MAX_AGES_IN_A_LEAD = SHORTEST_PUBLISH_LEAD_SECONDS / LONGEST_JWKS_MAX_AGE_SECONDS
export const SHORTEST_ROTATION_INTERVAL_SECONDS = 3600
export const LONGEST_ROTATION_INTERVAL_SECONDS = 31_536_000
export const LONGEST_PUBLISH_LEAD_SECONDS = 604_800

/**
 * How long a key stays published after its last use: the longest lifetime of a token signed with it, plus the time in
 * which a disconnected replica may still sign with it, plus clock skew, plus the time that verifiers cache a JWKS.
 */
export function retentionSeconds(policy: RotationPolicy): number {
  return policy.longestTokenTtlSeconds + privateRetentionSeconds(policy) + policy.publishLeadSeconds
}

/** How long a disconnected replica may need the private key of a key that no longer signs. */
export function privateRetentionSeconds(policy: RotationPolicy): number {
  return policy.longestStalenessSeconds + CLOCK_SKEW_SECONDS
}

/**
 * How long a verifier may cache the JWKS: a twelfth of the publish lead. Below the full 300 s the lead is shorter than
 * `SHORTEST_PUBLISH_LEAD_SECONDS`: so `mintmark sync` and `mintmark doctor` know it.
 */
export function jwksMaxAgeSeconds({
  publishLeadSeconds,
}: Pick<RotationPolicy, 'publishLeadSeconds'>): number {
  return Math.min(LONGEST_JWKS_MAX_AGE_SECONDS, Math.floor(publishLeadSeconds / MAX_AGES_IN_A_LEAD))
}

/** Number of published keys of one algorithm: the active one, the standby, and the retiring ones. */
export function keysPerAlg(policy: RotationPolicy): number {
  return 2 + Math.ceil(retentionSeconds(policy) / policy.rotationIntervalSeconds)
}

/** Inconsistent times. Pointers name the fields of `policy` by their wire names. */
export function rotationFaults(policy: RotationPolicy, algorithms: number): Fault[] {
  const faults: Fault[] = []
  const { rotationIntervalSeconds: interval, publishLeadSeconds: lead } = policy
  if (lead > interval) {
    faults.push({
      pointer: '/publish_lead_seconds',
      message: `must be at most the rotation interval (${interval}): a key is published for the lead before it takes over`,
    })
  }
  const published = algorithms * keysPerAlg(policy)
  if (published > MOST_PUBLISHED_KEYS)
    faults.push({ pointer: '/rotation_interval_seconds', message: tooMany(policy, algorithms) })
  return faults
}

function tooMany(policy: RotationPolicy, algorithms: number): string {
  const { longestTokenTtlSeconds, longestStalenessSeconds, publishLeadSeconds, rotationIntervalSeconds } =
    policy
  const sum = `${longestTokenTtlSeconds} + ${longestStalenessSeconds} + ${CLOCK_SKEW_SECONDS} + ${publishLeadSeconds}`
  return (
    `is too short: (longest token lifetime + staleness + clock skew + lead) / interval = (${sum}) / ${rotationIntervalSeconds}, ` +
    `so ${keysPerAlg(policy)} keys of ${algorithms === 1 ? 'an algorithm' : `each of ${algorithms} algorithms`} would be published, ` +
    `${algorithms * keysPerAlg(policy)} in all, and verifiers accept ${MOST_PUBLISHED_KEYS}`
  )
}
