import { type Key, TENANT } from '../faults/environment/known-keys.ts'
import type { Replica } from '../faults/environment/replica.ts'
import type { Ended } from './refused.ts'

const REVOKED = 20

/** Ends one of each kind before the outage, with a key of each that ended and a token that was issued before. */
export async function endBefore(replica: Replica): Promise<Ended> {
  const change = async (path: string, body: object = {}) => {
    const answer = await replica.change(path, body)
    if (answer.status >= 300) throw new Error(`POST ${path}: ${answer.status} ${answer.text}`)
    return answer.body
  }
  const newKey = async (tenant: string): Promise<Key> => {
    const { id, secret } = await change(`/tenants/${tenant}/keys`)
    return { id, secret }
  }
  const tokenOf = async ({ secret }: Key): Promise<string> =>
    (await replica.exchange(secret)).body.access_token
  for (const id of ['suspended', 'deleted']) await change('/tenants', { id })
  const revoked: Key[] = []
  while (revoked.length < REVOKED) revoked.push(await newKey(TENANT))
  const suspended = await newKey('suspended')
  const deleted = await newKey('deleted')
  const disabled = await newKey(TENANT)
  const rotated = await newKey(TENANT)
  const living = await newKey(TENANT)
  const administrator = await change('/admin-tokens', { name: 'ended', role: 'operator' })
  const [first] = revoked as [Key]
  const tokens = await Promise.all([first, suspended, living].map(tokenOf))

  for (const { id } of revoked) await change(`/keys/${id}/revoke`, { reason: 'gameday' })
  await change('/tenants/suspended/suspend')
  const gone = await replica.admin('DELETE', '/tenants/deleted?cascade=true')
  if (gone.status >= 300) throw new Error(`DELETE /tenants/deleted: ${gone.status} ${gone.text}`)
  await change(`/keys/${disabled.id}/disable`)
  await change(`/keys/${rotated.id}/rotate`, { overlap_seconds: 0 })
  // The key stays usable, its tokens do not.
  await change('/token-revocations', { key: living.id })
  await change(`/admin-tokens/${administrator.id}/revoke`, { reason: 'gameday' })
  return {
    keys: [...revoked, suspended, deleted, disabled, rotated],
    tokens,
    adminToken: administrator.secret,
  }
}
