import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'

/** What a run needs of a service. */
export interface Called {
  admin(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<{ status: number; body: unknown; headers: Headers }>
  token(parameters: Record<string, string>): Promise<{ status: number; body: unknown }>
}

/** Less than any two time zones that are tried are apart from UTC. */
const NEAR_MS = 1_800_000
/** The default of MINTMARK_PUBLISH_LEAD_SECONDS. */
const LEAD_MS = 7_200_000
/** The longest life of a key, which is the default. */
const YEAR_MS = 365 * 86_400_000
const TEXT = "Zoë's «label» \\ 日本 \u{1f511} ''\\''"

/**
 * One life with every admin write, its reading back, exchanges, revocation and rotation. Returns every status and body,
 * with ids, secrets and times of this hour replaced, so that the transcripts of two databases can be compared.
 */
export async function transcript(called: Called): Promise<string[]> {
  const admin: Called['admin'] = (method, path, body) => {
    const headers = method === 'POST' ? { 'idempotency-key': randomUUID() } : {}
    return retried(() => called.admin(method, path, body, headers))
  }
  const token: Called['token'] = request => retried(() => called.token(request))
  const said: string[] = []
  const call = async (method: string, path: string, body?: unknown) => {
    const answer = await admin(method, path, body)
    said.push(
      plain(`${method} ${path} → ${answer.status} ${JSON.stringify(comparable(path, answer.body)) ?? ''}`),
    )
    // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
    return answer.body as any
  }
  const exchange = async (secret: string) => {
    const answer = await token({ grant_type: 'client_credentials', client_secret: secret })
    const { access_token, ...rest } = answer.body as { access_token?: string }
    const claims = access_token && {
      ...decodeJwt(access_token),
      iat: 0,
      exp: 0,
      nbf: 0,
      jti: '',
      key_epoch: '',
      tenant_epoch: '',
    }
    said.push(plain(`exchange → ${answer.status} ${JSON.stringify({ ...rest, claims })}`))
    return answer.status
  }
  await call('PUT', '/tiers/gold', { priority: -20, description: TEXT })
  await call('PUT', '/models/llama', { description: TEXT })
  await call('PUT', '/adapters/llama-sql', { base_model: 'llama' })
  await call('POST', '/tenants', {
    id: 'acme',
    name: TEXT,
    labels: { team: TEXT, null: 'NULL' },
    tier: 'gold',
    adapters: ['llama-sql'],
  })
  await call('PATCH', '/tenants/acme', { description: 'NULL', token_ttl_seconds: 120 })
  await call('GET', '/tenants/acme')
  const key = await call('POST', '/tenants/acme/keys', {
    name: TEXT,
    labels: { repository: 'shop' },
    models: ['llama'],
    expires_at: new Date(Math.floor(Date.now() / 86_400_000 + 20) * 86_400_000 + 45_296_789).toISOString(),
  })
  const other = await call('POST', '/tenants/acme/keys', { name: 'other', labels: { repository: 'shop' } })
  await call('GET', `/keys/${key.id}`)
  await call('GET', '/keys?label=repository%3Dshop')
  await exchange(key.secret)
  await exchange(other.secret)
  await exchange(`${key.secret.slice(0, -1)}${key.secret.endsWith('0') ? '1' : '0'}`)
  await call('PATCH', `/keys/${key.id}`, { labels: { repository: 'shop', odd: TEXT } })
  await call('POST', `/keys/${other.id}/disable`)
  await exchange(other.secret)
  await call('POST', `/keys/${other.id}/enable`)
  const rotated = await call('POST', `/keys/${key.id}/rotate`, { overlap_seconds: 600 })
  await exchange(rotated.secret)
  await exchange(key.secret)
  await call('POST', `/keys/${key.id}/revoke`, { reason: TEXT })
  await exchange(rotated.secret)
  await exchange(key.secret)
  await call('POST', '/tenants/acme/suspend')
  await exchange(other.secret)
  await call('POST', '/tenants/acme/resume')
  await call('GET', '/token-revocations')
  await exchange(other.secret)
  await call('POST', '/imported-clients', {
    clients: [
      {
        client_id: 'old-client',
        tenant: 'acme',
        sha256: 'b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9',
      },
    ],
  })
  const admin1 = await call('POST', '/admin-tokens', { name: TEXT, role: 'auditor' })
  await call('POST', `/admin-tokens/${admin1.id}/revoke`, { reason: TEXT })
  await call('DELETE', '/models/llama')
  await call('DELETE', '/tiers/gold')
  await call('GET', '/installation')
  await call('PATCH', '/installation', { max_live_keys_per_tenant: 77 })
  await call('POST', '/signing-keys/rotate', {})
  await call('GET', '/signing-keys')
  await call('GET', '/keys?limit=1')
  await call('DELETE', '/tenants/acme?cascade=true')
  await exchange(other.secret)
  await call('GET', '/audit-events?limit=100')
  return said
}

const PATIENCE_MS = 20_000

/** As clients do: on a busy machine a connection may take too long. @throws {Error} for what a setting breaks */
async function retried<T extends { status: number; body: unknown }>(send: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const answer = await send()
    if (answer.status !== 503) return answer
    if (Date.now() > deadline) throw new Error(`still 503: ${JSON.stringify(answer.body)}`)
    await sleep(200)
  }
}

/** Without the order of random ids, what the service does by itself at any moment, and what it leaves out where it cannot read it at once. */
// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
function comparable(path: string, body: any): unknown {
  if (path === '/signing-keys') return body.data.map((key: { state: string }) => key.state).sort()
  if (!path.startsWith('/audit-events')) return { ...body, token_revocation: undefined }
  return body.data
    .filter(({ actor }: { actor: string }) => actor === 'root')
    .map((event: object) => ({ ...event, id: 0 }))
}

const isNear = (at: string, ms: number) => Math.abs(Date.parse(at) - Date.now() - ms) < NEAR_MS

/** Ids, secrets, hashes and instants that differ between two runs. An instant that is hours off stays. */
const plain = (text: string): string =>
  text
    .replace(/\b(mmk|mma)_\w+/g, '$1')
    .replace(/\b(key|sec|adm|req)_[0-9A-Za-z]{16}\b/g, '$1')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, at =>
      isNear(at, 0) ? 'now' : isNear(at, LEAD_MS) ? 'after the lead' : isNear(at, YEAR_MS) ? 'in a year' : at,
    )
    .replace(/"last_used_at":"now"/g, '"last_used_at":null')
    .replace(/"id":\d+/g, '"id":0')
    .replace(/("claim":"\w+_epoch","value":)"[^"]*"/g, '$1"…"')
    .replace(/"(kid|id|hash|previous_hash|next_cursor|request_id|source|x|y|client)":"[^"]*"/g, '"$1":"…"')
    .replace(/[\w-]{43}/g, '…')
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'uuid')
