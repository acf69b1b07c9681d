import type { Fault } from '../errors.ts'
import type { Policy } from '../installation/policy.ts'
import { labelFaults } from '../tenants/labels.ts'
import type { Tenant } from '../tenants/tenant.ts'
import type { ApiKeySettings } from './key-settings.ts'

/** The longest allowed lifetime of a credential, and where the limit comes from. */
export interface LongestLifetime {
  seconds: number
  /** Whether it may have no end. */
  unending: boolean
  whose: 'policy' | 'tenant'
}

/** The shorter of the policy's and the tenant's. */
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

/** Tolerance of a minute, so that "365 days from now" by the caller's clock is accepted. */
const CLOCK_GRACE_MS = 60_000

/** Limits on a key's settings. `models` is the tenant's current list of models. */
export interface KeyLimits {
  tenant: Tenant
  models: readonly string[]
  policy: Policy
  now: number
}

/**
 * Settings that exceed the tenant's rights or the policy. Only fields in `given` are compared with the tenant:
 * restricting a tenant must not make a later rename of a key fail.
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
  const hasContact = settings.contact !== null || tenant.contact !== null
  if (given.contact !== undefined && policy.contactRequired && !hasContact)
    faults.push({
      pointer: '/contact',
      message: 'must be set, for the key or its tenant: the policy requires a contact (contact_required)',
    })
  if (given.expiresAt !== undefined)
    faults.push(...expiryFaults(settings.expiresAt, longestLifetime(policy, tenant), now))
  return faults
}

/** The latest allowed end of a credential that begins at `now` (epoch milliseconds). */
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
