import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { MODEL_HEADER, MODEL_ROUTES } from '../../src/gateway/headers.ts'
import { rawHttp } from '../support/raw-http.ts'
import { chat, send } from './client.ts'
import { READABLE_BODIES, REFUSED_BODIES } from './entitlement-cases.ts'
import { type Environment, GATEWAYS, startEnvironment, tokenOf } from './environment.ts'
import { noEnvoy } from './envoy.ts'

let environment: Environment
let bare: string
beforeAll(async () => {
  if (noEnvoy) return
  environment = await startEnvironment()
  bare = await tokenOf(environment.mintmark, { id: 'bare', models: [] })
})
afterAll(() => environment?.stop())
beforeEach(() => environment?.upstream.forget())

describe.skipIf(noEnvoy).each(GATEWAYS)('%s', name => {
  const gateway = () => environment.gateways[name].url

  it.each([
    ['a base model', 'acme', 'llama-3-8b'],
    ['a base model with a slash', 'acme', 'mistralai/Mistral-7B'],
    ['a base model that is a path', 'acme', '/models/Llama-3.1'],
    ['an adapter', 'acme', 'acme-sql'],
    ['the other adapter', 'acme', 'acme-chat'],
    ['an adapter of its own', 'globex', 'globex-sql'],
    ['the one base model it was given', 'initech', 'llama-3-8b'],
  ] as const)('lets through %s', async (_, tenant, model) => {
    for (const { path } of MODEL_ROUTES) {
      environment.upstream.forget()
      expect(
        await send(gateway(), { token: environment.tokens[tenant], path, body: chat(model) }),
      ).toMatchObject({
        status: 200,
      })
      expect(environment.upstream.theRequest().headers[MODEL_HEADER]).toBe(model)
    }
  })

  it.each(READABLE_BODIES)('lets through %s', async (_, body) => {
    expect(await send(gateway(), { token: environment.tokens.acme, body })).toMatchObject({ status: 200 })
    expect(environment.upstream.theRequest().body).toBe(body)
  })

  it('lets through an offer of HTTP/2, as Java clients make it', async () => {
    const headers: [string, string][] = [
      ['Connection', 'Upgrade, HTTP2-Settings'],
      ['Upgrade', 'h2c'],
      ['HTTP2-Settings', 'AAMAAABkAAQAAP__'],
    ]
    expect(await send(gateway(), { token: environment.tokens.acme, headers })).toMatchObject({ status: 200 })
  })

  it('lets through a charset of UTF-8', async () => {
    const contentType = 'Application/JSON; Charset="UTF-8"'
    expect(await send(gateway(), { token: environment.tokens.acme, contentType })).toMatchObject({
      status: 200,
    })
  })

  it.each(REFUSED_BODIES)('rejects %s', async (_, sent, status) => {
    const answer = await send(gateway(), { token: environment.tokens.acme, ...sent })
    expect(answer.status).toBe(status)
    expect(environment.upstream.requests).toHaveLength(0)
  })

  it('rejects a base model that the tenant does not have, and every model for a tenant without models', async () => {
    const mistral = chat('mistralai/Mistral-7B')
    expect(await send(gateway(), { token: environment.tokens.initech, body: mistral })).toMatchObject({
      status: 403,
    })
    for (const model of ['llama-3-8b', 'acme-sql', 'none']) {
      expect(await send(gateway(), { token: bare, body: chat(model) })).toMatchObject({ status: 403 })
    }
    expect(await send(gateway(), { token: bare, method: 'GET', path: '/v1/models' })).toMatchObject({
      status: 200,
      text: '{"object":"list","data":[],"has_more":false}',
    })
    expect(environment.upstream.requests).toHaveLength(0)
  })

  it.each(['x-llm-d-model-name-rewrite', 'x-gateway-model-name-rewrite', 'X_Gateway_Model_Name_Rewrite'])(
    'removes %s, which would change the model after the check',
    async header => {
      await send(gateway(), { token: environment.tokens.acme, headers: [[header, 'globex-sql']] })
      expect(JSON.stringify(environment.upstream.theRequest())).not.toContain('globex-sql')
    },
  )

  it('finds the model in a body that comes in small chunks', async () => {
    const body = chat('globex-sql')
    const chunks = Array.from(body, letter => `1\r\n${letter}\r\n`).join('')
    const head = [
      'POST /v1/chat/completions HTTP/1.1',
      'Host: inference.example.com',
      `Authorization: Bearer ${environment.tokens.acme}`,
      'Content-Type: application/json',
      'Transfer-Encoding: chunked',
    ]
    const { status } = await rawHttp(gateway(), `${head.join('\r\n')}\r\n\r\n${chunks}0\r\n\r\n`)
    expect(status).toBe(403)
    expect(environment.upstream.requests).toHaveLength(0)
  })
})
