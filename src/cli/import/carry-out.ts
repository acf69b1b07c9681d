import { type AdminClient, ApiError, path } from '../admin-client.ts'
import { EXIT } from '../exit-codes.ts'
import { printProgress } from '../output.ts'
import type { Destination, ImportedClient, ImportPlan } from './import-plan.ts'
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
  {
    dryRun,
    contact,
    destination,
  }: { dryRun: boolean; contact: string | undefined; destination: Destination },
): Promise<ImportReport> {
  const { notes } = plan
  const fresh = new Set(plan.tenants.map(({ id }) => id))
  const refusedTenants = dryRun
    ? tenantsWithoutContact(plan, destination, contact)
    : await createTenants(admin, plan, contact)
  const planned = withoutRepetitions(
    plan.clients.filter(({ tenant }) => !refusedTenants.has(tenant)),
    notes,
  )
  const keys = { created: 0, exists: 0, refused: plan.clients.length - planned.length }
  const room = new Map([...fresh].map(id => [id, destination.mostLiveKeys]))
  for (let from = 0; from < planned.length; from += CLIENTS_A_REQUEST) {
    const clients = planned.slice(from, from + CLIENTS_A_REQUEST)
    const rows = await rehearsed(admin, clients)
    const refused = new Set<string>()
    for (const row of rows) {
      const faults = dryRun ? foreseen(row, clients, room) : row.errors
      if (faults.length > 0) refused.add(row.client_id)
      keys[faults.length > 0 ? 'refused' : row.result === 'exists' ? 'exists' : 'created']++
      for (const { pointer, message } of faults)
        noteRefused(notes, clients, row.client_id, `${pointer.slice(1)} ${message}`)
    }
    const accepted = clients.filter(({ client_id }) => !refused.has(client_id))
    if (!dryRun && accepted.length > 0) await admin.post('/imported-clients', { clients: accepted })
    const done = from + clients.length
    printProgress(done < planned.length ? `${done} of ${planned.length} keys` : '')
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

/** Of two entries for one client or one secret the first counts, wherever the second is. */
function withoutRepetitions(clients: readonly ImportedClient[], notes: Notes): ImportedClient[] {
  const seen = new Set<string>()
  return clients.filter(({ client_id, hash, name }) => {
    const isNew = !seen.has(`id ${client_id}`) && !seen.has(`hash ${hash}`)
    if (!isNew)
      notes.add(
        'repeated',
        name,
        'Not imported: the same key is in it more than once.',
        'Nothing: the first is imported.',
      )
    seen.add(`id ${client_id}`).add(`hash ${hash}`)
    return isNew
  })
}

/** What the import would do with each client. One that the service cannot even read does not stop the others. */
async function rehearsed(
  admin: AdminClient,
  clients: readonly ImportedClient[],
): Promise<ServerReport['rows']> {
  if (clients.length === 0) return []
  try {
    return (await admin.post<ServerReport>('/imported-clients?dry_run=true', { clients })).rows
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    const faults = Map.groupBy(error.faults, ({ pointer }) =>
      Number(/^\/clients\/(\d+)\//.exec(pointer)?.[1] ?? -1),
    )
    if (faults.size === 0 || faults.has(-1)) throw error
    const unreadable = [...faults].map(([index, found]) => ({
      client_id: clients[index]?.client_id ?? '',
      result: 'refused' as const,
      key: null,
      errors: found.map(({ pointer, message }) => ({
        pointer: pointer.replace(/^\/clients\/\d+/, ''),
        message,
      })),
    }))
    const readable = await rehearsed(
      admin,
      clients.filter((_, index) => !faults.has(index)),
    )
    return [...unreadable, ...readable]
  }
}

type Row = ServerReport['rows'][number]

/** The faults that a client will have once its new tenant exists. `room`: the live keys that new tenants may still have. */
function foreseen(row: Row, clients: readonly ImportedClient[], room: Map<string, number>): Row['errors'] {
  const tenant = clients.find(({ client_id }) => client_id === row.client_id)?.tenant ?? ''
  const left = room.get(tenant)
  if (left === undefined) return row.errors
  // That it does not exist yet.
  const errors = row.errors.filter(({ pointer }) => pointer !== '/tenant')
  if (errors.length > 0) return errors
  room.set(tenant, left - 1)
  return left > 0
    ? []
    : [
        {
          pointer: '/tenant',
          message: 'has no room for this client (max_live_keys_per_tenant of the policy)',
        },
      ]
}

/** The ids of new tenants that the policy refuses without a contact. */
function tenantsWithoutContact(
  { tenants, notes }: ImportPlan,
  { contactRequired }: Destination,
  contact: string | undefined,
): Set<string> {
  if (!contactRequired || contact !== undefined) return new Set()
  for (const { name } of tenants)
    notes.add(
      'tenant_refused: contact',
      name,
      'A tenant and its keys are not imported: the policy requires a contact.',
      CONTACT,
    )
  return new Set(tenants.map(({ id }) => id))
}

const CONTACT = 'Name a person or team for the new tenants: --contact <text>.'
