import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { Env } from '../../src/config/env.ts'
import { exchange, FORM } from '../oauth/token-post.ts'
import { request, startTestService, type TestService, testEnvironment } from '../support/test-service.ts'
import { externalVerifier } from '../tokens/external-verifier.ts'

const OPENID = '/.well-known/openid-configuration'
const OAUTH = '/.well-known/oauth-authorization-server'

/** The paths of each issuer's documents: RFC 8414 §3.1 inserts, OpenID Connect Discovery §4 appends. */
const ISSUERS: [issuer: string, paths: string[]][] = [
  ['https://tokens.example.test', [OPENID, OAUTH]],
  ['https://example.test/mint', [`/mint${OPENID}`, `${OAUTH}/mint`, OPENID, OAUTH]],
  ['https://example.test/realms/a+b:c', [`/realms/a+b:c${OPENID}`, `${OAUTH}/realms/a+b:c`, OPENID, OAUTH]],
  ['https://example.test:8443/(x)/*', [`/(x)/*${OPENID}`, `${OAUTH}/(x)/*`, OPENID, OAUTH]],
]

describe.each(ISSUERS)('RFC 8414 and OpenID Connect Discovery, for the issuer %s', (issuer, paths) => {
  let mintmark: TestService
  beforeAll(async () => {
    mintmark = await startTestService({ env: { MINTMARK_ISSUER: issuer } })
  })
  afterAll(() => mintmark.stop())

  const get = (path: string) => request(mintmark.service.urls.public + path)
  /** Where a proxy that does not change paths would send a request for this URL of the issuer. */
  const behindProxy = (url: string) => get(url.slice(new URL(issuer).origin.length))

  it.each(paths)('%s is the document', async path => {
    const { status, headers, body } = await get(path)
    expect(status).toBe(200)
    expect(headers.get('content-type')).toMatch(/^application\/json\b/)
    expect(body).toEqual({
      issuer,
      token_endpoint: `${issuer}/oauth/token`,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      grant_types_supported: [
        'client_credentials',
        'urn:ietf:params:oauth:grant-type:token-exchange',
        'urn:ietf:params:oauth:grant-type:jwt-bearer',
      ],
      token_endpoint_auth_methods_supported: [
        'client_secret_basic',
        'client_secret_post',
        'private_key_jwt',
        'spiffe_jwt',
      ],
      token_endpoint_auth_signing_alg_values_supported: expect.arrayContaining(['ES256', 'RS256', 'EdDSA']),
      revocation_endpoint: `${issuer}/oauth/revoke`,
      revocation_endpoint_auth_methods_supported: [
        'client_secret_basic',
        'client_secret_post',
        'private_key_jwt',
        'spiffe_jwt',
      ],
      revocation_endpoint_auth_signing_alg_values_supported: expect.arrayContaining(['ES256', 'EdDSA']),
      introspection_endpoint: `${issuer}/oauth/introspect`,
      introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'Bearer'],
      response_types_supported: ['none'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
    })
  })

  it('§3.3: the issuer is byte-equal to the iss of a token', async () => {
    const { secret } = await mintmark.tenantWithKey()
    const { body } = await exchange(mintmark, secret)
    expect((await externalVerifier(mintmark)(body.access_token)).payload.iss).toBe(issuer)
  })

  it('the endpoints answer at the paths that the document names', async () => {
    const { body } = await get(OPENID)
    const { secret } = await mintmark.tenantWithKey()
    const path = body.token_endpoint.slice(new URL(issuer).origin.length)
    const form = {
      method: 'POST',
      headers: { 'content-type': FORM },
      body: `grant_type=client_credentials&client_secret=${secret}`,
    }
    expect(await request(mintmark.service.urls.public + path, form)).toMatchObject({ status: 200 })
    expect(await behindProxy(body.jwks_uri)).toMatchObject({
      status: 200,
      text: (await get('/.well-known/jwks.json')).text,
    })
  })
})

describe('RFC 8414 §2: an invalid issuer is rejected at startup', () => {
  it.each([
    ['a trailing slash', 'https://example.test/'],
    ['a query', 'https://example.test?x=1'],
    ['a fragment', 'https://example.test#x'],
    ['another scheme', 'ftp://example.test'],
    ['credentials', 'https://user@example.test'],
    ['upper case in the host, which a URL library would rewrite', 'https://Example.test'],
    ['a default port, which a URL library would drop', 'https://example.test:443'],
    ['dots in the path', 'https://example.test/a/../b'],
  ])('%s', (_, issuer) => {
    const environment = {
      ...testEnvironment(),
      DATABASE_URL: 'postgres://localhost/unused',
      MINTMARK_ISSUER: issuer,
    }
    expect(() => readConfig(new Env(environment))).toThrow(/MINTMARK_ISSUER must be an https URL/)
  })
})
