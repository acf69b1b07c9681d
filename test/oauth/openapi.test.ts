import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tokenDocument } from '../../scripts/openapi/token-document.ts'
import { formatCredential } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { type Sent, send } from '../gateway-configs/client.ts'
import { jws, newPair } from '../identity-providers/assertions.ts'
import { OpenApiDocument } from '../support/openapi-document.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

/** docs/openapi-token.json, compared with the answers of a running service. */

const document = new OpenApiDocument('openapi-token.json')
const FORM = 'application/x-www-form-urlencoded'

describe('docs/openapi-token.json', () => {
  it('is what the source code makes (npm run generate)', () => {
    expect(document.text).toBe(`${JSON.stringify(tokenDocument(), null, 2)}\n`)
  })

  it('describes every property, parameter, header and response', () => {
    expect(document.undescribed()).toEqual([])
  })

  it('has examples that fit their schemas', () => {
    const { content } = document.content.paths['/oauth/token'].post.requestBody
    const place = ['paths', '/oauth/token', 'post', 'requestBody', 'content', FORM, 'schema']
    expect(document.faultOf(content[FORM].example, place)).toBeUndefined()
    for (const [name, response] of Object.entries<{ content?: Record<string, { example: unknown }> }>(
      document.content.components.responses,
    )) {
      const example = response.content?.['application/json']?.example
      const schema = ['components', 'responses', name, 'content', 'application/json', 'schema']
      if (example !== undefined) expect(document.faultOf(example, schema), name).toBeUndefined()
    }
  })
})

describe('The public listener answers as documented', () => {
  let mintmark: TestService
  let limited: TestService
  let secret: string
  let kid: string
  let live: string
  let introspector: string
  const pair = newPair('one')
  const ISSUER = 'https://issuer.example.com'
  beforeAll(async () => {
    mintmark = await startTestService()
    limited = await startTestService({ env: { MINTMARK_FAILURES_PER_MINUTE: '1' } })
    secret = (await mintmark.tenantWithKey()).secret
    live = (await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })).body
      .access_token
    const asks = { role: 'introspector', audiences: ['vllm'] }
    introspector = (await mintmark.admin('POST', '/admin-tokens', asks)).body.secret
    kid = (await mintmark.admin('GET', '/signing-keys')).body.data[0].kid
    await mintmark.admin('POST', '/tenants', { id: 'acme' })
    const provider = { kind: 'oidc', issuer: ISSUER, audiences: ['mintmark'], jwks: { keys: [pair.jwk] } }
    const { id } = (await mintmark.admin('POST', '/identity-providers', provider)).body
    await mintmark.admin('POST', '/tenants/acme/workload-keys', {
      credential: { type: 'federated', provider: id, subject: 'robot' },
    })
  })
  afterAll(async () => {
    await mintmark.stop()
    await limited.stop()
  })

  const exchange = (parameters: Record<string, string>, more: Sent = {}): Sent => ({
    method: 'POST',
    contentType: FORM,
    body: new URLSearchParams({ grant_type: 'client_credentials', ...parameters }).toString(),
    ...more,
  })
  const asking = (parameters: Record<string, string>) =>
    exchange(parameters, { headers: [['Authorization', `Bearer ${introspector}`]] })
  const assertion = (sub: string) => {
    const iat = Math.floor(Date.now() / 1000)
    const claims = { iss: ISSUER, sub, aud: 'mintmark', iat, exp: iat + 600 }
    return jws(pair, { alg: 'ES256', kid: pair.kid }, claims)
  }
  const inJson = (body: object, more: Partial<Sent> = {}): Sent => ({
    method: 'POST',
    contentType: 'application/json',
    body: JSON.stringify({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', ...body }),
    ...more,
  })
  const wrong = { client_secret: 'mmk_no' }
  const basic = `Basic ${Buffer.from('key_no:mmk_no').toString('base64')}`
  const get = (headers: [string, string][] = []): Sent => ({ method: 'GET', headers })
  const twice: [string, string][] = [
    ['X-Api-Key', 'a'],
    ['X-Api-Key', 'b'],
  ]

  const cases: [status: number, path: string, what: string, sent: () => Sent][] = [
    [200, '/oauth/token', 'a valid key', () => exchange({ client_secret: secret })],
    [400, '/oauth/token', 'an unknown scope', () => exchange({ client_secret: secret, scope: 'nope' })],
    [400, '/oauth/token', 'no grant type', () => exchange({ client_secret: secret, grant_type: '' })],
    [401, '/oauth/token', 'an invalid key', () => exchange(wrong)],
    [
      401,
      '/oauth/token',
      'an invalid Basic key',
      () => exchange({}, { headers: [['Authorization', basic]] }),
    ],
    [413, '/oauth/token', 'a long body', () => exchange({ client_secret: 'x'.repeat(20_000) })],
    [
      415,
      '/oauth/token',
      'a compressed body',
      () => exchange(wrong, { headers: [['Content-Encoding', 'gzip']] }),
    ],
    [200, '/v1/oauth/token', 'a good assertion', () => inJson({ assertion: assertion('robot') })],
    [400, '/v1/oauth/token', 'an unknown subject', () => inJson({ assertion: assertion('other') })],
    [400, '/v1/oauth/token', 'no assertion', () => inJson({})],
    [413, '/v1/oauth/token', 'a long body', () => inJson({ assertion: 'x'.repeat(60_000) })],
    [
      415,
      '/v1/oauth/token',
      'a compressed body',
      () => inJson({}, { headers: [['Content-Encoding', 'gzip']] }),
    ],
    [
      200,
      '/oauth/revoke',
      'a string that is no token',
      () => exchange({ client_secret: secret, token: 'x' }),
    ],
    [400, '/oauth/revoke', 'no token', () => exchange({ client_secret: secret })],
    [401, '/oauth/revoke', 'an invalid key', () => exchange({ ...wrong, token: 'x' })],
    [200, '/oauth/introspect', 'a live token', () => asking({ token: live })],
    [200, '/oauth/introspect', 'a string that is no token', () => asking({ token: 'x' })],
    [400, '/oauth/introspect', 'no token', () => asking({})],
    [401, '/oauth/introspect', 'an API key', () => exchange({ client_secret: secret, token: live })],
    [200, '/.well-known/jwks.json', 'no condition', () => get()],
    [304, '/.well-known/jwks.json', 'the current version', () => get([['If-None-Match', '*']])],
    [400, '/.well-known/jwks.json', 'a duplicate header', () => get(twice)],
    [200, '/.well-known/jwks/{kid}.pem', 'a published key', () => ({ ...get(), path: kid })],
    [404, '/.well-known/jwks/{kid}.pem', 'an unknown key', () => ({ ...get(), path: 'nope' })],
    [400, '/.well-known/jwks/{kid}.pem', 'a duplicate header', () => ({ ...get(twice), path: kid })],
    [200, '/.well-known/oauth-authorization-server', 'a good request', () => get()],
    [400, '/.well-known/oauth-authorization-server', 'a duplicate header', () => get(twice)],
    [200, '/.well-known/openid-configuration', 'a good request', () => get()],
    [400, '/.well-known/openid-configuration', 'a duplicate header', () => get(twice)],
  ]

  it.each(cases)('%i on %s for %s', async (status, template, _what, sent) => {
    const request = sent()
    const path = template.replace('{kid}', request.path ?? '')
    const answer = await send(mintmark.service.urls.public, { ...request, path })
    expect(answer.status, answer.text).toBe(status)
    expect(document.faultsOf((request.method ?? '').toLowerCase(), template, answer)).toEqual([])
  })

  it('429 on /oauth/token for too many invalid keys', async () => {
    const unknown = () => ({ client_secret: formatCredential('mmk', 'A'.repeat(16), systemRandom) })
    const attempt = () => send(limited.service.urls.public, { ...exchange(unknown()), path: '/oauth/token' })
    const answers = [await attempt(), await attempt()]
    expect(answers.map(({ status }) => status)).toEqual([401, 429])
    expect(document.faultsOf('post', '/oauth/token', answers[1] as (typeof answers)[0])).toEqual([])
  })

  it('covers every operation with a good and a bad request', () => {
    const covered = (path: string) =>
      cases.filter(([, template]) => template === path).map(([status]) => status)
    for (const path of Object.keys(document.content.paths)) {
      expect(covered(path), path).toContain(200)
      expect(
        covered(path).some(status => status >= 400),
        path,
      ).toBe(true)
    }
  })
})
