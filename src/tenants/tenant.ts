import { versionOf } from '../database/version.ts'
import type { Fault } from '../errors.ts'
import { labelFaults } from './labels.ts'
import { jsonBytes, LONGEST_JSON } from './name.ts'
import type { TenantSettings } from './tenant-settings.ts'

export interface Tenant extends TenantSettings {
  id: string
  suspendedAt: Date | null
  createdAt: Date
  updatedAt: Date
}

export const tenantState = (tenant: Pick<Tenant, 'suspendedAt'>): 'active' | 'suspended' =>
  tenant.suspendedAt ? 'suspended' : 'active'

export const tenantVersion = (tenant: Tenant): string => versionOf(tenant)

/** Conflicts between fields, and lists that do not fit in a token; the format of each field is checked at the edge. */
export function tenantFaults(settings: TenantSettings): Fault[] {
  const faults: Fault[] = labelFaults(settings.labels)
  if (!settings.allowedTiers.includes(settings.tier)) {
    faults.push({
      pointer: '/tier',
      message: `must be one of allowed_tiers: ${listed(settings.allowedTiers)}`,
    })
  }
  if (settings.audiences.length === 0)
    faults.push({ pointer: '/audiences', message: 'must have at least one entry' })
  for (const [field, pointer] of LISTS) {
    const list = settings[field] ?? []
    if (new Set(list).size < list.length) faults.push({ pointer, message: 'must not contain duplicates' })
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
