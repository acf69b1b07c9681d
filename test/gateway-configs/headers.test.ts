import { connect as connectHttp2 } from 'node:http2'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CLAIM_HEADERS, isStripped, MODEL_HEADER } from '../../src/gateway/headers.ts'
import { rawHttp } from '../support/raw-http.ts'
import { chat, send } from './client.ts'
import { type Environment, GATEWAYS, startEnvironment } from './environment.ts'
import { noEnvoy } from './envoy.ts'
import { MARK, NAMES, SPELLINGS, underscored, VALUE } from './forged-headers.ts'

let environment: Environment
beforeAll(async () => {
  if (!noEnvoy) environment = await startEnvironment()
})
afterAll(() => environment?.stop())
beforeEach(() => environment?.upstream.forget())

/** All headers that may reach the engine. Their values are the client's, or Envoy's. */
const PASSED_ON = [
  ...['host', 'content-length', 'content-type', 'transfer-encoding', 'user-agent', 'x-harmless'],
  ...[
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-request-id',
    'x-envoy-attempt-count',
    'x-envoy-expected-rq-timeout-ms',
  ],
  // The last one is istiod's name of the route.
  ...['x-envoy-internal', 'x-envoy-external-address', 'x-envoy-decorator-operation'],
]
const SET = new Map([
  ...CLAIM_HEADERS.map(({ claim, header }) => [header, claim] as const),
  [MODEL_HEADER, 'model'] as const,
])
const CLAIMS: Record<string, string> = {
  tenant: 'acme',
  tier: 'premium',
  priority: '-10',
  adapter_list: 'acme-sql acme-chat',
  model: 'llama-3-8b',
}

function expectNothingForged(): void {
  const { rawHeaders } = environment.upstream.theRequest()
  expect(JSON.stringify(rawHeaders)).not.toContain(MARK)
  const names = rawHeaders.map(([name]) => name.toLowerCase())
  expect(names.filter(name => !PASSED_ON.includes(name)).toSorted()).toEqual([...SET.keys()].toSorted())
  for (const [header, claim] of SET)
    expect(environment.upstream.theRequest().headers[header]).toBe(CLAIMS[claim])
}

describe.skipIf(noEnvoy).each(GATEWAYS)('%s forwards no client value of this header', gateway => {
  it.each(NAMES)('%s', async name => {
    for (const [how, spelled] of SPELLINGS) {
      const headers = spelled(name)
      environment.upstream.forget()
      const { status } = await send(environment.gateways[gateway].url, {
        token: environment.tokens.acme,
        headers,
      })
      expect({ how, status }).toEqual({ how, status: 200 })
      expectNothingForged()
      const withoutToken = await send(environment.gateways[gateway].url, { headers })
      expect([401, 403], how).toContain(withoutToken.status)
      expect(environment.upstream.requests, how).toHaveLength(1)
    }
  })

  // Envoy reads at most 100 headers.
  it.each([
    ['half', NAMES.filter((_, index) => index % 2 === 0)],
    ['the other half', NAMES.filter((_, index) => index % 2 === 1)],
  ])('of %s of them, sent at once, over HTTP/2', async (_, names) => {
    const session = connectHttp2(environment.gateways[gateway].url)
    const forged = Object.fromEntries(
      names.flatMap(name => [
        [name, VALUE],
        [underscored(name), VALUE],
      ]),
    )
    const stream = session.request({
      ':method': 'POST',
      ':path': '/v1/chat/completions',
      'content-type': 'application/json',
      authorization: `Bearer ${environment.tokens.acme}`,
      ...forged,
    })
    const status = new Promise(resolve => stream.once('response', headers => resolve(headers[':status'])))
    stream.end(chat('llama-3-8b'))
    expect(await status).toBe(200)
    stream.resume()
    session.close()
    expectNothingForged()
  })

  it('while another client header passes, as a control', async () => {
    await send(environment.gateways[gateway].url, {
      token: environment.tokens.acme,
      headers: [['x-harmless', MARK]],
    })
    expect(environment.upstream.theRequest().headers['x-harmless']).toBe(MARK)
  })

  it.each([
    'x-request-id',
    'x-envoy-original-path',
    'x-envoy-upstream-rq-timeout-ms',
    'x-forwarded-client-cert',
    'x-envoy-decorator-operation',
  ])('%s, which Envoy itself replaces or removes', async header => {
    await send(environment.gateways[gateway].url, {
      token: environment.tokens.acme,
      headers: [[header, MARK]],
    })
    expectNothingForged()
  })

  it('Connection, to have the set headers dropped on the way', async () => {
    const headers: [string, string][] = [['Connection', 'close, x-vllm-priority, x-tenant-id']]
    await send(environment.gateways[gateway].url, { token: environment.tokens.acme, headers })
    expect(environment.upstream.theRequest().headers).toMatchObject({
      'x-vllm-priority': '-10',
      'x-tenant-id': 'acme',
    })
    expect(environment.upstream.theRequest().headers.connection ?? '').not.toContain('x-')
  })

  it('a trailer', async () => {
    const chunk = chat('llama-3-8b')
    const lines = [
      'POST /v1/chat/completions HTTP/1.1',
      'Host: inference.example.com',
      `Authorization: Bearer ${environment.tokens.acme}`,
      'Content-Type: application/json',
      'Transfer-Encoding: chunked',
      'Trailer: x-vllm-priority',
      '',
      chunk.length.toString(16),
      chunk,
      '0',
      `x-vllm-priority: ${VALUE}`,
      '',
      '',
    ]
    const { status } = await rawHttp(environment.gateways[gateway].url, lines.join('\r\n'))
    expect([200, 400]).toContain(status)
    if (status === 200) expect(environment.upstream.theRequest().priority).toBe(-10)
    expect(JSON.stringify(environment.upstream.requests)).not.toContain(MARK)
  })

  it.each([
    ['a space before the colon', 'x-vllm-priority : '],
    ['a tab before the colon', 'x-vllm-priority\t: '],
    ['a line folded onto a harmless one', 'x-harmless: 1\r\n x-vllm-priority: '],
    ['a bare line feed before it', 'x-harmless: 1\nx-vllm-priority: '],
    ['a NUL in it', 'x-vllm\0-priority: '],
  ])('%s', async (_, name) => {
    const body = chat('llama-3-8b')
    const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${environment.tokens.acme}\r\nContent-Type: application/json`
    const bytes = `${head}\r\nContent-Length: ${body.length}\r\n${name}${VALUE}\r\n\r\n${body}`
    await rawHttp(environment.gateways[gateway].url, bytes)
    for (const { headers } of environment.upstream.requests) {
      expect(headers['x-vllm-priority']).toBe('-10')
      expect(JSON.stringify({ ...headers, 'x-harmless': '' })).not.toContain(MARK)
    }
  })
})

describe('the strip list', () => {
  it.each(['X-VLLM-Priority', 'x_vllm_priority', 'x-Tenant_ID', 'X_AIBRIX_anything', 'User'])(
    'knows %s',
    name => {
      expect(isStripped(name)).toBe(true)
    },
  )
  it.each(['accept', 'x-vllm', 'users', 'x-slo'])('does not know %s', name => {
    expect(isStripped(name)).toBe(false)
  })
})
