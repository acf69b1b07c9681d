import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential } from '../../src/api-keys/api-key.ts'
import { meaningOf } from '../../src/refusal-reasons.ts'
import { systemRandom } from '../../src/system/random.ts'
import { ask, bearer, tokenFor } from '../gateway/check-client.ts'
import { startTestMint, type TestMint } from '../gateway-configs/test-mint.ts'
import { promptedClock } from '../support/adjustable-clock.ts'
import { expireKey } from '../support/expired-key.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { type Caller, issue } from './admins.ts'

const clock = promptedClock()
let mintmark: TestService
let admin: TestService['admin']
let mint: TestMint
let acme: Caller
beforeAll(async () => {
  mintmark = await startTestService({ env: { MINTMARK_GATEWAY_REASON: 'exact' }, overrides: { clock } })
  ;({ admin } = mintmark)
  mint = await startTestMint()
  await admin('PUT', '/models/llama-3-8b', {})
  await admin('POST', '/tenants', { id: 'acme' })
  acme = await issue(mintmark, 'tenant-admin', 'acme')
})
afterAll(async () => {
  await mintmark.stop()
  await mint.stop()
})

const TENANT = { audiences: ['vllm', 'billing'], scopes: ['inference', 'more'] }
const made = (key = {}) => mintmark.tenantWithKey(TENANT, { scopes: TENANT.scopes, ...key })
const explain = async (given: object, call = admin) => (await call('POST', '/explain', given)).body
/** Sends a credential to the check: the reason in the header for the gateway's log, undefined when it is allowed. */
async function checked(credential: string, path?: string): Promise<string | undefined> {
  const { status, headers } = await ask(mintmark, { headers: bearer(credential), ...(path && { path }) })
  return status === 200 ? undefined : String(headers['x-mintmark-reason'])
}
const exchange = (secret: string) =>
  mintmark.token({ grant_type: 'client_credentials', client_secret: secret })

/** Each makes a credential that the check rejects. */
const REFUSED: Record<string, () => Promise<string> | string> = {
  malformed: () => 'hunter2',
  unknown: () => formatCredential('mmk', '7Hq2kd9XwP3mZt5B', systemRandom),
  key_revoked: async () => {
    const { keyId, secret } = await made()
    await admin('POST', `/keys/${keyId}/revoke`, { reason: 'leaked' })
    return secret
  },
  secret_revoked: async () => {
    const { keyId, secret, secretId } = await made()
    await admin('POST', `/keys/${keyId}/rotate`, { overlap_seconds: 600 })
    await admin('POST', `/keys/${keyId}/secrets/${secretId}/revoke`)
    return secret
  },
  secret_ended: async () => {
    const { keyId, secret } = await made()
    await admin('POST', `/keys/${keyId}/rotate`, { overlap_seconds: 0 })
    return secret
  },
  key_expired: async () => {
    const { keyId, secret } = await made()
    await expireKey(mintmark, keyId)
    return secret
  },
  key_disabled: async () => {
    const { keyId, secret } = await made()
    await admin('POST', `/keys/${keyId}/disable`)
    return secret
  },
  tenant_suspended: async () => {
    const { tenantId, secret } = await made()
    await admin('POST', `/tenants/${tenantId}/suspend`)
    return secret
  },
  audience_not_granted: async () => (await made({ audiences: ['billing'] })).secret,
  scope_not_granted: async () => (await made({ scopes: ['more'] })).secret,
  token_malformed: () => 'eyJhbGciOiJFUzI1NiJ9.e30',
  token_unknown_key: () => mint.sign({}),
  token_signature: async () => {
    const token = await tokenFor(mintmark, (await made()).secret)
    const [header, payload] = token.split('.')
    return `${header}.${payload}.${'A'.repeat(86)}`
  },
  token_audience: async () => tokenFor(mintmark, (await made()).secret, { audience: 'billing' }),
  token_scope: async () => tokenFor(mintmark, (await made()).secret, { scope: 'more' }),
  token_revoked: async () => {
    const { keyId, secret } = await made()
    const token = await tokenFor(mintmark, secret)
    await admin('POST', '/token-revocations', { key: keyId })
    return token
  },
}

describe('POST /explain', () => {
  it.each(Object.entries(REFUSED))(
    'has the reason of the check and of the exchange: %s',
    async (reason, make) => {
      const credential = await make()
      expect(await checked(credential)).toBe(reason)
      const { body, text } = await admin('POST', '/explain', { credential })
      expect(body).toMatchObject({ accepted: false, reason, ...expectedMeaning(reason) })
      expect(body.rules.filter(({ result }: { result: string }) => result === 'failed')).toHaveLength(1)
      expect(text).not.toContain(credential)
      if (!credential.startsWith('mmk_') || reason.endsWith('_not_granted')) return
      await exchange(credential)
      expect(mintmark.logs.findLast(line => line.includes('/oauth/token'))).toContain(`"reason":"${reason}"`)
    },
  )

  it('accepts what the check accepts, and says with which rights and limits', async () => {
    const { secret, keyId } = await made({ limits: { requests_per_minute: 5 } })
    const token = await tokenFor(mintmark, secret)
    for (const credential of [secret, token]) {
      expect(await checked(credential)).toBeUndefined()
      expect(await explain({ credential })).toMatchObject({
        accepted: true,
        reason: null,
        key: { id: keyId, state: 'active' },
        rights: { models: ['llama-3-8b'], limits: { key: { requests_per_minute: 5 } } },
        gateway: {
          contract_number: 1,
          issuer: 'https://tokens.example.test',
          audience: 'vllm',
          scope: 'inference',
          model: 'none',
        },
      })
    }
    expect(await explain({ key: keyId })).toMatchObject({ accepted: true, subject: 'key', token: null })
    // One at the token endpoint, one at the check.
    await until(
      'the exchanges are counted',
      async () => {
        await clock.runJobs()
        return (await admin('GET', `/keys/${keyId}/exchanges`)).body.data
      },
      // Of all days: one may begin meanwhile.
      data => data.reduce((sum: number, { count }: { count: number }) => sum + count, 0) === 2,
    )
  })

  it('compares a model only when one is named', async () => {
    const { secret } = await made({ models: [] })
    expect(await explain({ credential: secret, model: 'llama-3-8b' })).toMatchObject({
      accepted: false,
      reason: 'model_not_allowed',
      decided_by: 'right',
    })
    expect(await explain({ credential: secret })).toMatchObject({ accepted: true })
  })

  it('names the entry of the list of revoked tokens by a token or its id', async () => {
    const token = await tokenFor(mintmark, (await made()).secret)
    const { jti } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
    expect(await explain({ token_id: jti })).toMatchObject({ accepted: null, reason: null, revocation: null })
    await admin('POST', '/token-revocations', { jti })
    const revocation = { claim: 'jti', value: jti }
    expect(await explain({ credential: token })).toMatchObject({ reason: 'token_revoked', revocation })
    expect(await explain({ token_id: jti })).toMatchObject({ reason: 'token_revoked', revocation })
  })

  it('explains a request that was refused, by its id at Mintmark or at the gateway', async () => {
    const { keyId, secret } = await made()
    await admin('POST', `/keys/${keyId}/disable`)
    const { headers } = await exchange(secret)
    const id = headers.get('x-request-id')
    expect(await explain({ request_id: id })).toMatchObject({
      subject: 'request',
      accepted: null,
      reason: 'key_disabled',
      recent_refusals: [{ request_id: id, key: keyId, status: 400, listener: 'public' }],
    })
    const gatewayId = randomUUID()
    await ask(mintmark, { headers: [...bearer(secret), ['x-request-id', gatewayId]] })
    expect(await explain({ request_id: gatewayId })).toMatchObject({
      reason: 'key_disabled',
      recent_refusals: [{ gateway_request_id: gatewayId, key: keyId, status: 403, listener: 'gateway' }],
    })
    expect((await explain({ key: keyId })).recent_refusals).toHaveLength(2)
    expect(await explain({ request_id: randomUUID() })).toMatchObject({ reason: null, recent_refusals: [] })
  })

  it('neither logs nor remembers an id of a gateway that may be a secret', async () => {
    const { secret } = await made()
    const before = mintmark.logs.length
    await ask(mintmark, { headers: [['x-request-id', secret]] })
    const twice = [randomUUID(), randomUUID()].map((id): [string, string] => ['x-request-id', id])
    await ask(mintmark, { headers: twice })
    const lines = () => mintmark.logs.slice(before).filter(line => line.includes('missing_credential'))
    await until('both are logged', () => lines().length === 2)
    expect(lines().join('')).not.toContain('gateway_request_id')
  })

  it('shows a tenant-admin its own tenant only', async () => {
    const own = (await admin('POST', '/tenants/acme/keys', {})).body
    const foreign = await made()
    const foreignToken = await tokenFor(mintmark, foreign.secret)
    expect(await explain({ credential: own.secret }, acme.call)).toMatchObject({ key: { id: own.id } })
    expect(await explain({ credential: foreign.secret }, acme.call)).toMatchObject({
      reason: 'unknown',
      key: null,
      rights: null,
      recent_refusals: [],
      remembered: null,
    })
    for (const given of [{ key: foreign.keyId }, { credential: foreignToken }])
      expect((await acme.call('POST', '/explain', given)).status).toBe(404)
    for (const { id, secret } of [own, { id: foreign.keyId, secret: foreign.secret }])
      await admin('POST', `/keys/${id}/disable`).then(() => exchange(secret))
    const seen = async (id: string) => (await explain({ request_id: id }, acme.call)).recent_refusals
    const idOf = async (secret: string) => (await exchange(secret)).headers.get('x-request-id') ?? ''
    expect(await seen(await idOf(own.secret))).toHaveLength(1)
    expect(await seen(await idOf(foreign.secret))).toEqual([])
  })

  it.each([
    ['nothing', {}],
    ['two things', { key: 'key_7Hq2kd9XwP3mZt5B', request_id: randomUUID() }],
    ['a request id of another form', { request_id: 'my request' }],
  ])('refuses %s', async (_, given) => {
    expect((await admin('POST', '/explain', given)).status).toBe(400)
  })
})

describe('X-Mintmark-Reason', () => {
  it('has no more than the code for the client, unless the gateways keep it from clients', async () => {
    const other = await startTestService()
    const { keyId, secret } = await other.tenantWithKey()
    await other.admin('POST', `/keys/${keyId}/revoke`, {})
    const { headers } = await ask(other, { headers: bearer(secret) })
    expect(headers['x-mintmark-reason']).toBe('invalid_api_key')
    await other.stop()
  })

  it('is not in answers that gateways pass to the client as they are', async () => {
    const answer = await fetch(`${mintmark.service.urls.gateway}/v1/models`)
    expect([answer.status, answer.headers.get('x-mintmark-reason')]).toEqual([401, null])
  })
})

const expectedMeaning = (reason: string) => {
  const { decidedBy, text } = meaningOf(reason) ?? {}
  return { decided_by: decidedBy, text }
}
