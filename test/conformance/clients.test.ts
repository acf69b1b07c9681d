import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { externalVerifier } from '../tokens/external-verifier.ts'

/** Third-party clients, from discovery to a token. The issuer is the URL at which they reach this service. */
let mintmark: TestService
let issuer: URL
let key: Awaited<ReturnType<TestService['tenantWithKey']>>
beforeAll(async () => {
  // Unset: http://localhost:<public port>.
  mintmark = await startTestService({ env: { MINTMARK_ISSUER: '', MINTMARK_HOST: 'localhost' } })
  issuer = new URL(mintmark.service.issuer)
  key = await mintmark.tenantWithKey()
})
afterAll(() => mintmark.stop())

/** Listeners speak http: TLS is terminated in front of them. */
const insecure = { [oauth.allowInsecureRequests]: true }

describe('oauth4webapi', () => {
  const discovered = async (algorithm: 'oidc' | 'oauth2') =>
    oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm, ...insecure }))
  const granted = async (
    server: oauth.AuthorizationServer,
    as: oauth.Client,
    authentication: oauth.ClientAuth,
    more = {},
  ) =>
    oauth.processClientCredentialsResponse(
      server,
      as,
      await oauth.clientCredentialsGrantRequest(server, as, authentication, more, insecure),
    )

  it.each(['oidc', 'oauth2'] as const)('gets a token with Basic after %s discovery', async algorithm => {
    const server = await discovered(algorithm)
    const token = await granted(server, { client_id: key.keyId }, oauth.ClientSecretBasic(key.secret), {
      scope: 'inference',
    })
    expect(token).toMatchObject({ token_type: 'bearer', expires_in: 300, scope: 'inference' })
    expect((await externalVerifier(mintmark)(token.access_token)).payload.sub).toBe(key.keyId)
  })

  it('gets a token with a secret in the body, as the tenant', async () => {
    const token = await granted(
      await discovered('oauth2'),
      { client_id: key.tenantId },
      oauth.ClientSecretPost(key.secret),
    )
    expect((await externalVerifier(mintmark)(token.access_token)).payload.tenant).toBe(key.tenantId)
  })

  it('accepts the token as a resource server does (RFC 9068)', async () => {
    const server = await discovered('oauth2')
    const { access_token } = await granted(
      server,
      { client_id: key.keyId },
      oauth.ClientSecretBasic(key.secret),
    )
    const asked = new Request('http://vllm.example.test/v1/models', {
      headers: { authorization: `Bearer ${access_token}` },
    })
    expect(await oauth.validateJwtAccessToken(server, asked, 'vllm', insecure)).toMatchObject({
      client_id: key.keyId,
    })
  })

  it.each([
    ['Basic', () => oauth.ClientSecretBasic('wrong'), oauth.WWWAuthenticateChallengeError],
    ['a secret in the body', () => oauth.ClientSecretPost('wrong'), oauth.ResponseBodyError],
  ])('reads the error for a wrong key after %s', async (_, authentication, kind) => {
    const refusal = granted(await discovered('oauth2'), { client_id: key.keyId }, authentication())
    await expect(refusal).rejects.toThrow(kind)
  })
})

describe('openid-client', () => {
  it.each([
    ['Basic', client.ClientSecretBasic],
    ['a secret in the body', client.ClientSecretPost],
  ])('gets a token with %s', async (_, authentication) => {
    const options = { execute: [client.allowInsecureRequests] }
    const config = await client.discovery(issuer, key.keyId, undefined, authentication(key.secret), options)
    const token = await client.clientCredentialsGrant(config, { scope: 'inference' })
    expect(token.expires_in).toBe(300)
    // It counts down from the response on.
    expect(token.expiresIn()).toBeLessThanOrEqual(300)
    expect((await externalVerifier(mintmark)(token.access_token)).payload).toMatchObject({
      iss: issuer.href.replace(/\/$/, ''),
      sub: key.keyId,
    })
  })
})
