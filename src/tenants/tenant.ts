import { versionOf } from '../database/version.ts'
import type { Fault } from '../errors.ts'
import { labelFaults } from './labels.ts'
import { jsonBytes, LONGEST_JSON } from './name.ts'

/** What a tenant may be set to. Lists are ceilings: a key only ever narrows them. */
export interface TenantSettings {
  /** For people, not unique. */
  name: string
  description: string
  labels: Record<string, string>
  /** One of `allowedTiers`. */
  tier: string
  allowedTiers: readonly string[]
  scopes: readonly string[]
  /** null: every registered base model. */
  models: readonly string[] | null
  adapters: readonly string[]
  /** The first is the default. */
  audiences: readonly string[]
  /** null: the policy's. */
  tokenTtlSeconds: number | null
  /** null: the policy's; 0: each exchange asks Postgres. */
  stalenessSeconds: number | null
  /** null: the policy's. For keys that are made or given another end from now on. */
  maxKeyLifetimeSeconds: number | null
}

export interface Tenant extends TenantSettings {
  id: string
  suspendedAt: Date | null
  createdAt: Date
  updatedAt: Date
}

export const tenantState = (tenant: Pick<Tenant, 'suspendedAt'>): 'active' | 'suspended' =>
  tenant.suspendedAt ? 'suspended' : 'active'

export const tenantVersion = (tenant: Tenant): string => versionOf(tenant)

/** The settings of a tenant about which nothing was said but its id. */
export function defaultTenantSettings(id: string, audience: string): TenantSettings {
  return {
    name: id,
    description: '',
    labels: {},
    tier: 'standard',
    allowedTiers: [],
    scopes: ['inference'],
    models: null,
    adapters: [],
    audiences: [audience],
    tokenTtlSeconds: null,
    stalenessSeconds: null,
    maxKeyLifetimeSeconds: null,
  }
}

/** What the fields say against each other and against the size of a token; the form of each is checked at the edge. */
export function tenantFaults(settings: TenantSettings): Fault[] {
  const faults: Fault[] = labelFaults(settings.labels)
  if (!settings.allowedTiers.includes(settings.tier)) {
    faults.push({
      pointer: '/tier',
      message: `must be one of allowed_tiers, which has ${listed(settings.allowedTiers)}`,
    })
  }
  if (settings.audiences.length === 0)
    faults.push({ pointer: '/audiences', message: 'must have at least one entry' })
  for (const [field, pointer] of LISTS) {
    const list = settings[field] ?? []
    if (new Set(list).size < list.length)
      faults.push({ pointer, message: 'must not name the same entry twice' })
    if (field === 'allowedTiers') continue
    if (jsonBytes(list) > LONGEST_JSON[field]) {
      faults.push({
        pointer,
        message: `must not be longer than ${LONGEST_JSON[field]} bytes as JSON, because a token carries it`,
      })
    }
  }
  return faults
}

const LISTS = [
  ['allowedTiers', '/allowed_tiers'],
  ['scopes', '/scopes'],
  ['models', '/models'],
  ['adapters', '/adapters'],
  ['audiences', '/audiences'],
] as const

const listed = (names: readonly string[]) => (names.length === 0 ? 'no entry' : names.join(', '))
