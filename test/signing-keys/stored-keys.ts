import type { SigningAlg } from '../../src/config/signing-alg.ts'
import type { Policy } from '../../src/installation/policy.ts'
import type { Step } from '../../src/signing-keys/rotation.ts'
import type { SigningKey } from '../../src/signing-keys/signing-key.ts'

export const NOW = 1_800_000_000_000
export const policy: Policy = {
  signingAlg: 'ES256',
  otherSigningAlgs: [],
  audienceSigningAlgs: {},
  rotationIntervalSeconds: 2_592_000,
  publishLeadSeconds: 7_200,
  maxKeyLifetimeSeconds: 31_536_000,
  unendingKeysAllowed: false,
  maxLiveKeysPerTenant: 10_000,
  tenantWritesPerMinute: 300,
  usageDedupSeconds: 3600,
  usageRetentionDays: 400,
  contactRequired: false,
  longestTokenTtlSeconds: 300,
  longestStalenessSeconds: 900,
}
export const INTERVAL_MS = policy.rotationIntervalSeconds * 1000
export const LEAD_MS = policy.publishLeadSeconds * 1000

/** A stored key, published long ago; an active one has signed for a third of the interval. */
export const key = (kid: string, state: SigningKey['state'], more: Partial<SigningKey> = {}): SigningKey => ({
  kid,
  alg: 'ES256',
  state,
  publicJwk: {},
  publishedAt: NOW - INTERVAL_MS,
  activatesAt: state === 'standby' ? NOW + INTERVAL_MS / 2 : NOW - INTERVAL_MS / 2,
  retiresAt: state === 'retiring' ? NOW + 1e6 : null,
  forgetsAt: state === 'retiring' ? NOW + 5e5 : null,
  held: false,
  ...more,
})

/** Applies a step to the stored keys, for tests that drive the plan through time. */
export function done(keys: readonly SigningKey[], step: Step, now: number, newKid: string): SigningKey[] {
  const change = (kid: string, more: Partial<SigningKey>) =>
    keys.map(stored => (stored.kid === kid ? { ...stored, ...more } : stored))
  switch (step.type) {
    case 'create':
      return [...keys, made(newKid, step.alg, step.state, now, step.activatesAt)]
    case 'schedule':
      return change(step.kid, { activatesAt: step.activatesAt })
    case 'activate':
      return change(step.kid, { state: 'active', activatesAt: step.activatesAt, held: false })
    case 'retire': {
      const wasActive = keys.some(stored => stored.kid === step.kid && stored.state === 'active')
      const { retiresAt, forgetsAt } = step
      const more = wasActive ? {} : { activatesAt: null }
      return change(step.kid, { state: 'retiring', retiresAt, forgetsAt, held: false, ...more })
    }
    case 'forget':
      return change(step.kid, { forgetsAt: null })
    case 'remove':
    case 'revoke':
    case 'discard':
      return keys.filter(stored => stored.kid !== step.kid)
    case 'hold':
    case 'release':
      return change(step.kid, { held: step.type === 'hold' })
  }
}

function made(
  kid: string,
  alg: SigningAlg,
  state: 'active' | 'standby',
  now: number,
  activatesAt: number | null,
): SigningKey {
  return { ...key(kid, state), alg, publishedAt: now, activatesAt }
}
