import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TokenProvider, tokenProvider } from '../../clients/typescript/src/token-provider.ts'
import { noEnvoy } from '../gateway-configs/envoy.ts'
import { until } from '../support/until.ts'
import { FakeClock } from './fake-clock.ts'
import { type Gateway, startGateway } from './gateway.ts'
import { notNow } from './token-service-proxy.ts'

/** The `openai` package, with clients/typescript as its key, through deploy/envoy. */
let gateway: Gateway
let clock: FakeClock
let made: Awaited<ReturnType<Gateway['tenant']>>
let token: TokenProvider
let openai: OpenAI
/** The client's credentials, request by request. */
let sent: (string | null)[]
let exchangesBefore: number

beforeAll(async () => {
  if (!noEnvoy) gateway = await startGateway()
})
afterAll(() => gateway?.stop())
beforeEach(async () => {
  if (noEnvoy) return
  clock = new FakeClock()
  made = await gateway.tenant()
  token = tokenProvider({ issuer: gateway.tokenService.url, apiKey: made.secret, clock })
  sent = []
  openai = new OpenAI({
    apiKey: token,
    baseURL: gateway.baseURL,
    fetch: (input, init) => {
      sent.push(new Headers(init?.headers).get('authorization'))
      return fetch(input, init)
    },
  })
  gateway.upstream.forget()
  exchangesBefore = gateway.tokenService.exchanges()
})

const QUESTION = { model: 'acme-sql', messages: [{ role: 'user' as const, content: 'Hello' }] }
const ask = (client = openai) => client.chat.completions.create(QUESTION)
const askForStream = () => openai.chat.completions.create({ ...QUESTION, stream: true })
const exchanges = () => gateway.tokenService.exchanges() - exchangesBefore

describe.skipIf(noEnvoy)('new OpenAI({ apiKey: tokenProvider(…) })', () => {
  it('is answered, as the tenant of the key, which the engine never receives', async () => {
    expect(await ask()).toMatchObject({ model: 'acme-sql', priority: -10 })
    const { headers, rawHeaders, body } = gateway.upstream.theRequest()
    expect(headers).toMatchObject({ 'x-tenant-id': made.tenantId, 'x-vllm-priority': '-10' })
    expect(headers.authorization).toBeUndefined()
    expect(JSON.stringify([rawHeaders, body])).not.toMatch(/mmk_|eyJ/)
    expect(sent).toEqual([`Bearer ${await token()}`])
  })

  it('streams', async () => {
    const parts = []
    for await (const part of await askForStream()) parts.push(part)
    expect(parts).toEqual([{ part: 1 }, { part: 2 }])
  })

  it('renews the token during a stream, which continues', async () => {
    const stream = (await askForStream())[Symbol.asyncIterator]()
    expect((await stream.next()).value).toEqual({ part: 1 })
    clock.advance(0.6 * 3600)
    await ask()
    await until('the refresh is done', token, value => `Bearer ${value}` !== sent[0])
    await ask()
    expect((await stream.next()).value).toEqual({ part: 2 })
    expect(exchanges()).toBe(2)
    expect(sent[1]).toBe(sent[0])
    expect(sent[2]).not.toBe(sent[0])
    expect(gateway.upstream.requests).toHaveLength(3)
  })

  it('requests one token for fifty requests at once', async () => {
    await Promise.all(Array.from({ length: 50 }, () => ask()))
    expect(gateway.upstream.requests).toHaveLength(50)
    expect(exchanges()).toBe(1)
  })

  it('is answered when Mintmark was unavailable for a moment', async () => {
    gateway.tokenService.answerNext(notNow(1), notNow(2))
    expect(await ask()).toMatchObject({ model: 'acme-sql' })
    expect(exchanges()).toBe(3)
    expect(clock.slept).toHaveLength(2)
  })

  it('with a revoked key fails at once, with a reason and without the key', async () => {
    await gateway.mintmark.admin('POST', `/keys/${made.keyId}/revoke`, { reason: 'test' })
    const failure = await ask().then(
      () => expect.fail('it was answered'),
      (error: Error) => error,
    )
    expect(failure.message).toContain('refuses the API key (invalid_client): Invalid API key.')
    expect(`${failure.stack} ${failure.cause}`).not.toContain(made.secret)
    expect(exchanges()).toBe(1)
    expect(gateway.upstream.requests).toEqual([])
  })
})

describe.skipIf(noEnvoy)('its fetch', () => {
  it('is a fetch for an OpenAI client, too', async () => {
    const client = new OpenAI({ apiKey: 'unused', baseURL: gateway.baseURL, fetch: token.fetch })
    expect(await ask(client)).toMatchObject({ model: 'acme-sql' })
  })

  it('replaces the token of a request, and keeps the rest', async () => {
    const request = new Request(`${gateway.baseURL}/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer other', 'content-type': 'application/json', 'x-mine': 'kept' },
      body: JSON.stringify(QUESTION),
    })
    expect(await (await token.fetch(request)).json()).toMatchObject({ model: 'acme-sql' })
    expect(gateway.upstream.theRequest().headers).toMatchObject({ 'x-mine': 'kept' })
  })

  it('cancels an aborted request, also while it waits for its token', async () => {
    const release = gateway.tokenService.hold()
    const abort = new AbortController()
    const waiting = token.fetch(`${gateway.baseURL}/models`, { signal: abort.signal })
    abort.abort()
    await expect(waiting).rejects.toThrow(/aborted/)
    release()
    expect(gateway.upstream.requests).toEqual([])
  })
})
