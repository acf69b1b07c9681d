import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer, Replica } from '../faults/environment/replica.ts'

/** A change that cannot be made stays 503. On a busy machine others are 503 too, until they are repeated. */
const TRIES = 5
const PAUSE_MS = 1_000

/**
 * Every kind of change on one replica, each on objects of its own. Returns those that were refused, as
 * `POST /signing-keys/rotate: 503`.
 */
export async function refusedWrites(replica: Replica, has: { usage: boolean }): Promise<string[]> {
  const id = `w-${randomBytes(5).toString('hex')}`
  const refused: string[] = []
  const call = async (method: string, path: string, body?: object, named = path) => {
    const answer = await repeated(replica, method, path, body)
    if (answer.status < 200 || answer.status > 299) refused.push(`${method} ${named}: ${answer.status}`)
    return answer.body
  }
  await call('PUT', `/tiers/${id}`, { priority: 3 }, '/tiers/…')
  await call('PUT', `/models/${id}`, {}, '/models/…')
  await call('PUT', `/adapters/${id}-sql`, { base_model: id }, '/adapters/…')
  await call('POST', '/tenants', { id, name: id, tier: id, adapters: [`${id}-sql`] })
  await call('PATCH', `/tenants/${id}`, { description: 'changed' }, '/tenants/…')
  const key = await call('POST', `/tenants/${id}/keys`, { models: [id] }, '/tenants/…/keys')
  await call('PATCH', `/keys/${key?.id}`, { name: 'changed' }, '/keys/…')
  await call('POST', `/keys/${key?.id}/disable`, {}, '/keys/…/disable')
  await call('POST', `/keys/${key?.id}/enable`, {}, '/keys/…/enable')
  await call('POST', `/keys/${key?.id}/rotate`, { overlap_seconds: 600 }, '/keys/…/rotate')
  const hash = randomBytes(32).toString('hex')
  const client = { client_id: `client-${id}`, tenant: id, scheme: 'sha256', hash }
  await call('POST', '/imported-clients', { clients: [client] })
  await call('POST', `/keys/${key?.id}/revoke`, {}, '/keys/…/revoke')
  await call('POST', `/tenants/${id}/suspend`, {}, '/tenants/…/suspend')
  await call('POST', `/tenants/${id}/resume`, {}, '/tenants/…/resume')
  const token = await call('POST', '/admin-tokens', { name: id, role: 'auditor' })
  await call('POST', `/admin-tokens/${token?.id}/revoke`, {}, '/admin-tokens/…/revoke')
  if (has.usage) {
    const reporter = await call('POST', '/usage-reporters', { name: id, audiences: ['vllm'] })
    await call('DELETE', `/usage-reporters/${reporter?.id}`, undefined, '/usage-reporters/…')
  }
  const { policy } = await call('GET', '/installation')
  await call('PATCH', '/installation', {
    policy: { max_key_lifetime_seconds: policy?.max_key_lifetime_seconds },
  })
  await call('POST', '/signing-keys/rotate', {})
  const { data } = await call('GET', '/signing-keys')
  const { kid } = data.find(({ state }: { state: string }) => state === 'standby')
  await call('POST', `/signing-keys/${kid}/hold`, {}, '/signing-keys/…/hold')
  await call('POST', `/signing-keys/${kid}/release`, {}, '/signing-keys/…/release')
  await call('DELETE', `/tenants/${id}?cascade=true`, undefined, '/tenants/…')
  return refused
}

/** As the API recommends: under one Idempotency-Key. */
async function repeated(replica: Replica, method: string, path: string, body?: object): Promise<Answer> {
  const headers: Record<string, string> = method === 'POST' ? { 'idempotency-key': randomUUID() } : {}
  for (let count = 1; ; count++) {
    const answer = await replica.admin(method, path, body, headers)
    if (answer.status !== 503 || count === TRIES) return answer
    await sleep(PAUSE_MS)
  }
}
