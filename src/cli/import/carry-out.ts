import { type AdminClient, ApiError, path } from '../admin-client.ts'
import { EXIT } from '../exit-codes.ts'
import type { ImportedClient, ImportPlan } from './import-plan.ts'
import type { Notes } from './notes.ts'

/** What an import did, or would do. */
export interface ImportReport {
  dry_run: boolean
  tenants: { created: number; ids: string[] }
  keys: { created: number; exists: number; refused: number }
  notes: Notes['all']
}

/** Keeps one transaction, and what one answer takes, short. */
const CLIENTS_A_REQUEST = 250

interface ServerReport {
  rows: {
    client_id: string
    result: 'created' | 'exists' | 'refused'
    key: string | null
    errors: { pointer: string; message: string }[]
  }[]
}

/**
 * Creates the tenants, then imports the keys. Safe to interrupt and to repeat: a tenant of a blocked team is suspended before its
 * first key, and a key that was imported stays as it is. What the service would refuse is noted, and the rest is imported.
 * `contact`: of the new tenants.
 */
export async function carryOut(
  admin: AdminClient,
  plan: ImportPlan,
  { dryRun, contact }: { dryRun: boolean; contact: string | undefined },
): Promise<ImportReport> {
  const { notes } = plan
  const fresh = new Set(plan.tenants.map(({ id }) => id))
  const refusedTenants = dryRun ? new Set<string>() : await createTenants(admin, plan, contact)
  const planned = plan.clients.filter(({ tenant }) => !refusedTenants.has(tenant))
  const keys = { created: 0, exists: 0, refused: plan.clients.length - planned.length }
  // The service cannot check keys of tenants that do not exist yet.
  const [checked, unchecked] = dryRun ? partition(planned, ({ tenant }) => !fresh.has(tenant)) : [planned, []]
  keys.created += unchecked.length
  for (let from = 0; from < checked.length; from += CLIENTS_A_REQUEST) {
    const clients = checked.slice(from, from + CLIENTS_A_REQUEST)
    const { rows } = await admin.post<ServerReport>('/imported-clients?dry_run=true', { clients })
    const refused = new Set(rows.flatMap(row => (row.result === 'refused' ? row.client_id : [])))
    for (const row of rows) {
      keys[row.result]++
      for (const { pointer, message } of row.errors)
        noteRefused(notes, clients, row.client_id, `${pointer.slice(1)} ${message}`)
    }
    const accepted = clients.filter(({ client_id }) => !refused.has(client_id))
    if (!dryRun && accepted.length > 0) await admin.post('/imported-clients', { clients: accepted })
  }
  const ids = plan.tenants.flatMap(({ id }) => (refusedTenants.has(id) ? [] : id))
  return { dry_run: dryRun, tenants: { created: ids.length, ids }, keys, notes: notes.all }
}

/** Returns the ids of those that the service refuses. */
async function createTenants(
  admin: AdminClient,
  { tenants, notes }: ImportPlan,
  contact: string | undefined,
): Promise<Set<string>> {
  const refused = new Set<string>()
  for (const { suspended, ...tenant } of tenants) {
    try {
      await admin.post('/tenants', { ...tenant, ...(contact !== undefined && { contact }) })
      if (suspended) await admin.post(path`/tenants/${tenant.id}/suspend`, {})
    } catch (error) {
      if (!(error instanceof ApiError) || error.exitCode !== EXIT.conflict) throw error
      const faults = error.faults.map(({ pointer, message }) => `${pointer.slice(1)} ${message}`)
      const why = faults.join('; ') || error.message
      notes.add(
        `tenant_refused: ${why}`,
        tenant.name,
        `A tenant and its keys are not imported: ${why}`,
        CREATE,
      )
      refused.add(tenant.id)
    }
  }
  return refused
}

const CREATE = 'Create the tenant, and import into it: --tenant.'

function noteRefused(notes: Notes, clients: readonly ImportedClient[], clientId: string, why: string): void {
  const name = clients.find(({ client_id }) => client_id === clientId)?.name ?? clientId
  notes.add(`refused: ${why}`, name, `Not imported: ${why}.`, 'Change it, then import again.')
}

function partition<T>(items: readonly T[], holds: (item: T) => boolean): [T[], T[]] {
  return [items.filter(holds), items.filter(item => !holds(item))]
}
