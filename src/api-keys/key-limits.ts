import type { Fault } from '../errors.ts'
import type { Policy } from '../installation/policy.ts'
import { labelFaults } from '../tenants/labels.ts'
import type { Tenant } from '../tenants/tenant.ts'
import type { ApiKeySettings } from './key-settings.ts'

/** How long a credential may live at the most, and who says so. */
export interface LongestLifetime {
  seconds: number
  /** Whether it may have no end at all. */
  unending: boolean
  whose: 'policy' | 'tenant'
}

/** The lesser of the policy's and the tenant's. */
export function longestLifetime(
  policy: Policy,
  tenant: Pick<Tenant, 'maxKeyLifetimeSeconds'> | null,
): LongestLifetime {
  const own = tenant?.maxKeyLifetimeSeconds ?? null
  if (own === null || (own > policy.maxKeyLifetimeSeconds && !policy.unendingKeysAllowed)) {
    return { seconds: policy.maxKeyLifetimeSeconds, unending: policy.unendingKeysAllowed, whose: 'policy' }
  }
  return { seconds: Math.min(own, policy.maxKeyLifetimeSeconds), unending: false, whose: 'tenant' }
}

/** A minute's grace, so that "365 days from now" by the caller's clock is not refused by ours. */
const CLOCK_GRACE_MS = 60_000

/** What a key's settings are held against. `models` is what the tenant's models come to now. */
export interface KeyLimits {
  tenant: Tenant
  models: readonly string[]
  policy: Policy
  now: number
}

/**
 * Where the settings ask for more than the tenant has or the policy allows. Only fields that `given` names are held
 * against the tenant: narrowing a tenant must not make the next rename of a key fail.
 */
export function keyFaults(
  settings: ApiKeySettings,
  given: Partial<Record<keyof ApiKeySettings, unknown>>,
  { tenant, models, policy, now }: KeyLimits,
): Fault[] {
  const faults: Fault[] = labelFaults(settings.labels)
  const beyond = (pointer: string, list: readonly string[] | null, ceiling: readonly string[]) => {
    if (list === null) return
    if (new Set(list).size < list.length) faults.push({ pointer, message: 'must not contain duplicates' })
    for (const [index, entry] of list.entries()) {
      if (!ceiling.includes(entry)) {
        faults.push({
          pointer: `${pointer}/${index}`,
          message: `is not granted to the tenant "${tenant.id}": "${entry}"`,
        })
      }
    }
  }
  if (given.scopes !== undefined) beyond('/scopes', settings.scopes, tenant.scopes)
  if (given.models !== undefined) beyond('/models', settings.models, models)
  if (given.adapters !== undefined) beyond('/adapters', settings.adapters, tenant.adapters)
  if (given.audiences !== undefined) beyond('/audiences', settings.audiences, tenant.audiences)
  if (given.tier !== undefined && settings.tier !== null && !tenant.allowedTiers.includes(settings.tier)) {
    faults.push({
      pointer: '/tier',
      message: `must be one of the tenant's allowed_tiers: ${tenant.allowedTiers.join(', ')}`,
    })
  }
  if (given.expiresAt !== undefined)
    faults.push(...expiryFaults(settings.expiresAt, longestLifetime(policy, tenant), now))
  return faults
}

/** The latest end that a credential may have, when it begins `now` (epoch milliseconds). */
export const latestEnd = ({ seconds }: LongestLifetime, now: number): Date => new Date(now + seconds * 1000)

/** `now` in epoch milliseconds. */
export function expiryFaults(
  expiresAt: Date | null,
  { seconds, unending, whose }: LongestLifetime,
  now: number,
): Fault[] {
  const pointer = '/expires_at'
  if (expiresAt === null) {
    if (unending) return []
    const why =
      whose === 'policy'
        ? 'the policy does not allow keys without expiry'
        : 'the tenant limits the lifetime of its keys'
    return [{ pointer, message: `must not be null: ${why}` }]
  }
  if (expiresAt.getTime() <= now) return [{ pointer, message: 'must be in the future' }]
  if (expiresAt.getTime() <= now + seconds * 1000 + CLOCK_GRACE_MS) return []
  return [{ pointer, message: `must be at most ${seconds} seconds from now: the ${whose} sets this limit` }]
}
