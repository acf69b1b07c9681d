import { type EffectiveLimits, effectiveLimits, type Limits } from './limits.ts'
import type { TenantRights } from './tenant-settings.ts'

/** The rights of a key: each list restricts its tenant's; null inherits it. */
export interface KeyRights {
  tier: string | null
  scopes: readonly string[]
  models: readonly string[] | null
  adapters: readonly string[] | null
  audiences: readonly string[] | null
  tokenTtlSeconds: number | null
  limits: Limits
}

/** Values of the installation: priorities and limits by tier, registered base models, the longest lifetime. */
export interface Catalogue {
  priorities: ReadonlyMap<string, number>
  /** A tier without limits may be missing. */
  tierLimits: ReadonlyMap<string, Limits>
  models: readonly string[]
  tokenTtlSeconds: number
}

/** What an exchange yields at this moment. */
export interface EffectiveRights {
  readonly tier: string
  readonly priority: number
  readonly scopes: readonly string[]
  readonly models: readonly string[]
  readonly adapters: readonly string[]
  /** The first is the default. Empty: nothing may be issued. */
  readonly audiences: readonly string[]
  readonly tokenTtlSeconds: number
  readonly limits: EffectiveLimits
}

/**
 * Tenant ∩ key, computed at each exchange and never stored, so that restricting a tenant restricts all its keys at
 * once. The key's order is kept, so its first audience is its default.
 */
export function effectiveRights(tenant: TenantRights, key: KeyRights, catalogue: Catalogue): EffectiveRights {
  const tier = effectiveTier(tenant, key)
  const priority = catalogue.priorities.get(tier)
  if (priority === undefined) throw new Error(`the tier "${tier}" has no priority in the catalogue`)
  const tenantModels = restricted(catalogue.models, tenant.models)
  return {
    tier,
    priority,
    scopes: restricted(tenant.scopes, key.scopes),
    models: restricted(tenantModels, key.models),
    adapters: restricted(tenant.adapters, key.adapters),
    audiences: restricted(tenant.audiences, key.audiences),
    tokenTtlSeconds: Math.min(
      catalogue.tokenTtlSeconds,
      tenant.tokenTtlSeconds ?? Number.POSITIVE_INFINITY,
      key.tokenTtlSeconds ?? Number.POSITIVE_INFINITY,
    ),
    limits: effectiveLimits(catalogue.tierLimits.get(tenant.tier) ?? {}, tenant.limits, key.limits),
  }
}

interface Remembered {
  catalogue: Catalogue
  rights: EffectiveRights
}

const remembered = new WeakMap<TenantRights, WeakMap<KeyRights, Remembered>>()

/** `effectiveRights`, memoized for the same three objects. They are immutable: a change in Postgres brings new ones. */
export function knownRights(tenant: TenantRights, key: KeyRights, catalogue: Catalogue): EffectiveRights {
  const known = remembered.get(tenant)?.get(key)
  if (known?.catalogue === catalogue) return known.rights
  const rights = effectiveRights(tenant, key, catalogue)
  const ofTenant = remembered.get(tenant) ?? new WeakMap<KeyRights, Remembered>()
  ofTenant.set(key, { catalogue, rights })
  remembered.set(tenant, ofTenant)
  return rights
}

/** Why a gateway of this audience rejects a key with these rights; undefined: it does not. */
export function audienceObstacle(
  { audiences, scopes }: Pick<EffectiveRights, 'audiences' | 'scopes'>,
  audience: string,
  scope: string,
): 'audience_not_granted' | 'scope_not_granted' | undefined {
  if (!audiences.includes(audience)) return 'audience_not_granted'
  return scopes.includes(scope) ? undefined : 'scope_not_granted'
}

/** Whether `model` of a request may be this: the engine has one namespace for models and adapters. */
export const maySend = (
  model: string,
  { models, adapters }: Pick<EffectiveRights, 'models' | 'adapters'>,
): boolean => models.includes(model) || adapters.includes(model)

/** The key's tier where the tenant allows it, otherwise the tenant's. */
export function effectiveTier(
  tenant: Pick<TenantRights, 'tier' | 'allowedTiers'>,
  key: Pick<KeyRights, 'tier'>,
): string {
  return key.tier !== null && tenant.allowedTiers.includes(key.tier) ? key.tier : tenant.tier
}

function restricted(ceiling: readonly string[], choice: readonly string[] | null): string[] {
  return choice === null ? [...ceiling] : choice.filter(entry => ceiling.includes(entry))
}
