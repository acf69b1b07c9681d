import { systemClock } from '../../system/clock.ts'
import type { AdminClient } from '../admin-client.ts'
import type { Destination, KnownTenant } from './import-plan.ts'

/** Reads what Mintmark has, for the mapping. */
export async function readDestination(admin: AdminClient): Promise<Destination> {
  const named = async (place: string) => {
    const items = await admin.list<{ name: string }>(place)
    return new Set(items.map(({ name }) => name))
  }
  const { policy } = await admin.get<{
    policy: { max_key_lifetime_seconds: number; max_live_keys_per_tenant: number; contact_required: boolean }
  }>('/installation')
  return {
    models: await named('/models'),
    adapters: await named('/adapters'),
    tenants: await admin.list<KnownTenant>('/tenants'),
    longestLifetimeSeconds: policy.max_key_lifetime_seconds,
    mostLiveKeys: policy.max_live_keys_per_tenant,
    contactRequired: policy.contact_required,
    now: systemClock.wallMs(),
  }
}
