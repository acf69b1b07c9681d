import { type AdminClient, path } from '../admin-client.ts'
import type { Destination } from './import-plan.ts'
import { isClosed, tenantOfTeam } from './litellm.ts'
import type { LiteLLMTables } from './litellm-tables.ts'

/**
 * Suspends the tenants of blocked teams that an import created and was interrupted before it suspended them: they have no key
 * yet. Returns the destination as it is then; a dry run only says so.
 */
export async function suspendUnfinished(
  admin: AdminClient,
  { teams }: LiteLLMTables,
  destination: Destination,
  dryRun: boolean,
): Promise<Destination> {
  const suspended = new Set<string>()
  for (const team of teams.filter(isClosed)) {
    const tenant = tenantOfTeam(team, destination)
    if (tenant?.state !== 'active') continue
    const keys = await admin.list(path`/tenants/${tenant.id}/keys`, 1)
    if (keys.length > 0) continue
    if (!dryRun) await admin.post(path`/tenants/${tenant.id}/suspend`, {})
    suspended.add(tenant.id)
  }
  const tenants = destination.tenants.map(tenant =>
    suspended.has(tenant.id) ? { ...tenant, state: 'suspended' as const } : tenant,
  )
  return { ...destination, tenants }
}
