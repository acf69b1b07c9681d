import type { SigningAlg } from '../config/config.ts'
import type { Policy } from '../database/installation.ts'
import type { SigningKey } from './signing-key.ts'

/** One forward-only change to the stored keys. */
export type Step =
  | { type: 'create'; alg: SigningAlg; state: 'active' | 'standby' }
  | { type: 'activate'; kid: string }
  | { type: 'retire'; kid: string; retiresAt: number }
  | { type: 'remove'; kid: string }

/** Verifiers allow for clocks that differ by this much (Envoy's and Istio's default). */
const CLOCK_SKEW_SECONDS = 60

/**
 * How long a key that no longer signs stays published: as long as any token signed with it may live, plus the time in
 * which a replica that is cut off may go on signing with it, plus clock skew, plus the time verifiers may hold a JWKS.
 */
export function retentionSeconds(policy: Policy): number {
  const { longestTokenTtlSeconds, longestStalenessSeconds, publishLeadSeconds } = policy
  return longestTokenTtlSeconds + longestStalenessSeconds + CLOCK_SKEW_SECONDS + publishLeadSeconds
}

/** When a standby may be used at the earliest: verifiers must have had time to see it. */
export function earliestActivation(standby: SigningKey, now: number, policy: Policy): number {
  return Math.max(now, standby.publishedAt + policy.publishLeadSeconds * 1000)
}

/**
 * What is due at `now` (the database's time, epoch milliseconds), in the order in which to do it. Pure: the same keys
 * and time give the same steps on every replica, and with nothing due there are none.
 */
export function duePlan(keys: readonly SigningKey[], now: number, policy: Policy): Step[] {
  const steps: Step[] = keys
    .filter(key => key.state === 'retiring' && key.retiresAt !== null && key.retiresAt <= now)
    .map(key => ({ type: 'remove', kid: key.kid }))
  const algs = new Set([policy.signingAlg as SigningAlg, ...keys.filter(inUse).map(key => key.alg)])
  for (const alg of algs) steps.push(...planFor(alg, keys, now, policy))
  return steps
}

const inUse = (key: SigningKey) => key.state === 'active' || key.state === 'standby'

function planFor(alg: SigningAlg, keys: readonly SigningKey[], now: number, policy: Policy): Step[] {
  const active = keys.find(key => key.alg === alg && key.state === 'active')
  const standby = keys.find(key => key.alg === alg && key.state === 'standby')
  const due = standby && standby.activatesAt !== null && standby.activatesAt <= now
  const steps: Step[] = []
  // Only an installation that has nothing to sign with may use a key that nobody has seen published.
  if (!keys.some(inUse)) steps.push({ type: 'create', alg, state: 'active' })
  if (due) {
    const retiresAt = now + retentionSeconds(policy) * 1000
    if (active) steps.push({ type: 'retire', kid: active.kid, retiresAt })
    steps.push({ type: 'activate', kid: standby.kid })
  }
  if (!standby || due) steps.push({ type: 'create', alg, state: 'standby' })
  return steps
}
