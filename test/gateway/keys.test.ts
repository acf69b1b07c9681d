import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import type { Sent } from '../gateway-configs/client.ts'
import { scrape } from '../observability/metrics-text.ts'
import { withAnotherEnd } from '../support/altered.ts'
import { expireKey } from '../support/expired-key.ts'
import { rawHttp } from '../support/raw-http.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { externalVerifier } from '../tokens/external-verifier.ts'
import { admitted, ask, bearer, deniedAs, tokenFor } from './check-client.ts'

type Key = Awaited<ReturnType<TestService['tenantWithKey']>>

let mintmark: TestService
let key: Key
let token: string

beforeAll(async () => {
  mintmark = await startTestService({
    env: { MINTMARK_GATEWAY_AUDIENCE: 'check', MINTMARK_GATEWAY_KEY_HEADERS: 'x-api-key' },
  })
  await mintmark.admin('PUT', '/models/llama-3-8b', {})
  await mintmark.admin('PUT', '/adapters/acme-sql', { base_model: 'llama-3-8b' })
  key = await mintmark.tenantWithKey({ ...ACME, id: 'acme' }, { scopes: ACME.scopes })
  token = await tokenFor(mintmark, key.secret, { audience: 'check' })
})
afterAll(() => mintmark.stop())

const ACME = {
  tier: 'premium',
  allowed_tiers: ['premium'],
  adapters: ['acme-sql'],
  audiences: ['vllm', 'check'],
  scopes: ['inference', 'more'],
}
const made = (tenant = {}, settings = {}) =>
  mintmark.tenantWithKey({ audiences: ['vllm', 'check'], ...tenant }, settings)
const unknown = () => formatCredential('mmk', randomId(systemRandom), systemRandom)

describe('an API key is exchanged for a token', () => {
  it('of its tenant, with every header that the engine reads', async () => {
    const { jwt, claims } = admitted(await ask(mintmark, { headers: bearer(key.secret) }))
    expect(claims).toMatchObject({
      iss: mintmark.service.issuer,
      sub: key.keyId,
      aud: 'check',
      scope: 'inference more',
      tenant: 'acme',
      priority: '-10',
      models: ['llama-3-8b'],
      adapters: ['acme-sql'],
    })
    await expect(externalVerifier(mintmark, 'check')(jwt)).resolves.toBeTruthy()
  })

  it('with "none" where the tenant has no adapter, never an empty header', async () => {
    const { secret } = await made()
    expect(admitted(await ask(mintmark, { headers: bearer(secret) })).claims.adapter_list).toBe('none')
  })

  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'])('called with %s', async method => {
    expect((await ask(mintmark, { method, body: '', headers: bearer(key.secret) })).status).toBe(200)
  })

  it.each(['', '/', '//', '/%2e/', '/%zz', '/a?b=%', '/..%2f..', '/v1/models/../x', '/check/check'])(
    'whatever the path below /check: %s',
    async path => {
      expect((await ask(mintmark, { path, headers: bearer(key.secret) })).status).toBe(200)
    },
  )

  it('and all of these paths are one route in logs and metrics', async () => {
    const { series } = await scrape(mintmark.service.urls.ops)
    const routes = new Set(
      [...series.keys()].flatMap(name => /listener="gateway",route="([^"]*)"/.exec(name)?.[1] ?? []),
    )
    expect([...routes]).toEqual(['/check'])
    expect(JSON.parse(mintmark.logs.findLast(line => line.includes('"request"')) ?? '')).toMatchObject({
      listener: 'gateway',
      route: '/check',
      status: 200,
    })
  })

  it('for a POST with a JSON content type and no body, as Envoy sends it', async () => {
    const headers: [string, string][] = [...bearer(key.secret), ['Content-Type', 'application/json']]
    expect((await ask(mintmark, { method: 'POST', body: '', headers })).status).toBe(200)
  })

  it('with a body that is not read', async () => {
    const body = 'x'.repeat(100_000)
    expect((await ask(mintmark, { method: 'POST', body, headers: bearer(key.secret) })).status).toBe(200)
  })

  it.each([
    ['x-api-key, which is configured', () => [['X-Api-Key', key.secret]]],
    [
      'Authorization and the same in x-api-key, as Claude Code sends its apiKeyHelper',
      () => [...bearer(key.secret), ['X-Api-Key', key.secret]],
    ],
    [
      'the same in all three',
      () => [...bearer(key.secret), ['X-Api-Key', key.secret], ['api-key', key.secret]],
    ],
    ['bearer in lower case', () => [['authorization', `bearer ${key.secret}`]]],
    ['bearer with two spaces', () => [['authorization', `bearer  ${key.secret}`]]],
    ['Authorization and x-api-key', () => [...bearer(key.secret), ['x-api-key', key.secret]]],
    [
      'api-key, which is not configured, and x-api-key',
      () => [
        ['api-key', key.secret],
        ['x-api-key', key.secret],
      ],
    ],
    [
      'Authorization with an empty x-api-key',
      () => [...bearer(key.secret), ['x-api-key', ''], ['api-key', ' ']],
    ],
  ] as [string, () => [string, string][]][])('in %s', async (_, headers) => {
    admitted(await ask(mintmark, { headers: headers() }))
  })

  it('and the client never receives the token: only the readable part of a denial is forwarded', async () => {
    const answer = await ask(mintmark, { headers: bearer(unknown()) })
    expect(answer.headers.authorization).toBeUndefined()
  })
})

describe('indistinguishable denials', () => {
  const REFUSED: [what: string, secret: () => Promise<string> | string][] = [
    ['what is no key at all', () => 'hunter2'],
    ['an sk- key of another service', () => 'sk-proj-1234567890'],
    ['a typing error', () => withAnotherEnd(key.secret)],
    ['a key that was never issued', unknown],
    ['a wrong secret of a real key', () => formatCredential('mmk', key.keyId.slice(4), systemRandom)],
    ['an admin token', () => formatCredential('mma', key.keyId.slice(4), systemRandom)],
    ['the root token', () => mintmark.rootToken],
    ['a revoked key', () => secretAfter(({ keyId }) => mintmark.admin('POST', `/keys/${keyId}/revoke`))],
    [
      'a secret whose overlap is over',
      () =>
        secretAfter(({ keyId }) => mintmark.admin('POST', `/keys/${keyId}/rotate`, { overlap_seconds: 0 })),
    ],
    ['an expired key', () => secretAfter(({ keyId }) => expireKey(mintmark, keyId))],
    [
      'a key of a deleted tenant',
      () => secretAfter(({ tenantId }) => mintmark.admin('DELETE', `/tenants/${tenantId}?cascade=true`)),
    ],
  ]
  async function secretAfter(change: (key: Key) => Promise<unknown>): Promise<string> {
    const fresh = await made()
    await change(fresh)
    return fresh.secret
  }

  it.each(REFUSED)('%s: 401', async (_, secret) => {
    const answer = await ask(mintmark, { headers: bearer(await secret()) })
    const other = await ask(mintmark, { headers: bearer('hunter2') })
    expect(deniedAs(answer)).toBe('401 invalid_api_key')
    expect(answer.text).toBe(other.text)
    expect(answer.headers['www-authenticate']).toBe(other.headers['www-authenticate'])
  })
})

describe('the holder of a correct key learns the reason', () => {
  it.each([
    [
      'that its tenant is suspended',
      'tenant_suspended',
      ({ tenantId }: Key) => `/tenants/${tenantId}/suspend`,
    ],
    ['that it is disabled', 'key_disabled', ({ keyId }: Key) => `/keys/${keyId}/disable`],
  ])('%s: 403, for the key and for its token', async (_, code, path) => {
    const blocked = await made()
    const its = await tokenFor(mintmark, blocked.secret, { audience: 'check' })
    await mintmark.admin('POST', path(blocked))
    for (const credential of [blocked.secret, its])
      expect(deniedAs(await ask(mintmark, { headers: bearer(credential) }))).toBe(`403 ${code}`)
  })

  it.each([
    ['that the audience is not granted', 'audience_not_granted', { audiences: ['vllm'] }, {}],
    ['that the scope is not granted', 'scope_not_granted', { scopes: ['more'] }, { scopes: ['more'] }],
  ])('%s: 403', async (_, code, tenant: object, settings: object) => {
    const { secret } = await made(tenant, settings)
    expect(deniedAs(await ask(mintmark, { headers: bearer(secret) }))).toBe(`403 ${code}`)
  })
})

describe('exactly one credential', () => {
  const twice = (name: string, value: string): [string, string][] => [
    [name, value],
    [name, value],
  ]
  const REFUSED: [what: string, sent: () => Sent, answer: string][] = [
    ['none', () => ({}), '401 missing_credential'],
    ['an empty one', () => ({ headers: [['Authorization', '']] }), '401 missing_credential'],
    ['Bearer and nothing', () => ({ headers: [['Authorization', 'Bearer']] }), '401 invalid_api_key'],
    ['Basic', () => ({ headers: [['Authorization', `Basic ${btoa(key.secret)}`]] }), '401 invalid_api_key'],
    ['the key without Bearer', () => ({ headers: [['Authorization', key.secret]] }), '401 invalid_api_key'],
    [
      'api-key, which is not configured',
      () => ({ headers: [['api-key', key.secret]] }),
      '401 missing_credential',
    ],
    ['a token in x-api-key', () => ({ headers: [['x-api-key', token]] }), '401 invalid_api_key'],
    ['a key in the query', () => ({ path: `/?api_key=${key.secret}` }), '401 missing_credential'],
    [
      'Authorization twice',
      () => ({ headers: twice('Authorization', `Bearer ${key.secret}`) }),
      '403 invalid_request',
    ],
    ['x-api-key twice', () => ({ headers: twice('x-api-key', key.secret) }), '403 invalid_request'],
    ['api-key twice', () => ({ headers: twice('api-key', key.secret) }), '401 ambiguous_credential'],
    [
      'another key in a second header',
      () => ({ headers: [...bearer(key.secret), ['x-api-key', key.secret.replace(/.$/, '')]] }),
      '401 ambiguous_credential',
    ],
    [
      'the key twice, once without Bearer',
      () => ({
        headers: [
          ['Authorization', key.secret],
          ['x-api-key', key.secret],
        ],
      }),
      '401 invalid_api_key',
    ],
    [
      'a key, and another value where no key is taken',
      () => ({ headers: [...bearer(key.secret), ['api-key', 'sk-1']] }),
      '401 ambiguous_credential',
    ],
    [
      'the same with an underscore',
      () => ({ headers: [...bearer(key.secret), ['API_KEY', 'sk-1']] }),
      '401 ambiguous_credential',
    ],
    [
      'a key and a token',
      () => ({ headers: [...bearer(token), ['x-api-key', key.secret]] }),
      '401 ambiguous_credential',
    ],
    [
      'two keys in one header, as Envoy joins them',
      () => ({ headers: [['Authorization', `Bearer ${key.secret},Bearer ${key.secret}`]] }),
      '401 invalid_api_key',
    ],
    [
      'a token and a key in one header',
      () => ({ headers: [['Authorization', `Bearer ${token},${key.secret}`]] }),
      '401 invalid_token',
    ],
  ]

  it.each(REFUSED)('rejects %s', async (_, sent, answer) => {
    expect(deniedAs(await ask(mintmark, sent()))).toBe(answer)
  })

  it('sends a challenge without an error where no credential was sent (RFC 6750 §3)', async () => {
    const nothing = await ask(mintmark)
    expect(nothing.headers['www-authenticate']).toBe('Bearer realm="mintmark"')
    const wrong = await ask(mintmark, { headers: bearer('sk-1') })
    expect(wrong.headers['www-authenticate']).toBe('Bearer realm="mintmark", error="invalid_token"')
  })
})

describe('malformed HTTP is never allowed (facts V16)', () => {
  const head = (line: string, ...headers: string[]) =>
    [line, ...headers, `Authorization: Bearer ${key.secret}`, '', ''].join('\r\n')
  it.each([
    ['two Hosts', () => head('GET /check HTTP/1.1', 'Host: a', 'Host: b')],
    ['an absolute-form target', () => head('GET http://a/check HTTP/1.1', 'Host: a')],
    [
      'CL and TE',
      () => head('POST /check HTTP/1.1', 'Host: a', 'Content-Length: 0', 'Transfer-Encoding: chunked'),
    ],
    ['two lengths', () => head('POST /check HTTP/1.1', 'Host: a', 'Content-Length: 0', 'Content-Length: 1')],
    ['a folded line', () => head('GET /check HTTP/1.1', 'Host: a', 'X-A: b', ' c')],
    ['a space before a colon', () => head('GET /check HTTP/1.1', 'Host: a', 'X-A : b')],
    ['a NUL', () => head('GET /check HTTP/1.1', 'Host: a', 'X-A: \0')],
  ])('%s', async (_, bytes) => {
    const { status } = await rawHttp(mintmark.service.urls.gateway, bytes())
    expect([400, 403]).toContain(status)
  })

  it.each(['/checkx', '/Check', '/', '/v1/chat/completions', '/oauth/token', '/admin/v1/keys', '/metrics'])(
    'and only /check is a check: %s',
    async path => {
      const { status } = await rawHttp(mintmark.service.urls.gateway, head(`GET ${path} HTTP/1.1`, 'Host: a'))
      expect(status).toBe(404)
    },
  )
})
