import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { chat, type Sent } from '../gateway-configs/client.ts'
import { READABLE_BODIES, REFUSED_BODIES } from '../gateway-configs/entitlement-cases.ts'
import { rawHttp } from '../support/raw-http.ts'
import { startReplica } from '../support/replicas.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { ask, bearer, deniedAs, tokenFor } from './check-client.ts'

const unknownKey = () => formatCredential('mmk', randomId(systemRandom), systemRandom)

let byBody: TestService
let byHeader: TestService
let byGateway: TestService
let key: string
const credentials: Record<string, string> = {}

beforeAll(async () => {
  byBody = await startTestService({ env: { MINTMARK_GATEWAY_MODEL: 'body' } })
  byHeader = await startReplica(byBody, { MINTMARK_GATEWAY_MODEL: 'header:X-Gateway-Model-Name' })
  byGateway = await startReplica(byBody, { MINTMARK_GATEWAY_MODEL: 'none' })
  await byBody.admin('PUT', '/models/llama-3-8b', { max_model_len: 8192 })
  await byBody.admin('PUT', '/models/mistralai%2FMistral-7B', {})
  for (const adapter of ['acme-sql', 'acme-chat', 'globex-sql'])
    await byBody.admin('PUT', `/adapters/${adapter}`, {
      base_model: 'llama-3-8b',
      max_model_len: adapter === 'acme-chat' ? 4096 : null,
    })
  key = (await byBody.tenantWithKey({ id: 'acme', adapters: ['acme-sql', 'acme-chat'] })).secret
  credentials.key = key
  credentials.token = await tokenFor(byBody, key)
})
afterAll(async () => {
  await Promise.all([byHeader.stop(), byGateway.stop()])
  await byBody.stop()
})

describe.each(['key', 'token'])('with a %s, the model in the body', kind => {
  const post = (sent: Sent) =>
    ask(byBody, {
      method: 'POST',
      ...sent,
      headers: [...bearer(credentials[kind] ?? ''), ...(sent.headers ?? [])],
    })

  it.each(['llama-3-8b', 'mistralai/Mistral-7B', 'acme-sql', 'acme-chat'])('%s is admitted', async model => {
    expect((await post({ body: chat(model) })).status).toBe(200)
  })

  it.each(READABLE_BODIES)('is read where it is %s', async (_, body) => {
    expect((await post({ body })).status).toBe(200)
  })

  it.each(REFUSED_BODIES)('%s: 403, whatever a gateway would answer', async (_, sent) => {
    expect(deniedAs(await post(sent))).toMatch(
      /^403 (model_not_allowed|model_missing|invalid_body|invalid_request)$/,
    )
  })

  it.each([
    ['on a path like that of the list of models', '/v1/models/'],
    ['on one that an engine may read as it', '//v1/models'],
    ['on one that is cut by a fragment', '/v1/models#/../chat/completions'],
    ['on one with escapes', '/v1/%6dodels'],
    ['on one with a matrix parameter', '/v1/models;/../chat/completions'],
    ['on no path at all', ''],
  ])('must be there %s', async (_, path) => {
    expect(deniedAs(await post({ path, body: '{}' }))).toBe('403 model_missing')
  })

  it.each([
    ['/v1/chat/completions?a=1', '200'],
    ['/v1/embeddings', '403 invalid_body'],
    ['/v1/embeddings?a=1', '403 invalid_body'],
    ['', '403 invalid_body'],
  ])('on %s with a priority in the body: %s', async (path, expected) => {
    const answer = await post({ path, body: chat('llama-3-8b', { priority: -1000 }) })
    expect(answer.status === 200 ? '200' : deniedAs(answer)).toBe(expected)
  })

  it.each(['/v1/models', '/v1/models?a=1'])('is optional on %s', async path => {
    expect((await post({ path, method: 'GET', body: '' })).status).toBe(200)
  })
})

describe('the denial of a model that is not granted', () => {
  it('has what an OpenAI client shows: a code, the parameter, and what to do', async () => {
    const answer = await ask(byBody, { method: 'POST', body: chat('globex-sql'), headers: bearer(key) })
    expect({ status: answer.status, ...JSON.parse(answer.text) }).toEqual({
      status: 403,
      type: 'error',
      error: {
        message: 'Unknown model, or not allowed for this API key. GET /v1/models lists the allowed models.',
        type: 'permission_error',
        code: 'model_not_allowed',
        param: 'model',
      },
    })
  })

  it('reveals nothing to a client without a valid key', async () => {
    const headers = bearer('mmk_wrong')
    const mine = await ask(byBody, { method: 'POST', body: chat('acme-sql'), headers })
    const foreign = await ask(byBody, { method: 'POST', body: chat('globex-sql'), headers })
    expect(deniedAs(mine)).toBe('401 invalid_api_key')
    expect(foreign.text).toBe(mine.text)
  })
})

describe.each(['key', 'token'])('with a %s, the model in a header that the gateway sets', kind => {
  const name = (...models: string[]) =>
    ask(byHeader, {
      headers: [
        ...bearer(credentials[kind] ?? ''),
        ...models.map((model): [string, string] => ['x-gateway-model-name', model]),
      ],
    })

  it.each([
    ['an adapter', ['acme-sql'], '200'],
    ['a base model', ['mistralai/Mistral-7B'], '200'],
    ["another tenant's adapter", ['globex-sql'], '403 model_not_allowed'],
    ['two in one', ['acme-sql,globex-sql'], '403 model_not_allowed'],
    ['another case', ['ACME-SQL'], '403 model_not_allowed'],
    ['two headers', ['acme-sql', 'acme-sql'], '403 invalid_body'],
    ['an empty one', [''], '403 model_missing'],
    ['none', [], '403 model_missing'],
  ])('%s', async (_, models, expected) => {
    const answer = await name(...models)
    expect(answer.status === 200 ? '200' : deniedAs(answer)).toBe(expected)
  })
})

it('with none, the gateway checks the model, and a body is not read', async () => {
  const sent = { method: 'POST', body: chat('globex-sql'), headers: bearer(key) }
  expect((await ask(byGateway, sent)).status).toBe(200)
})

describe('GET /v1/models on the gateway listener', () => {
  const LISTED = {
    object: 'model',
    parent: null,
    max_model_len: null,
    type: 'model',
    created_at: '1970-01-01T00:00:00Z',
  }
  const ACME_ADAPTER = { owned_by: 'acme', parent: 'llama-3-8b' }
  const list = (authorization: Record<string, string>, method = 'GET') =>
    request(`${byGateway.service.urls.gateway}/v1/models`, { method, headers: authorization })

  it.each(['key', 'token'])('lists what the holder of a %s may use, and nothing else', async kind => {
    const { status, body } = await until(
      'the replica knows the last change',
      () => list({ authorization: `Bearer ${credentials[kind]}` }),
      ({ body }) => body.data[3].max_model_len !== null,
    )
    expect(status).toBe(200)
    expect(body.object).toBe('list')
    const ids = ['llama-3-8b', 'mistralai/Mistral-7B', 'acme-sql', 'acme-chat']
    expect(body.data.map(({ id }: { id: string }) => id)).toEqual(ids)
    const stated = body.data.map(
      ({ created, display_name, ...model }: { created: number; display_name: string; id: string }) => {
        expect(display_name).toBe(model.id)
        return created > 0 && model
      },
    )
    expect(stated).toEqual([
      { ...LISTED, id: 'llama-3-8b', owned_by: 'mintmark', root: 'llama-3-8b', max_model_len: 8192 },
      { ...LISTED, id: 'mistralai/Mistral-7B', owned_by: 'mintmark', root: 'mistralai/Mistral-7B' },
      { ...LISTED, ...ACME_ADAPTER, id: 'acme-sql', root: 'acme-sql', max_model_len: 8192 },
      { ...LISTED, ...ACME_ADAPTER, id: 'acme-chat', root: 'acme-chat', max_model_len: 4096 },
    ])
  })

  it('returns each of them by its name, encoded or not, and 404 for every other', async () => {
    for (const replica of [byGateway, byBody, byHeader]) {
      const get = (path: string) =>
        request(`${replica.service.urls.gateway}${path}`, { headers: { authorization: `Bearer ${key}` } })
      for (const name of ['llama-3-8b', 'mistralai/Mistral-7B', 'mistralai%2FMistral-7B', 'acme-sql?a=1'])
        expect(await get(`/v1/models/${name}`)).toMatchObject({
          ...{ status: 200, body: { id: decodeURIComponent(name.replace('?a=1', '')), object: 'model' } },
        })
      for (const name of ['globex-sql', 'llama', 'llama-3-8b/', '%00'])
        expect(await get(`/v1/models/${name}`)).toMatchObject({
          ...{ status: 404, body: { error: { type: 'not_found_error', code: 'model_not_found' } } },
        })
    }
  })

  it('denies like the check', async () => {
    expect((await list({})).body.error.code).toBe('missing_credential')
    expect((await list({ authorization: 'Bearer sk-1' })).status).toBe(401)
    expect((await list({ authorization: `Bearer ${key}`, 'x-api-key': 'sk-1' })).status).toBe(401)
    expect((await list({ authorization: `Bearer ${key}` }, 'POST')).status).toBe(405)
  })
})

it.each([
  ['nothing', ''],
  ['a malformed key', 'Authorization: Bearer mmk_nonsense\r\n'],
  ['a well-formed key that does not exist', `Authorization: Bearer ${unknownKey()}\r\n`],
  ['a malformed token', 'Authorization: Bearer a.b.c\r\n'],
])('with %s the denial comes before the body', async (_, credential) => {
  const head = `POST /check/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 4194304\r\n`
  const { status } = await rawHttp(byBody.service.urls.gateway, `${head}${credential}\r\n{`)
  expect(status).toBe(401)
})
