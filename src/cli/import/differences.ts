import { LIMIT_NAMES } from '../../tenants/limits.ts'
import type { AdminClient } from '../admin-client.ts'
import type { ImportedClient } from './import-plan.ts'
import type { Notes } from './notes.ts'

interface ImportedKey {
  id: string
  tenant: string
  state: string
  limits: Record<string, number | null>
  models: string[] | null
  adapters: string[] | null
  expires_at: string | null
  secrets: { imported: { client_id: string } | null }[]
}

const CURE = 'Nothing was changed. Change the key in the system that is out of date.'

/**
 * Notes where keys that were imported before are not as in the other system now: both run side by side, and either may have
 * been changed since.
 */
export async function noteDifferences(
  admin: AdminClient,
  clients: readonly ImportedClient[],
  prefix: string,
  notes: Notes,
): Promise<void> {
  const wanted = new Map(clients.map(client => [client.client_id, client]))
  const filter = { imported: 'lookup' }
  const keys = await admin.list<ImportedKey>('/keys', Number.POSITIVE_INFINITY, filter)
  for (const key of keys) {
    const clientId = key.secrets.map(({ imported }) => imported?.client_id).find(id => id?.startsWith(prefix))
    if (clientId === undefined) continue
    const client = wanted.get(clientId)
    if (client)
      for (const what of differences(client, key)) noteOne(notes, what, `${client.name} (${key.id})`)
    else noteOne(notes, 'gone', `${clientId} (${key.id})`)
  }
}

const MESSAGES = {
  gone: 'A key that was imported is not in the other system any more, or is not to be imported any more.',
  tenant: 'A key belongs to another tenant than its team says.',
  disabled: 'A key is blocked in the other system, and active here.',
  enabled: 'A key is disabled here, and not blocked in the other system.',
  limits: 'A key has other limits in the other system.',
  models: 'A key has other models in the other system.',
  expires_at: 'A key ends at another time in the other system.',
}
type Difference = keyof typeof MESSAGES

const noteOne = (notes: Notes, what: Difference, subject: string) =>
  notes.add(`differs_${what}`, subject, MESSAGES[what], CURE)

function differences(client: ImportedClient, key: ImportedKey): Difference[] {
  const limits = (from: Record<string, number | null | undefined>) =>
    LIMIT_NAMES.map(name => from[name] ?? null).join()
  const names = (lists: (readonly string[] | null)[]) =>
    JSON.stringify(lists.map(list => list?.toSorted() ?? null))
  const found: [Difference, boolean][] = [
    ['tenant', client.tenant !== key.tenant],
    ['disabled', client.disabled && key.state === 'active'],
    ['enabled', !client.disabled && key.state === 'disabled'],
    ['limits', limits(client.limits) !== limits(key.limits)],
    ['models', names([client.models, client.adapters]) !== names([key.models, key.adapters])],
    [
      'expires_at',
      client.expires_at !== undefined && Date.parse(client.expires_at) !== Date.parse(key.expires_at ?? ''),
    ],
  ]
  return found.flatMap(([what, differs]) => (differs ? what : []))
}
