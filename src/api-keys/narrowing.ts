import { Forbidden } from '../errors.ts'
import { effectiveTier } from '../tenants/rights.ts'
import type { Tenant } from '../tenants/tenant.ts'
import type { ApiKeySettings } from './api-key.ts'

const LISTS = ['models', 'adapters', 'audiences'] as const

/**
 * For those who may only narrow: each setting of the key yields what it did, or less. `null` is all that the tenant
 * has, now and later, so a list never becomes null again. Both settings are within the tenant's rights already.
 * @throws {Forbidden} naming the fields that would widen.
 */
export function refuseWidening(
  tenant: Tenant,
  before: ApiKeySettings,
  after: ApiKeySettings,
  priorities: ReadonlyMap<string, number>,
): void {
  const priority = (key: ApiKeySettings) => priorities.get(effectiveTier(tenant, key)) ?? 0
  const wider = [
    ...(isWider(before.scopes, after.scopes) ? ['scopes'] : []),
    ...LISTS.filter(field => isWider(before[field], after[field])),
    // vLLM's scale: lower is sooner.
    ...(after.tier !== before.tier && priority(after) < priority(before) ? ['tier'] : []),
    ...(exceeds(before.tokenTtlSeconds, after.tokenTtlSeconds) ? ['token_ttl_seconds'] : []),
    ...(exceeds(before.expiresAt?.getTime() ?? null, after.expiresAt?.getTime() ?? null)
      ? ['expires_at']
      : []),
  ]
  if (wider.length === 0) return
  throw new Forbidden(`This may only narrow a key, and would widen its ${wider.join(', ')}.`)
}

function isWider(before: readonly string[] | null, after: readonly string[] | null): boolean {
  if (before === null) return false
  return after === null || after.some(entry => !before.includes(entry))
}

/** null: no bound of its own. */
const exceeds = (before: number | null, after: number | null): boolean =>
  before !== null && (after === null || after > before)
