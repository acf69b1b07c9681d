import { fetchThrough } from '../connection/fetch-through.ts'
import { readAdminSettings } from '../settings.ts'
import type { Candidate } from './candidates.ts'
import { LISTS, type Listed } from './values.ts'

/** A person waits for it at each press of the key. */
const TIMEOUT_MS = 1000
const MOST_NAMES = 100

interface Item {
  id?: string
  kid?: string
  name?: string
  tenant?: string
  state?: string
  description?: string
}

/**
 * The newest objects of the service, to complete a name: one request, with the credentials of every other command. Nothing
 * when there are no credentials, when a command would have to be run for them, or when the service does not answer at once.
 */
export async function listedNames(environment: NodeJS.ProcessEnv, list: Listed): Promise<Candidate[]> {
  try {
    const { url, token } = readAdminSettings(environment, { runsCommands: false })
    const paging = list === 'signing keys' ? '' : `?limit=${MOST_NAMES}`
    const response = await fetchThrough(environment)(`${url}/admin/v1${LISTS[list]}${paging}`, {
      headers: { authorization: `Bearer ${token}` },
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    if (!response.ok) return []
    const { data } = (await response.json()) as { data: Item[] }
    return data.map(item => ({ word: item.id ?? item.kid ?? item.name ?? '', summary: summaryOf(item) }))
  } catch {
    return []
  }
}

const summaryOf = ({ id, name, tenant, state, description }: Item): string =>
  [id === undefined ? description : name, tenant, state].filter(Boolean).join(', ')
