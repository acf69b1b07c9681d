import type { Fault } from '../errors.ts'

/** What decides how long keys stay published. */
export interface RotationPolicy {
  rotationIntervalSeconds: number
  publishLeadSeconds: number
  longestTokenTtlSeconds: number
  longestStalenessSeconds: number
}

/** Some verifiers take no larger JWK Set (AWS ALB). */
export const MOST_PUBLISHED_KEYS = 10
const LONGEST_JWKS_MAX_AGE_SECONDS = 300
/** Verifiers allow for clocks that differ by this much (Envoy's and Istio's default). */
const CLOCK_SKEW_SECONDS = 60
/** istiod asks for the JWKS this seldom after failures. */
export const SHORTEST_PUBLISH_LEAD_SECONDS = 3600
export const SHORTEST_ROTATION_INTERVAL_SECONDS = 3600
export const LONGEST_ROTATION_INTERVAL_SECONDS = 31_536_000
export const LONGEST_PUBLISH_LEAD_SECONDS = 604_800

/**
 * How long a key that no longer signs stays published: as long as any token signed with it may live, plus the time in
 * which a replica that is cut off may go on signing with it, plus clock skew, plus the time verifiers may hold a JWKS.
 */
export function retentionSeconds(policy: RotationPolicy): number {
  return policy.longestTokenTtlSeconds + privateRetentionSeconds(policy) + policy.publishLeadSeconds
}

/** How long a replica that is cut off may need the private half of a key that no longer signs. */
export function privateRetentionSeconds(policy: RotationPolicy): number {
  return policy.longestStalenessSeconds + CLOCK_SKEW_SECONDS
}

/** How long a verifier may keep the JWKS: well under the time for which a key is published before its use. */
export function jwksMaxAgeSeconds({
  publishLeadSeconds,
}: Pick<RotationPolicy, 'publishLeadSeconds'>): number {
  return Math.min(LONGEST_JWKS_MAX_AGE_SECONDS, Math.floor(publishLeadSeconds / 2))
}

/** How many keys of one algorithm are published at a time: the active one, the standby, and those that retire. */
export function keysPerAlg(policy: RotationPolicy): number {
  return 2 + Math.ceil(retentionSeconds(policy) / policy.rotationIntervalSeconds)
}

/** Where the times do not fit together. Pointers name the fields of `policy` as they are written on the wire. */
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
