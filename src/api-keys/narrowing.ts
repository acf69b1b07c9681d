import { Forbidden } from '../errors.ts'
import { effectiveTier } from '../tenants/rights.ts'
import { entriesOf, snakeCase } from '../tenants/setting.ts'
import type { Tenant } from '../tenants/tenant.ts'
import { type ApiKeySettings, KEY_SETTINGS } from './key-settings.ts'

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
  const wider = entriesOf(KEY_SETTINGS).filter(([name, { form }]) => {
    if (form.kind === 'text' || form.kind === 'labels') return false
    // vLLM's scale: lower is sooner.
    if (name === 'tier') return after.tier !== before.tier && priority(after) < priority(before)
    return isWider(before[name], after[name])
  })
  if (wider.length === 0) return
  const names = wider.map(([name]) => snakeCase(name)).join(', ')
  throw new Forbidden(`A tenant-admin can only restrict a key. The request would extend: ${names}.`)
}

/** null: no bound of its own. What is of no kind that is known here counts as wider once it differs. */
function isWider(before: unknown, after: unknown): boolean {
  if (before === null) return false
  if (after === null) return true
  if (Array.isArray(before) && Array.isArray(after)) return after.some(entry => !before.includes(entry))
  if (typeof before === 'number' && typeof after === 'number') return after > before
  if (before instanceof Date && after instanceof Date) return after > before
  return JSON.stringify(before) !== JSON.stringify(after)
}
