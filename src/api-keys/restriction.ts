import { Forbidden } from '../errors.ts'
import { LIMIT_NAMES, type Limits } from '../tenants/limits.ts'
import { effectiveTier } from '../tenants/rights.ts'
import { entriesOf, snakeCase } from '../tenants/setting.ts'
import type { Tenant } from '../tenants/tenant.ts'
import { type ApiKeySettings, KEY_SETTINGS } from './key-settings.ts'

/**
 * For callers that may only restrict: no setting may yield more than before. `null` inherits the tenant's rights,
 * including later ones, so a list must not become null again. Both settings are within the tenant's rights.
 * @throws {Forbidden} naming the fields that would be extended.
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
    // vLLM's scale: a lower value is served sooner.
    if (name === 'tier') return after.tier !== before.tier && priority(after) < priority(before)
    if (form.kind === 'limits') return hasWiderLimit(before.limits, after.limits)
    return isWider(before[name], after[name])
  })
  if (wider.length === 0) return
  const names = wider.map(([name]) => snakeCase(name)).join(', ')
  throw new Forbidden(`A tenant-admin can only restrict a key. The request would extend: ${names}.`)
}

const hasWiderLimit = (before: Limits, after: Limits) =>
  LIMIT_NAMES.some(name => isWider(before[name] ?? null, after[name] ?? null))

/** null: unrestricted. A value of an unknown kind counts as wider when it differs. */
function isWider(before: unknown, after: unknown): boolean {
  if (before === null) return false
  if (after === null) return true
  if (Array.isArray(before) && Array.isArray(after)) return after.some(entry => !before.includes(entry))
  if (typeof before === 'number' && typeof after === 'number') return after > before
  if (before instanceof Date && after instanceof Date) return after > before
  return JSON.stringify(before) !== JSON.stringify(after)
}
