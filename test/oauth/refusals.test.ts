import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { withAnotherEnd } from '../support/altered.ts'
import { expireKey } from '../support/expired-key.ts'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { basic, exchange, post, steadyHeaders } from './token-post.ts'

type Key = Awaited<ReturnType<TestService['tenantWithKey']>>

let mintmark: TestService
let key: Key
let presented: Record<string, { clientId: string; secret: string }>

beforeAll(async () => {
  mintmark = await startTestService()
  key = await mintmark.tenantWithKey()
  const other = await mintmark.tenantWithKey()
  const as = ({ keyId, secret }: Key) => ({ clientId: keyId, secret })
  presented = {
    typo: { clientId: key.keyId, secret: withAnotherEnd(key.secret) },
    nonsense: { clientId: key.keyId, secret: 'hunter2' },
    adminToken: { clientId: key.keyId, secret: formatCredential('mma', key.keyId.slice(4), systemRandom) },
    neverIssued: {
      clientId: `key_${'A'.repeat(16)}`,
      secret: formatCredential('mmk', 'A'.repeat(16), systemRandom),
    },
    wrongSecret: { clientId: key.keyId, secret: formatCredential('mmk', key.keyId.slice(4), systemRandom) },
    otherTenant: { clientId: other.tenantId, secret: key.secret },
    otherKey: { clientId: other.keyId, secret: key.secret },
    nobody: { clientId: 'nobody', secret: key.secret },
    revokedKey: as(await revokedKey()),
    revokedSecret: as(await revokedSecret()),
    expiredKey: as(await expiredKey()),
    endedSecret: as(await endedSecret()),
    deletedTenant: as(await deletedTenant()),
  }
})
afterAll(() => mintmark.stop())

async function made(prepare: (key: Key) => Promise<unknown>): Promise<Key> {
  const fresh = await mintmark.tenantWithKey()
  await prepare(fresh)
  return fresh
}
const revokedKey = () => made(({ keyId }) => mintmark.admin('POST', `/keys/${keyId}/revoke`))
const revokedSecret = () =>
  made(({ keyId, secretId }) => mintmark.admin('POST', `/keys/${keyId}/secrets/${secretId}/revoke`))
const endedSecret = () =>
  made(({ keyId }) => mintmark.admin('POST', `/keys/${keyId}/rotate`, { overlap_seconds: 0 }))
const deletedTenant = () =>
  made(({ tenantId }) => mintmark.admin('DELETE', `/tenants/${tenantId}?cascade=true`))
const expiredKey = () => made(expire)
const expire = ({ keyId }: Key) => expireKey(mintmark, keyId)

const METHODS: [string, (credential: { clientId: string; secret: string }) => Promise<JsonAnswer>][] = [
  [
    'client_secret_basic',
    ({ clientId, secret }) =>
      post(mintmark, 'grant_type=client_credentials', { authorization: basic(clientId, secret) }),
  ],
  ['client_secret_post', ({ clientId, secret }) => exchange(mintmark, secret, { client_id: clientId })],
]

const REFUSALS = [
  ['a typing error', 'typo', 'malformed'],
  ['what is no key at all', 'nonsense', 'malformed'],
  ['an admin token', 'adminToken', 'malformed'],
  ['a key that was never issued', 'neverIssued', 'unknown'],
  ['a wrong secret of a real key', 'wrongSecret', 'unknown'],
  ['a revoked key', 'revokedKey', 'key_revoked'],
  ['a revoked secret', 'revokedSecret', 'secret_revoked'],
  ['an expired key', 'expiredKey', 'key_expired'],
  ['a secret whose overlap is over', 'endedSecret', 'secret_ended'],
  ['a key of a deleted tenant', 'deletedTenant', 'unknown'],
  ['the client_id of another tenant', 'otherTenant', 'client_mismatch'],
  ['the client_id of another key', 'otherKey', 'client_mismatch'],
  ['an unknown client_id', 'nobody', 'client_mismatch'],
] as const

describe.each(METHODS)('with %s, indistinguishable responses', (method, present) => {
  const refusalOf = (name: string) => present(presented[name] ?? { clientId: '', secret: '' })
  const seen = (answer: JsonAnswer) => ({
    status: answer.status,
    headers: steadyHeaders(answer),
    text: answer.text,
  })

  it.each(REFUSALS)('%s', async (_, name, reason) => {
    const answer = await refusalOf(name)
    expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    expect(seen(answer)).toEqual(seen(await refusalOf('typo')))
    expect(await loggedFor(answer)).toMatchObject({
      reason,
      auth_method: method,
      status: 401,
      error: 'invalid_client',
    })
  })

  it('while the key itself works', async () => {
    expect(await present({ clientId: key.keyId, secret: key.secret })).toMatchObject({ status: 200 })
  })
})

/**
 * The log line of one request: written when its connection is finished, which may be after the response has arrived.
 */
async function loggedFor({ headers }: JsonAnswer): Promise<object> {
  const id = headers.get('x-request-id') ?? 'none'
  const line = await until(`a log line for ${id}`, () =>
    mintmark.logs.find(candidate => candidate.includes(id)),
  )
  return JSON.parse(line ?? '')
}

describe.each(METHODS)('with %s, the holder of a correct secret learns the reason', (_, present) => {
  const BARS = [
    [
      'that the tenant is suspended',
      'suspended',
      'tenant_suspended',
      ({ tenantId }: Key) => `/tenants/${tenantId}/suspend`,
      ({ tenantId }: Key) => `/tenants/${tenantId}/resume`,
    ],
    [
      'that the key is disabled',
      'disabled',
      'key_disabled',
      ({ keyId }: Key) => `/keys/${keyId}/disable`,
      ({ keyId }: Key) => `/keys/${keyId}/enable`,
    ],
  ] as const

  it.each(BARS)('%s, and may retry later', async (_, word, reason, bar, lift) => {
    const blocked = await mintmark.tenantWithKey()
    const credential = { clientId: blocked.keyId, secret: blocked.secret }
    await mintmark.admin('POST', bar(blocked))
    const refusal = await present(credential)
    expect(refusal).toMatchObject({ status: 400, body: { error: 'unauthorized_client' } })
    expect(refusal.body.error_description).toContain(word)
    expect(await loggedFor(refusal)).toMatchObject({ reason, client_id: blocked.keyId })
    await mintmark.admin('POST', lift(blocked))
    expect(await present(credential)).toMatchObject({ status: 200 })
  })

  it.each(BARS)('and no other client does: %s', async (_, _word, _reason, bar) => {
    const blocked = await mintmark.tenantWithKey()
    await mintmark.admin('POST', bar(blocked))
    const wrong = formatCredential('mmk', blocked.keyId.slice(4), systemRandom)
    for (const credential of [
      { clientId: blocked.keyId, secret: wrong },
      { clientId: key.keyId, secret: blocked.secret },
    ]) {
      expect(await present(credential)).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    }
  })

  it.each([
    ['a revoked key', ({ keyId }: Key) => mintmark.admin('POST', `/keys/${keyId}/revoke`)],
    ['an expired key', expire],
  ])('unless the secret is unusable: %s of a suspended tenant', async (_, end) => {
    const gone = await mintmark.tenantWithKey()
    await end(gone)
    await mintmark.admin('POST', `/tenants/${gone.tenantId}/suspend`)
    expect(await present({ clientId: gone.keyId, secret: gone.secret })).toMatchObject({ status: 401 })
  })
})
