import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { noEnvoy } from '../gateway-configs/envoy.ts'
import { type Gateway, startGateway } from './gateway.ts'
import { lacksPython, scenario } from './python.ts'
import { notNow } from './token-service-proxy.ts'

/** Python's `openai` package, with clients/python as its key, through deploy/envoy. */
const skipped = noEnvoy || lacksPython()
let gateway: Gateway
let made: Awaited<ReturnType<Gateway['tenant']>>
let exchangesBefore: number

beforeAll(async () => {
  if (!skipped) gateway = await startGateway()
})
afterAll(() => gateway?.stop())
beforeEach(async () => {
  if (skipped) return
  made = await gateway.tenant()
  gateway.upstream.forget()
  exchangesBefore = gateway.tokenService.exchanges()
})

const run = (name: string) =>
  scenario('openai_client.py', name, {
    issuer: gateway.tokenService.url,
    baseURL: gateway.baseURL,
    key: made.secret,
  }).result
const exchanges = () => gateway.tokenService.exchanges() - exchangesBefore

describe.skipIf(skipped)('OpenAI(api_key=TokenProvider(…)) in Python', () => {
  it.each([
    ['OpenAI', 'conversation'],
    ['AsyncOpenAI', 'async_conversation'],
  ])('%s renews the token during a stream, which continues', async (_, name) => {
    const { parts, priority, sent } = await run(name)
    expect({ parts, priority }).toEqual({ parts: [1, 2], priority: -10 })
    expect(sent).toEqual([sent[0], sent[0], expect.stringMatching(/^Bearer eyJ/)])
    expect(sent[2]).not.toBe(sent[0])
    expect(exchanges()).toBe(2)
    for (const { headers, rawHeaders } of gateway.upstream.requests) {
      expect(headers).toMatchObject({ 'x-tenant-id': made.tenantId, 'x-vllm-priority': '-10' })
      expect(JSON.stringify(rawHeaders)).not.toMatch(/mmk_|eyJ/)
    }
  })

  it('requests one token for twenty threads and twenty tasks at once', async () => {
    expect(await run('at_once')).toEqual({ models: Array(40).fill('acme-sql'), tokens: 1 })
    expect(exchanges()).toBe(1)
  })

  it('is answered when Mintmark was unavailable for a moment', async () => {
    gateway.tokenService.answerNext(notNow(1))
    const { model, seconds } = await run('answered')
    expect(model).toBe('acme-sql')
    expect(seconds).toBeGreaterThanOrEqual(1)
    expect(exchanges()).toBe(2)
  })

  it('with a revoked key fails at once, with a reason and without the key', async () => {
    await gateway.mintmark.admin('POST', `/keys/${made.keyId}/revoke`, { reason: 'test' })
    const { errors, count } = await run('refused')
    expect(count).toBe(20)
    expect(new Set(errors)).toHaveLength(1)
    expect(errors[0]).toContain('refuses the API key (invalid_client): Invalid API key.')
    expect(errors[0]).not.toContain(made.secret)
    expect(exchanges()).toBe(1)
    expect(gateway.upstream.requests).toEqual([])
  })

  it('httpx_auth() puts the token on requests of httpx clients', async () => {
    expect(await run('through_httpx')).toEqual({ statuses: [200, 200] })
    expect(exchanges()).toBe(1)
  })
})
