import { decodeJwt } from 'jose'
import * as oauth from 'oauth4webapi'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, bearer, tokenFor } from '../gateway/check-client.ts'
import { withAnotherSignature } from '../support/altered.ts'
import { startReplica } from '../support/replicas.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

let mintmark: TestService
let issuer: URL
let key: Awaited<ReturnType<TestService['tenantWithKey']>>
let introspector: { id: string; secret: string }
const OTHER = 'https://other.example.test'
beforeAll(async () => {
  // Unset: http://localhost:<public port>, at which the clients reach it.
  mintmark = await startTestService({
    env: { MINTMARK_ISSUER: '', MINTMARK_HOST: 'localhost', MINTMARK_FAILURES_PER_MINUTE: '20' },
  })
  issuer = new URL(mintmark.service.issuer)
  key = await mintmark.tenantWithKey({ audiences: ['vllm', OTHER] })
  introspector = (await create({ audiences: ['vllm'] })).body
})
afterAll(() => mintmark.stop())

const create = (body: object) => mintmark.admin('POST', '/admin-tokens', { role: 'introspector', ...body })
const insecure = { [oauth.allowInsecureRequests]: true }
const introspect = async (
  parameters: Record<string, string>,
  authorization: string | undefined = `Bearer ${introspector.secret}`,
  replica = mintmark,
) => {
  const answer = await fetch(`${replica.service.urls.public}/oauth/introspect`, {
    method: 'POST',
    headers: authorization === '' ? {} : { authorization },
    body: new URLSearchParams(parameters),
  })
  return { status: answer.status, headers: answer.headers, text: await answer.text() }
}
const INACTIVE = { status: 200, text: '{"active":false}' }

describe('RFC 7662, by a third-party client', () => {
  it.each([
    ['Basic', oauth.ClientSecretBasic],
    ['a secret in the body', oauth.ClientSecretPost],
  ])('oauth4webapi reads a live token, after discovery, with %s', async (_, authentication) => {
    const jwt = await tokenFor(mintmark, key.secret)
    const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
    const server = await oauth.processDiscoveryResponse(issuer, found)
    const as = { client_id: introspector.id }
    const ask = async (token: string) => {
      const asking = oauth.introspectionRequest(
        server,
        as,
        authentication(introspector.secret),
        token,
        insecure,
      )
      return oauth.processIntrospectionResponse(server, as, await asking)
    }
    expect(await ask(jwt)).toEqual({ active: true, token_type: 'Bearer', ...decodeJwt(jwt) })
    expect(await ask(`${jwt}x`)).toEqual({ active: false })
  })
})

describe('RFC 7662 §2.2: a token is not active, and nothing more is said', () => {
  const live = () => tokenFor(mintmark, key.secret)

  it('Bearer reads a live token', async () => {
    const { status, text, headers } = await introspect({ token: await live() })
    expect([status, JSON.parse(text)]).toEqual([
      200,
      expect.objectContaining({ active: true, sub: key.keyId }),
    ])
    expect(headers.get('cache-control')).toBe('no-store')
  })

  it.each<[string, () => Promise<string>]>([
    ['when it is none', async () => 'none'],
    ['when it is an API key', async () => key.secret],
    ['when its signature is wrong', async () => withAnotherSignature(await live())],
    ['when it is for another audience', () => tokenFor(mintmark, key.secret, { resource: OTHER })],
    [
      'when it was revoked',
      async () => {
        const token = await live()
        await mintmark.admin('POST', '/token-revocations', { jti: decodeJwt(token).jti })
        return token
      },
    ],
    [
      'when its key was disabled',
      async () => {
        const { keyId, secret } = await mintmark.tenantWithKey()
        const token = await tokenFor(mintmark, secret)
        await mintmark.admin('POST', `/keys/${keyId}/disable`)
        return token
      },
    ],
    [
      'when its tenant was deleted',
      async () => {
        const { tenantId, secret } = await mintmark.tenantWithKey()
        const token = await tokenFor(mintmark, secret)
        await mintmark.admin('DELETE', `/tenants/${tenantId}?cascade=true`)
        return token
      },
    ],
  ])('%s', async (_, token) => {
    expect(await introspect({ token: await token() })).toMatchObject(INACTIVE)
  })

  it('and the holder of other audiences learns nothing of a live one', async () => {
    const { secret } = (await create({ audiences: [OTHER] })).body
    expect(await introspect({ token: await live() }, `Bearer ${secret}`)).toMatchObject(INACTIVE)
  })
})

describe('An introspection token', () => {
  it('needs audiences, and no other role has any', async () => {
    expect((await create({})).status).toBe(400)
    expect((await create({ audiences: [] })).status).toBe(400)
    expect((await create({ role: 'auditor', audiences: ['vllm'] })).status).toBe(400)
    const { body } = await create({ audiences: ['vllm'] })
    expect(body).toMatchObject({
      role: 'introspector',
      audiences: ['vllm'],
      secret: expect.stringMatching(/^mmi_/),
    })
  })

  it('is valid nowhere else', async () => {
    const { secret } = introspector
    const headers = { authorization: `Bearer ${secret}` }
    expect((await mintmark.admin('GET', '/tenants', undefined, headers)).status).toBe(401)
    expect((await ask(mintmark, { headers: bearer(secret) })).status).toBe(401)
    const exchanged = await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
    expect([exchanged.status, exchanged.body.error]).toEqual([401, 'invalid_client'])
    const revoked = await fetch(`${mintmark.service.urls.public}/oauth/revoke`, {
      method: 'POST',
      body: new URLSearchParams({ token: 'x', client_secret: secret }),
    })
    expect(revoked.status).toBe(401)
  })

  it('works on another replica, and on none once it is revoked', async () => {
    const { id, secret } = (await create({ audiences: ['vllm'] })).body
    const other = await startReplica(mintmark, { MINTMARK_ISSUER: mintmark.service.issuer })
    try {
      const status = async (replica: TestService) =>
        (await introspect({ token: 'none' }, `Bearer ${secret}`, replica)).status
      expect([await status(mintmark), await status(other)]).toEqual([200, 200])
      await mintmark.admin('POST', `/admin-tokens/${id}/revoke`, {})
      expect(await status(mintmark)).toBe(401)
      await until(
        'the revocation',
        () => status(other),
        found => found === 401,
      )
    } finally {
      await other.stop()
    }
  })

  it('a missing token is invalid_request, for its holder only', async () => {
    expect((await introspect({})).status).toBe(400)
    expect((await introspect({}, '')).status).toBe(401)
  })

  it('any other credential is rejected alike, with a challenge of its scheme, and limited as exchanges are', async () => {
    const other = `mmi_${introspector.secret.slice(4, 20)}_${'0'.repeat(49)}`
    const basic = (id: string, secret: string) => `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`
    const refused = [
      await introspect({ token: 'x' }, `Bearer ${other}`),
      await introspect({ token: 'x' }, `Bearer ${key.secret}`),
      await introspect({ token: 'x' }, `Bearer ${mintmark.rootToken}`),
      await introspect({ token: 'x' }, basic('adm_0000000000000000', introspector.secret)),
    ]
    for (const { status, text } of refused)
      expect([status, JSON.parse(text).error]).toEqual([401, 'invalid_client'])
    expect(refused.map(({ headers }) => headers.get('www-authenticate')?.split(' ')[0])).toEqual([
      'Bearer',
      'Bearer',
      'Bearer',
      'Basic',
    ])
    let status = 0
    for (let attempt = 0; attempt < 30 && status !== 429; attempt++)
      status = (await introspect({ token: 'x' }, `Bearer ${other}`)).status
    expect(status).toBe(429)
    // The holder of a valid one is not affected.
    expect((await introspect({ token: 'none' })).status).toBe(200)
  })
})
