import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type JsonAnswer, request, startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let admin: TestService['admin']
let key: Awaited<ReturnType<TestService['tenantWithKey']>>
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  key = await mintmark.tenantWithKey({ id: 'acme' })
})
afterAll(() => mintmark.stop())

const anonymous = (method: string, path: string, authorization?: string) =>
  request(`${mintmark.service.urls.admin}/admin/v1${path}`, {
    method,
    headers: authorization === undefined ? {} : { authorization },
  })

const BAD = { nope: 1 }

describe('The order of checks', () => {
  it.each<[string, () => Promise<JsonAnswer>, number]>([
    ['authentication before everything: an unknown path', () => anonymous('GET', '/nothing'), 401],
    ['authentication before the method', () => anonymous('PUT', '/tenants'), 401],
    ['authentication before existence', () => anonymous('GET', '/tenants/nobody'), 401],
    [
      'authentication before the body',
      () => admin('POST', '/tenants', BAD, { authorization: 'Bearer wrong' }),
      401,
    ],
    ['existence before the body: PATCH of a tenant', () => admin('PATCH', '/tenants/nobody', BAD), 404],
    ['existence before the body: a key for a tenant', () => admin('POST', '/tenants/nobody/keys', BAD), 404],
    [
      'existence before the body: PATCH of a key',
      () => admin('PATCH', '/keys/key_0000000000000000', BAD),
      404,
    ],
    ['existence before the body: rotate', () => admin('POST', '/keys/key_0000000000000000/rotate', BAD), 404],
    [
      'existence before the media type',
      () => admin('PATCH', '/tenants/nobody', '{}', { 'content-type': 'text/plain' }),
      404,
    ],
    ['existence before the query', () => admin('DELETE', '/tenants/nobody?nope=1'), 404],
    [
      'the media type before the body',
      () => admin('PATCH', '/tenants/acme', '{', { 'content-type': 'text/plain' }),
      415,
    ],
    ['the body last', () => admin('PATCH', '/tenants/acme', BAD), 400],
  ])('%s', async (_, ask, status) => {
    expect(await ask()).toMatchObject({ status })
  })
})

describe('A caller without a valid token gets 401, with a Bearer challenge', () => {
  it.each<[string, () => string | undefined]>([
    ['no token', () => undefined],
    ['a wrong token', () => `Bearer ${'x'.repeat(53)}`],
    ['the token and one character more', () => `Bearer ${mintmark.rootToken}x`],
    ['the token without its last character', () => `Bearer ${mintmark.rootToken.slice(0, -1)}`],
    ['the token under Basic', () => `Basic ${btoa(`root:${mintmark.rootToken}`)}`],
    ['the token without a scheme', () => mintmark.rootToken],
    ['an API key', () => `Bearer ${key.secret}`],
    ['an empty token', () => 'Bearer '],
  ])('%s', async (_, authorization) => {
    const { status, headers, body } = await anonymous('GET', '/tenants', authorization())
    expect({ status, code: body.code }).toEqual({ status: 401, code: 'unauthenticated' })
    expect(headers.get('www-authenticate')).toBe('Bearer realm="mintmark-admin"')
  })

  it('the scheme may be in any case (RFC 9110 §11.1)', async () => {
    expect(await anonymous('GET', '/tenants', `bearer ${mintmark.rootToken}`)).toMatchObject({ status: 200 })
  })

  it('every token of a list is root, during a change of tokens', async () => {
    const [older, newer] = ['o'.repeat(32), 'n'.repeat(32)]
    const changing = await startTestService({ env: { MINTMARK_ROOT_TOKEN: `${newer},${older}` } })
    const status = async (token: string) =>
      (await changing.admin('GET', '/tenants', undefined, { authorization: `Bearer ${token}` })).status
    const statuses = [await status(older), await status(newer), await status(`${newer},${older}`)]
    await changing.stop()
    expect(statuses).toEqual([200, 200, 401])
  })
})

describe('RFC 9457: an error is a problem document with the request id, and is not cached', () => {
  it.each<[string, () => Promise<JsonAnswer>, number, string]>([
    ['400', () => admin('POST', '/tenants', BAD), 400, 'invalid'],
    ['400 for what is no JSON', () => admin('POST', '/tenants', '{'), 400, 'bad_request'],
    ['401', () => anonymous('GET', '/tenants'), 401, 'unauthenticated'],
    ['404 for an object', () => admin('GET', '/tenants/nobody'), 404, 'not_found'],
    ['404 for a path', () => admin('GET', '/nothing'), 404, 'not_found'],
    ['405', () => admin('PUT', '/tenants'), 405, 'method_not_allowed'],
    ['409', () => admin('POST', '/tenants', { id: 'acme' }), 409, 'tenant_id_taken'],
    [
      '413',
      () => admin('POST', '/tenants', { id: 'big', description: 'x'.repeat(40_000) }),
      413,
      'too_large',
    ],
    [
      '415',
      () => admin('POST', '/tenants', 'id=x', { 'content-type': 'application/x-www-form-urlencoded' }),
      415,
      'unsupported_media_type',
    ],
  ])('%s', async (_, ask, status, code) => {
    const { headers, body, ...answer } = await ask()
    expect(answer.status).toBe(status)
    expect(headers.get('content-type')).toMatch(/^application\/problem\+json\b/)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toMatchObject({
      type: `urn:mintmark:problem:${code}`,
      title: expect.stringMatching(/^[A-Z]/),
      status,
      detail: expect.stringMatching(/\.$/),
      code,
      request_id: headers.get('x-request-id'),
    })
  })

  it('successful responses are not cached either', async () => {
    expect((await admin('GET', '/tenants')).headers.get('cache-control')).toBe('no-store')
  })
})

describe('A body is parsed strictly', () => {
  it.each<[string, unknown, Record<string, string>, number]>([
    ['nothing', undefined, {}, 415],
    ['another media type', '{"id":"strict"}', { 'content-type': 'text/json' }, 415],
    [
      'a merge patch where something is made',
      '{"id":"strict"}',
      { 'content-type': 'application/merge-patch+json' },
      415,
    ],
    ['another charset', '{"id":"strict"}', { 'content-type': 'application/json; charset=latin1' }, 415],
    ['compression', '{"id":"strict"}', { 'content-encoding': 'gzip' }, 415],
    ['half a JSON', '{"id":"strict"', {}, 400],
    ['a list', '[]', {}, 400],
    ['null', 'null', {}, 400],
    ['a NUL in text', '{"id":"strict","name":"a\\u0000"}', {}, 400],
    ['the prototype as a member', '{"id":"strict","__proto__":{}}', {}, 400],
    ['half a surrogate pair', '{"id":"strict","name":"\\ud800"}', {}, 400],
    ['JSON that is nested without end', `{"id":${'['.repeat(5000)}`, {}, 400],
  ])('%s is refused', async (_, body, headers, status) => {
    expect(await admin('POST', '/tenants', body, headers)).toMatchObject({ status })
    expect(await admin('GET', '/tenants/strict')).toMatchObject({ status: 404 })
  })

  it('the charset UTF-8 may be declared', async () => {
    const headers = { 'content-type': 'application/json; charset=utf-8' }
    expect(await admin('POST', '/tenants', '{"id":"aloud"}', headers)).toMatchObject({ status: 201 })
  })

  it.each([undefined, '{}'])('an action has no body: %j is accepted', async body => {
    expect(await admin('POST', '/tenants/acme/resume', body)).toMatchObject({ status: 200 })
  })

  it('an action rejects a body with members', async () => {
    expect(await admin('POST', '/tenants/acme/suspend', { until: 'tomorrow' })).toMatchObject({ status: 400 })
    expect((await admin('GET', '/tenants/acme')).body.state).toBe('active')
  })

  it.each(['GET', 'PATCH', 'DELETE'])('%s rejects unknown query parameters', async method => {
    const { status, body } = await admin(method, '/tenants/acme?nope=1', method === 'PATCH' ? {} : undefined)
    expect({ status, pointer: body.errors[0].pointer }).toEqual({ status: 400, pointer: '/nope' })
  })
})

describe('An unknown path is never an internal error', () => {
  it.each([
    ['a NUL', 'a%00b', 400],
    ['bytes that are not UTF-8', '%C3%28', 400],
    ['SQL', '%27%20OR%201=1--', 404],
    ['a way up', '..%2F..%2Finstallation', 404],
    ['text outside ASCII', '%F0%9F%94%91', 404],
    ['5000 characters', 'x'.repeat(5000), 404],
  ])('%s', async (_, id, status) => {
    const ask = async (method: string, path: string) => [path, (await admin(method, path)).status]
    for (const path of [
      `/tenants/${id}`,
      `/tenants/${id}/keys`,
      `/keys/${id}`,
      `/tiers/${id}`,
      `/models/${id}`,
    ]) {
      expect(await ask('GET', path)).toEqual([path, status])
    }
    const revoke = `/keys/${key.keyId}/secrets/${id}/revoke`
    expect(await ask('POST', revoke)).toEqual([revoke, status])
  })

  it.each(['/tenants/', '/Tenants', '/tenants/acme/', '/tenants//keys'])(
    'paths match exactly: %s',
    async path => {
      expect(await admin('GET', path)).toMatchObject({ status: 404 })
    },
  )
})

describe('A wrong method is 405 with Allow', () => {
  it.each([
    ['/tenants', 'DELETE', ['POST', 'GET', 'HEAD']],
    ['/tenants/acme', 'POST', ['GET', 'PATCH', 'DELETE', 'HEAD']],
    ['/tenants/acme/suspend', 'GET', ['POST']],
    ['/tenants/acme/keys', 'PUT', ['POST', 'GET', 'HEAD']],
    ['/keys', 'POST', ['GET', 'HEAD']],
    ['/keys/key_0', 'DELETE', ['GET', 'PATCH', 'HEAD']],
    ['/keys/key_0/rotate', 'GET', ['POST']],
    ['/tiers/premium', 'PATCH', ['GET', 'PUT', 'DELETE', 'HEAD']],
    ['/signing-keys', 'DELETE', ['GET', 'HEAD']],
    ['/installation', 'DELETE', ['GET']],
  ])('%s: %s', async (path, method, allowed) => {
    const { status, headers } = await admin(method, path)
    expect(status).toBe(405)
    expect(headers.get('allow')?.split(', ')).toEqual(expect.arrayContaining(allowed))
  })
})
