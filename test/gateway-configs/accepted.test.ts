import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { chat, send } from './client.ts'
import { type Environment, GATEWAYS, startEnvironment } from './environment.ts'
import { noEnvoy } from './envoy.ts'

let environment: Environment
beforeAll(async () => {
  if (!noEnvoy) environment = await startEnvironment()
})
afterAll(() => environment?.stop())
beforeEach(() => environment?.upstream.forget())

describe.skipIf(noEnvoy).each(GATEWAYS)('%s admits a valid token', name => {
  const gateway = () => environment.gateways[name].url

  it.each([
    ['acme', 'premium', '-10', 'acme-sql acme-chat'],
    ['initech', 'standard', '0', 'none'],
    ['globex', 'batch', '10', 'globex-sql'],
  ] as const)('and sets %s: tier %s, priority %s, adapters %s', async (tenant, tier, priority, adapters) => {
    expect(await send(gateway(), { token: environment.tokens[tenant] })).toMatchObject({ status: 200 })
    const { headers } = environment.upstream.theRequest()
    expect(headers).toMatchObject({
      'x-tenant-id': tenant,
      user: tenant,
      'x-llm-d-inference-fairness-id': tenant,
      'x-gateway-inference-fairness-id': tenant,
      'x-vllm-priority': priority,
      'x-priority': priority,
      'x-llm-d-inference-objective': tier,
      'x-gateway-inference-objective': tier,
      'x-lora-adapters': adapters,
      'x-gateway-model-name': 'llama-3-8b',
    })
    expect(environment.upstream.theRequest().priority).toBe(Number(priority))
  })

  it('and does not forward it to the engine', async () => {
    await send(gateway(), { token: environment.tokens.acme })
    expect(environment.upstream.theRequest().headers.authorization).toBeUndefined()
    expect(JSON.stringify(environment.upstream.theRequest())).not.toContain(environment.tokens.acme)
  })

  it.each(['bearer ', 'BEARER  ', 'bEaReR '])('after the scheme %j (RFC 9110, 11.1)', async scheme => {
    const headers: [string, string][] = [['Authorization', scheme + environment.tokens.acme]]
    expect(await send(gateway(), { headers })).toMatchObject({ status: 200 })
  })

  it.runIf(name === 'deploy/envoy')('and hands on no key in another header', async () => {
    const headers: [string, string][] = [['x-api-key', 'mmk_of_the_client']]
    await send(gateway(), { token: environment.tokens.acme, headers })
    expect(JSON.stringify(environment.upstream.theRequest())).not.toContain('mmk_')
  })

  it.each([
    ['POST', '/v1/chat/completions'],
    ['POST', '/v1/completions'],
    ['POST', '/v1/responses'],
    ['POST', '/v1/embeddings'],
    ['POST', '/v1/messages'],
    ['POST', '/v1/messages/count_tokens'],
  ])('on %s %s, with the body untouched, but for the cache salt', async (method, path) => {
    const body = method === 'POST' ? ` ${chat('llama-3-8b', { note: 'ü 😀 \u0007' })}\n` : ''
    expect(await send(gateway(), { token: environment.tokens.acme, method, path, body })).toMatchObject({
      status: 200,
    })
    const salted = body.replace('{', `{"cache_salt":"acme",`)
    expect(environment.upstream.theRequest()).toMatchObject({ method, path, body: salted })
  })

  it('and answers the list of models from it, for OpenAI’s and Anthropic’s clients, without the engine', async () => {
    const baseURL = gateway()
    const apiKey = environment.tokens.acme
    const openai = new OpenAI({ apiKey, baseURL: `${baseURL}/v1`, maxRetries: 0 })
    const anthropic = new Anthropic({ authToken: apiKey, apiKey: null, baseURL, maxRetries: 0 })
    const models = ['llama-3-8b', 'mistralai/Mistral-7B', '/models/Llama-3.1', 'acme-sql', 'acme-chat']
    expect((await openai.models.list()).data.map(({ id }) => id)).toEqual(models)
    expect((await anthropic.models.list()).data.map(({ id }) => id)).toEqual(models)
    expect(environment.upstream.requests).toHaveLength(0)
  })

  it('and passes a stream on without delay', async () => {
    const sendRest = environment.upstream.holdStreams()
    onTestFinished(sendRest)
    const response = await fetch(`${gateway()}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${environment.tokens.acme}`, 'content-type': 'application/json' },
      body: chat('llama-3-8b', { stream: true }),
    })
    let text = ''
    for await (const part of response.body ?? []) {
      text += Buffer.from(part).toString()
      // The client has the first part before the engine sends the second.
      sendRest()
    }
    expect(text).toBe('data: {"part":1}\n\ndata: {"part":2}\n\ndata: [DONE]\n\n')
  })

  it.each([
    ['a body just under the limit', 4_100_000, 200],
    ['a longer one', 4_300_000, 413],
  ])('with %s: %i bytes, %i', async (_, length, status) => {
    const body = chat('llama-3-8b', { image: 'A'.repeat(length) })
    expect(await send(gateway(), { token: environment.tokens.acme, body })).toMatchObject({ status })
    expect(environment.upstream.requests).toHaveLength(status === 200 ? 1 : 0)
  })
})
