import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkDocument } from '../../scripts/openapi/check-document.ts'
import { type Sent, send } from '../gateway-configs/client.ts'
import { OpenApiDocument } from '../support/openapi-document.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { bearer } from './check-client.ts'

/** docs/openapi-check.json, compared with the answers of a running service. */

const document = new OpenApiDocument('openapi-check.json')

describe('docs/openapi-check.json', () => {
  it('is what the source code makes (npm run generate)', () => {
    expect(document.text).toBe(`${JSON.stringify(checkDocument(), null, 2)}\n`)
  })

  it('describes every property, parameter, header and response', () => {
    expect(document.undescribed()).toEqual([])
  })

  it('has examples that fit their schemas', () => {
    for (const [name, { content }] of Object.entries<{ content: Record<string, { example: unknown }> }>(
      document.content.components.responses,
    )) {
      const place = ['components', 'responses', name, 'content', 'application/json', 'schema']
      expect(document.faultOf(content['application/json']?.example, place), name).toBeUndefined()
    }
  })
})

describe('The gateway listener answers as documented', () => {
  let mintmark: TestService
  let secret: string
  let disabled: string
  beforeAll(async () => {
    mintmark = await startTestService({ env: { MINTMARK_GATEWAY_MODEL: 'body' } })
    secret = (await mintmark.tenantWithKey()).secret
    const other = await mintmark.tenantWithKey()
    await mintmark.admin('POST', `/keys/${other.keyId}/disable`)
    await mintmark.admin('PUT', '/models/llama-3-8b', {})
    disabled = other.secret
  })
  afterAll(() => mintmark.stop())

  const get = (credential?: string): Sent => ({
    method: 'GET',
    body: '',
    headers: credential === undefined ? [] : bearer(credential),
  })
  const post = (credential: string, model: string): Sent => ({
    headers: bearer(credential),
    body: JSON.stringify({ model }),
  })

  const cases: [status: number, operation: string, what: string, sent: () => Sent][] = [
    [200, 'post /check', 'a valid key and an allowed model', () => post(secret, 'llama-3-8b')],
    [403, 'post /check', 'an unknown model', () => post(secret, 'nope')],
    [401, 'post /check', 'an invalid key', () => post('mmk_no', 'llama-3-8b')],
    [
      200,
      'get /check',
      'a valid key on the list of models',
      () => ({ ...get(secret), path: '/check/v1/models' }),
    ],
    [401, 'get /check', 'no credential', () => get()],
    [403, 'get /check', 'a disabled key', () => get(disabled)],
    [
      403,
      'get /check',
      'a duplicate header',
      () => ({ ...get(secret), headers: [...bearer(secret), ...bearer(secret)] }),
    ],
    [200, 'get /v1/models', 'a valid key', () => get(secret)],
    [401, 'get /v1/models', 'no credential', () => get()],
    [403, 'get /v1/models', 'a disabled key', () => get(disabled)],
    [
      200,
      'get /v1/models/{model}',
      'an allowed model',
      () => ({ ...get(secret), path: '/v1/models/llama-3-8b' }),
    ],
    [404, 'get /v1/models/{model}', 'an unknown model', () => ({ ...get(secret), path: '/v1/models/nope' })],
    [401, 'get /v1/models/{model}', 'no credential', () => ({ ...get(), path: '/v1/models/llama-3-8b' })],
  ]

  it.each(cases)('%i on %s for %s', async (status, operation, _what, sent) => {
    const [method = '', path = ''] = operation.split(' ')
    const answer = await send(mintmark.service.urls.gateway, { path, ...sent() })
    expect(answer.status, answer.text).toBe(status)
    expect(document.faultsOf(method, path, answer)).toEqual([])
  })

  it('503 on /check before the service is ready', async () => {
    const unready = await startTestService({
      env: { MINTMARK_ISSUER: 'https://other.example.test' },
      database: mintmark.database,
      awaitReady: false,
    })
    const answer = await send(unready.service.urls.gateway, { ...get(secret), path: '/check' })
    expect([answer.status, document.faultsOf('get', '/check', answer)]).toEqual([503, []])
    await unready.stop()
  })

  it('covers every operation with a good and a bad request', () => {
    const operations = Object.entries<object>(document.content.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map(method => `${method} ${path}`),
    )
    for (const operation of operations) {
      const statuses = cases.filter(([, name]) => name === operation).map(([status]) => status)
      expect(statuses, operation).toContain(200)
      expect(
        statuses.some(status => status >= 400),
        operation,
      ).toBe(true)
    }
  })
})
