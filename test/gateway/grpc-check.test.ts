import { createHash, randomBytes } from 'node:crypto'
import { type Client, credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CLAIM_HEADERS } from '../../src/gateway/headers.ts'
import { scrape } from '../observability/metrics-text.ts'
import { startReplica } from '../support/replicas.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { tokenFor } from './check-client.ts'
import { AUTHORIZATION_PROTO, type CheckResponseMessage, HEALTH_PROTO, plain } from './grpc-proto.ts'

let mintmark: TestService
let key: string
let asks: Client
let health: Client

beforeAll(async () => {
  mintmark = await startTestService({ env: { MINTMARK_GATEWAY_MODEL: 'body' } })
  await mintmark.admin('PUT', '/models/llama-3-8b', {})
  key = (await mintmark.tenantWithKey({ id: 'acme', tier: 'premium', allowed_tiers: ['premium'] })).secret
  asks = client(AUTHORIZATION_PROTO, 'envoy.service.auth.v3.Authorization')
  health = client(HEALTH_PROTO, 'grpc.health.v1.Health')
})
afterAll(async () => {
  asks.close()
  health.close()
  await mintmark.stop()
})

function client(proto: object, name: string, of = mintmark): Client {
  const found = name
    .split('.')
    // biome-ignore lint/suspicious/noExplicitAny: the loader's tree of names
    .reduce((at: any, part) => at[part], loadPackageDefinition(fromJSON(proto)))
  return new (found as ServiceClientConstructor)(
    new URL(of.service.urls.gatewayGrpc).host,
    credentials.createInsecure(),
  )
}

const call = <T>(of: Client, method: string, request: object) =>
  new Promise<T>((resolve, reject) => {
    // biome-ignore lint/suspicious/noExplicitAny: methods are made from the descriptor
    ;(of as any)[method](request, (error: Error | null, answer: T) =>
      error ? reject(error) : resolve(answer),
    )
  })
const check = (http: object) =>
  call<CheckResponseMessage>(asks, 'Check', { attributes: { request: { http } } })
const json = { 'content-type': 'application/json' }
const chat = { path: '/v1/chat/completions', body: '{"model":"llama-3-8b"}' }

describe('envoy.service.auth.v3.Authorization', () => {
  it('accepts an imported secret that needs no client_id', async () => {
    const secret = `sk-${randomBytes(16).toString('base64url')}`
    const hash = createHash('sha256').update(secret).digest('hex')
    const client = { client_id: 'moved', tenant: 'acme', scheme: 'sha256', hash, lookup: true }
    expect((await mintmark.admin('POST', '/imported-clients', { clients: [client] })).status).toBe(200)
    const asked = (key: string) => check({ ...chat, headers: { authorization: `Bearer ${key}`, ...json } })
    expect((await asked(secret)).status.code).toBe(0)
    expect((await asked(`${secret}x`)).status.code).not.toBe(0)
  })

  it('exchanges a key for a token, and returns the headers to set and to remove', async () => {
    const { status, okResponse } = await check({
      ...chat,
      headers: { authorization: `Bearer ${key}`, ...json },
    })
    expect(status.code).toBe(0)
    const set = new Map(okResponse?.headers.map(({ header }) => [header.key, header.value]))
    expect(set.get('authorization')).toMatch(/^Bearer eyJ/)
    for (const { header } of CLAIM_HEADERS) expect(set.get(header)).toMatch(/./)
    expect(set.get('x-vllm-priority')).toBe('-10')
    expect(okResponse?.headersToRemove).toEqual(['x-api-key', 'api-key'])
    // Envoy appends when this is left out.
    for (const { append } of okResponse?.headers ?? []) expect(append).toMatchObject({ value: false })
  })

  it('passes a token unchanged', async () => {
    const token = await tokenFor(mintmark, key)
    const { okResponse } = await check({ ...chat, headers: { authorization: `Bearer ${token}`, ...json } })
    const set = okResponse?.headers.find(({ header }) => header.key === 'authorization')
    expect(set?.header.value).toBe(`Bearer ${token}`)
  })

  it('returns limits and the names of their buckets as metadata, for a key as for a token', async () => {
    const { tenantId, keyId, secret } = await mintmark.tenantWithKey(
      { limits: { requests_per_minute: 600, tokens_per_minute: 90_000, tokens_per_day: 4_294_967_295 } },
      { limits: { requests_per_day: 7 } },
    )
    const requests = { requests_per_unit: 600, unit: 'MINUTE' }
    const tokens = { requests_per_unit: 90_000, unit: 'MINUTE' }
    const tokens_daily = { requests_per_unit: 4_294_967_295, unit: 'DAY' }
    const requests_daily = { requests_per_unit: 7, unit: 'DAY' }
    for (const credential of [secret, await tokenFor(mintmark, secret)]) {
      const headers = { authorization: `Bearer ${credential}`, ...json }
      const { dynamicMetadata } = await check({ ...chat, headers })
      expect(plain(dynamicMetadata)).toEqual({
        ...{ tenant: tenantId, sub: keyId },
        limits: { tenant: { requests, tokens, tokens_daily }, key: { requests_daily } },
        ...{ tenant_requests: requests, tenant_tokens: tokens, tenant_tokens_daily: tokens_daily },
        ...{ key_requests_daily: requests_daily, total_limit: tokens },
      })
    }
  })

  it('without limits the metadata names only the buckets', async () => {
    const { dynamicMetadata } = await check({ ...chat, headers: { authorization: `Bearer ${key}`, ...json } })
    expect(plain(dynamicMetadata)).toEqual({ tenant: 'acme', sub: expect.stringMatching(/^key_/) })
  })

  it.each([
    ['a wrong key', { headers: { authorization: 'Bearer sk-1' } }, 401, 'invalid_api_key'],
    ['nothing', { headers: {} }, 401, 'missing_credential'],
    ['two keys joined', { headers: { authorization: 'Bearer a,Bearer b' } }, 401, 'invalid_api_key'],
    [
      'a header twice in the header map',
      { headerMap: { headers: [1, 2].map(() => ({ key: 'authorization', value: 'Bearer a' })) } },
      401,
      'ambiguous_credential',
    ],
    [
      'values in bytes',
      { headerMap: { headers: [{ key: 'authorization', rawValue: Buffer.from('Bearer sk-1') }] } },
      401,
      'invalid_api_key',
    ],
  ])('denies %s with a body that an OpenAI client reads', async (_, http, status, code) => {
    const { deniedResponse } = await check({ ...chat, ...http })
    expect(deniedResponse?.status.code).toBe(status)
    expect(JSON.parse(deniedResponse?.body ?? '').error.code).toBe(code)
    const headers = deniedResponse?.headers.map(({ header }) => header.key)
    expect(headers).toEqual(['content-type', 'WWW-Authenticate'])
  })

  it.each([
    ['a foreign model', { body: '{"model":"gpt-4"}' }, 'model_not_allowed'],
    ['the same in bytes', { body: '', rawBody: Buffer.from('{"model":"gpt-4"}') }, 'model_not_allowed'],
    ['no body', { body: '' }, 'invalid_body'],
    ['a path like the list of models', { path: '/v1/models/', body: '{}' }, 'model_missing'],
  ])('denies %s', async (_, http, code) => {
    const headers = { authorization: `Bearer ${key}`, ...json }
    const { deniedResponse } = await check({ ...chat, headers, ...http })
    expect([deniedResponse?.status.code, JSON.parse(deniedResponse?.body ?? '').error.code]).toEqual([
      403,
      code,
    ])
  })

  it('denies a body that is too long immediately, for gateways that answer 503 or reject it', async () => {
    await expect(check({ ...chat, body: 'x'.repeat(5_000_000) })).rejects.toThrow(/RESOURCE_EXHAUSTED/)
  })

  it('reads a thousand headers, and denies a message of 65,000 before it is built', async () => {
    const headers = (count: number) => Array.from({ length: count }, () => ({ key: 'a', value: 'b' }))
    const { deniedResponse } = await check({ ...chat, headerMap: { headers: headers(1_000) } })
    expect(deniedResponse?.status.code).toBe(401)
    const many = check({ ...chat, headerMap: { headers: Array.from({ length: 65_000 }, () => ({})) } })
    await expect(many).rejects.toThrow(/INVALID_ARGUMENT.*too many fields/)
  })

  it('answers an empty request', async () => {
    const { deniedResponse } = await call<CheckResponseMessage>(asks, 'Check', {})
    expect(deniedResponse?.status.code).toBe(401)
  })

  it('logs the caller and the result, and no credential', async () => {
    await check({ ...chat, headers: { authorization: `Bearer ${key}`, ...json } })
    const lines = mintmark.logs.filter(line => line.includes('gateway_grpc')).map(line => JSON.parse(line))
    expect(lines.at(-1)).toMatchObject({ route: 'Check', status: 200, tenant: 'acme' })
    expect(JSON.stringify(lines)).not.toMatch(/mmk_|eyJ/)
  })
})

it.each([
  ['is trusted is that of the client that it names', '127.0.0.0/8', '198.51.100.7'],
  ['is not trusted is its own, whatever it names', '192.0.2.0/24', expect.stringContaining('127.0.0.1')],
])('the address of a check by a gateway that %s', async (_, proxies, expected) => {
  const other = await startReplica(mintmark, { MINTMARK_TRUSTED_PROXIES: proxies })
  const caller = client(AUTHORIZATION_PROTO, 'envoy.service.auth.v3.Authorization', other)
  try {
    const source = { address: { socketAddress: { address: '198.51.100.7' } } }
    const { status } = await call<CheckResponseMessage>(caller, 'Check', {
      attributes: { source, request: { http: { ...chat, headers: json } } },
    })
    expect(status.code).toBe(16)
    const [line] = await until(
      'the check is logged',
      () => other.logs.filter(each => each.includes('"route":"Check"')),
      lines => lines.length > 0,
    )
    expect(JSON.parse(line ?? '')).toMatchObject({ listener: 'gateway_grpc', source: expected })
  } finally {
    caller.close()
    await other.stop()
  }
})

it('is timed like requests over HTTP', async () => {
  const { series } = await scrape(mintmark.service.urls.ops)
  const count = (status: string) =>
    series.get(
      `mintmark_http_request_duration_seconds_count{listener="gateway_grpc",route="Check",status="${status}"}`,
    )
  expect(count('2xx')).toBeGreaterThan(0)
  expect(count('4xx')).toBeGreaterThan(0)
})

describe('grpc.health.v1.Health', () => {
  it('reports serving, and while draining not serving; calls in flight are answered and new ones rejected', async () => {
    expect(await call(health, 'Check', {})).toMatchObject({ status: 1 })
    const watched: number[] = []
    // biome-ignore lint/suspicious/noExplicitAny: methods are made from the descriptor
    const watch = (health as any).Watch({})
    watch.on('data', ({ status }: { status: number }) => watched.push(status)).on('error', () => {})
    await until('the first status', () => watched.length > 0)
    const stopping = mintmark.service.stop()
    await until('not serving', () => watched.includes(2))
    watch.cancel()
    await stopping
    await expect(check(chat)).rejects.toThrow(/UNAVAILABLE|ECONNREFUSED/)
  })
})
