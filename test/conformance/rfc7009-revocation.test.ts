import { decodeJwt } from 'jose'
import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, bearer, tokenFor } from '../gateway/check-client.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let issuer: URL
let key: Awaited<ReturnType<TestService['tenantWithKey']>>
beforeAll(async () => {
  // Unset: http://localhost:<public port>, at which the clients reach it.
  mintmark = await startTestService({ env: { MINTMARK_ISSUER: '', MINTMARK_HOST: 'localhost' } })
  issuer = new URL(mintmark.service.issuer)
  key = await mintmark.tenantWithKey()
})
afterAll(() => mintmark.stop())

const insecure = { [oauth.allowInsecureRequests]: true }
const isAllowed = async (jwt: string) => (await ask(mintmark, { headers: bearer(jwt) })).status === 200
const revoke = (parameters: Record<string, string>, headers: Record<string, string> = {}) =>
  fetch(`${mintmark.service.urls.public}/oauth/revoke`, {
    method: 'POST',
    headers,
    body: new URLSearchParams(parameters),
  })
const errorOf = async (answer: Response) => ((await answer.json()) as { error: string }).error
const revocations = async () => (await mintmark.admin('GET', '/token-revocations?limit=100')).body.data

describe('RFC 7009, by third-party clients', () => {
  it.each([
    ['Basic', oauth.ClientSecretBasic],
    ['a secret in the body', oauth.ClientSecretPost],
  ])('oauth4webapi ends a token, after discovery, with %s', async (_, authentication) => {
    const jwt = await tokenFor(mintmark, key.secret)
    const another = await tokenFor(mintmark, key.secret)
    expect(await isAllowed(jwt)).toBe(true)
    const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
    const server = await oauth.processDiscoveryResponse(issuer, found)
    const as = { client_id: key.keyId }
    const answer = await oauth.revocationRequest(server, as, authentication(key.secret), jwt, insecure)
    expect(await oauth.processRevocationResponse(answer)).toBeUndefined()
    expect([await isAllowed(jwt), await isAllowed(another)]).toEqual([false, true])
  })

  it('openid-client ends a token', async () => {
    const jwt = await tokenFor(mintmark, key.secret)
    const options = { execute: [client.allowInsecureRequests] }
    const authentication = client.ClientSecretPost(key.secret)
    const config = await client.discovery(issuer, key.keyId, undefined, authentication, options)
    await client.tokenRevocation(config, jwt, { token_type_hint: 'access_token' })
    expect(await isAllowed(jwt)).toBe(false)
  })
})

describe('RFC 7009 §2.1', () => {
  it('a repeated revocation is 200 and adds nothing', async () => {
    const token = await tokenFor(mintmark, key.secret)
    const first = await revoke({ token, client_secret: key.secret })
    const before = await revocations()
    expect(before[0]).toMatchObject({
      claim: 'jti',
      value: decodeJwt(token).jti,
      key: key.keyId,
      tenant: key.tenantId,
    })
    expect([first.status, (await revoke({ token, client_secret: key.secret })).status]).toEqual([200, 200])
    expect(await revocations()).toEqual(before)
    const { data } = (await mintmark.admin('GET', `/audit-events?actor=${key.keyId}`)).body
    expect(data[0]).toMatchObject({ action: 'token-revocation.create', actor: key.keyId })
  })

  it('a client cannot end the token of another, and does not learn whether it is one', async () => {
    const stranger = await mintmark.tenantWithKey()
    const token = await tokenFor(mintmark, key.secret)
    const answers = [token, `${token}x`, 'none', key.secret].map(sent =>
      revoke({ token: sent, client_secret: stranger.secret }),
    )
    const seen = await Promise.all(
      (await Promise.all(answers)).map(async answer => [
        answer.status,
        await answer.text(),
        [...answer.headers].filter(([name]) => name !== 'x-request-id' && name !== 'date'),
      ]),
    )
    expect(new Set(seen.map(each => JSON.stringify(each))).size).toBe(1)
    expect(seen[0]?.[0]).toBe(200)
    expect(await isAllowed(token)).toBe(true)
  })

  it.each([
    ['no credential', {}, 401, 'invalid_client'],
    [
      'a wrong secret',
      { client_secret: `${'mmk_'}${'0'.repeat(16)}_${'0'.repeat(49)}` },
      401,
      'invalid_client',
    ],
  ])('%s is rejected, whatever the token', async (_, credential, status, error) => {
    const token = await tokenFor(mintmark, key.secret)
    const answer = await revoke({ token, ...credential } as Record<string, string>)
    expect([answer.status, await errorOf(answer)]).toEqual([status, error])
    expect(await isAllowed(token)).toBe(true)
  })

  it('a missing token is invalid_request', async () => {
    const answer = await revoke({ client_secret: key.secret })
    expect([answer.status, await errorOf(answer)]).toEqual([400, 'invalid_request'])
  })

  it('at most 100 tokens of a key are on the list: then its client is answered 503, and other keys are not', async () => {
    const { keyId, tenantId, secret } = await mintmark.tenantWithKey()
    const another = await mintmark.tenantWithKey()
    await mintmark.database.asOwner(
      `INSERT INTO token_revocations (claim, value, key_id, tenant_id, ends_at)
       SELECT 'jti', $1 || n, $1, $2, now() + interval '1 hour' FROM generate_series(1, 100) AS n`,
      [keyId, tenantId],
    )
    const token = await tokenFor(mintmark, secret)
    const answer = await revoke({ token, client_secret: secret })
    expect([answer.status, await errorOf(answer)]).toEqual([503, 'temporarily_unavailable'])
    expect(await isAllowed(token)).toBe(true)
    const other = await tokenFor(mintmark, another.secret)
    expect((await revoke({ token: other, client_secret: another.secret })).status).toBe(200)
    expect(await isAllowed(other)).toBe(false)
  })

  it('a flood of revocations by one client is 429 with Retry-After, and other clients are not affected', async () => {
    const { secret } = await mintmark.tenantWithKey()
    const another = await mintmark.tenantWithKey()
    const statuses: number[] = []
    for (let count = 0; count < 100; count++)
      statuses.push((await revoke({ token: await tokenFor(mintmark, secret), client_secret: secret })).status)
    expect(new Set(statuses)).toEqual(new Set([200]))
    const token = await tokenFor(mintmark, secret)
    const answer = await revoke({ token, client_secret: secret })
    expect([answer.status, await errorOf(answer)]).toEqual([429, 'slow_down'])
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await isAllowed(token)).toBe(true)
    const other = await tokenFor(mintmark, another.secret)
    expect((await revoke({ token: other, client_secret: another.secret })).status).toBe(200)
    expect(await isAllowed(other)).toBe(false)
  }, 60_000)

  it('at most 10,000 tokens of the keys of a tenant are: one entry less, and there is room for one', async () => {
    const { tenantId, secret } = await mintmark.tenantWithKey()
    await mintmark.database.asOwner(
      `INSERT INTO token_revocations (claim, value, key_id, tenant_id, ends_at)
       SELECT 'jti', $1 || n, 'key_0000000000000000', $1, now() + interval '1 hour' FROM generate_series(1, 9999) AS n`,
      [tenantId],
    )
    const statuses = []
    for (const token of [await tokenFor(mintmark, secret), await tokenFor(mintmark, secret)])
      statuses.push((await revoke({ token, client_secret: secret })).status)
    expect(statuses).toEqual([200, 503])
  })
})
