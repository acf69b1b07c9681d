import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { faultsIn } from '../support/hostile-input.ts'
import { INTERNALS } from '../support/internals.ts'
import { type JsonAnswer, request, startTestService, type TestService } from '../support/test-service.ts'
import { BUSY, timed } from '../support/until.ts'

/** Input that is valid HTTP but malformed in other ways: rejected with 4xx, quickly, and never an internal error. */

let mintmark: TestService
let key: string
let tenant: string

beforeAll(async () => {
  mintmark = await startTestService()
  const made = await mintmark.tenantWithKey()
  key = made.secret
  tenant = made.tenantId
})
afterAll(() => mintmark.stop())

const PROTOTYPE = Object.getOwnPropertyNames(Object.prototype).sort()

function expectRefusal({ status, text }: JsonAnswer, expected?: number): void {
  if (expected === undefined) expect([400, 401, 404, 405, 413, 414, 415]).toContain(status)
  else expect(status).toBe(expected)
  expect(text).not.toMatch(INTERNALS)
}

const form = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
  request(`${mintmark.service.urls.public}/oauth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body,
  })
const honest = (extra = '') => `grant_type=client_credentials&client_secret=${key}${extra}`
const bytes = (...parts: (string | number[])[]) =>
  new Uint8Array(
    Buffer.concat(parts.map(part => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part)))),
  )

describe('a form for the token endpoint is rejected with 400 when it has', () => {
  it.each([
    [
      '1,001 parameters',
      () => form(honest(Array.from({ length: 999 }, (_, index) => `&p${index}=`).join(''))),
    ],
    ['5,000 times the same parameter', () => form(honest('&resource='.repeat(1_300)))],
    ['the same parameter twice', () => form(honest(`&client_secret=${key}`))],
    ['the same unknown parameter twice', () => form(honest('&x=1&x=2'))],
    ['an invalid percent escape', () => form(honest('&x=%zz'))],
    ['a percent sign at the end', () => form(honest('&x=%'))],
    ['an escape that is not UTF-8', () => form(honest('&x=%ff%fe'))],
    ['an escaped lone surrogate', () => form(honest('&x=%ED%A0%80'))],
    ['an overlong escape', () => form(honest('&x=%C0%80'))],
    ['bytes that are not UTF-8', () => form(bytes(honest('&x='), [0xc3, 0x28]))],
    ['an escaped NUL', () => form(honest('&x=%00'))],
    ['a NUL', () => form(bytes(honest('&x='), [0]))],
    ['a byte order mark before it', () => form(bytes([0xef, 0xbb, 0xbf], honest()))],
    ['UTF-16 in it', () => form(new Uint8Array(Buffer.from(honest(), 'utf16le')))],
    [
      'another charset declared',
      () => form(honest(), { 'content-type': 'application/x-www-form-urlencoded; charset=utf-16' }),
    ],
    [
      'two charsets declared',
      () =>
        form(honest(), { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8; charset=utf-7' }),
    ],
    [
      'a media type of another kind',
      () => form(honest(), { 'content-type': 'multipart/form-data; boundary=x' }),
    ],
    [
      'the media type of JSON',
      () =>
        form(JSON.stringify({ grant_type: 'client_credentials', client_secret: key }), {
          'content-type': 'application/json',
        }),
    ],
    [
      'bracketed names, which some parsers read as objects',
      () => form(`grant_type=client_credentials&client_secret[$ne]=x`),
    ],
    ['a name of the prototype', () => form(`__proto__=x&constructor=y&grant_type=client_credentials`)],
  ])('%s', async (name, send) => {
    const { ms, result } = await timed(send)
    expectRefusal(result, /bracketed|prototype/.test(name) ? 401 : 400)
    expect(ms).toBeLessThan(500 * BUSY)
  })
})

describe('a body is rejected', () => {
  it.each([
    [
      'compressed with gzip: 415',
      () => form(new Uint8Array(gzipSync(honest())), { 'content-encoding': 'gzip' }),
      415,
    ],
    [
      'a bomb of gzip: 415',
      () => form(new Uint8Array(gzipSync('a'.repeat(10_000_000))), { 'content-encoding': 'gzip' }),
      415,
    ],
    ['in an unknown coding: 415', () => form(honest(), { 'content-encoding': 'zstd-bomb' }), 415],
    ['of 16 MB: 413', () => form('a'.repeat(16 * 2 ** 20)), 413],
    ['of 16 MB, for the admin API: 413', () => admin('POST', '/tenants', 'a'.repeat(16 * 2 ** 20)), 413],
  ])('%s', async (_, send, status) => expectRefusal(await send(), status))
})

const admin = (method: string, path: string, body?: string) => mintmark.admin(method, path, body)

describe('JSON for the admin API is rejected with 400 when it', () => {
  const name = (value: string) => `{"id":"odd","name":${value}}`
  it.each([
    ['nests 5,000 lists', () => admin('POST', '/tenants', '['.repeat(5_000) + ']'.repeat(5_000))],
    ['nests 16,000 lists and never closes them', () => admin('POST', '/tenants', '['.repeat(16_000))],
    ['nests 5,000 objects', () => admin('POST', '/tenants', '{"a":'.repeat(5_000))],
    [
      'is nested nine levels deep in a known field',
      () => admin('POST', '/tenants', `{"id":"odd","labels":${'{"a":'.repeat(9)}1${'}'.repeat(9)}}`),
    ],
    ['has a lone surrogate', () => admin('POST', '/tenants', name(String.raw`"\ud800"`))],
    ['has surrogates in the wrong order', () => admin('POST', '/tenants', name(String.raw`"\udc00\ud800"`))],
    [
      'has a lone surrogate in a name',
      () => admin('POST', '/tenants', String.raw`{"id":"odd","labels":{"\ud800":"x"}}`),
    ],
    ['has an escaped NUL', () => admin('POST', '/tenants', name(String.raw`"a\u0000b"`))],
    [
      'has a control character in a name for people',
      () => admin('POST', '/tenants', name(String.raw`"a\u001b[31mb"`)),
    ],
    ['begins with a byte order mark', () => admin('POST', '/tenants', '\ufeff{"id":"odd"}')],
    ['is cut off', () => admin('POST', '/tenants', '{"id":"odd"')],
    ['is two values', () => admin('POST', '/tenants', '{"id":"odd"}{}')],
    ['is a list', () => admin('POST', '/tenants', '[{"id":"odd"}]')],
    ['is null', () => admin('POST', '/tenants', 'null')],
    ['is a number beyond all bounds', () => admin('PUT', '/tiers/odd', '{"priority":1e999}')],
    ['has a number with a fraction', () => admin('PUT', '/tiers/odd', '{"priority":0.5}')],
    [
      'has __proto__',
      () => admin('POST', '/tenants', '{"id":"odd","__proto__":{"tier":"premium","polluted":true}}'),
    ],
    [
      'has constructor',
      () => admin('POST', '/tenants', '{"id":"odd","constructor":{"prototype":{"polluted":true}}}'),
    ],
    [
      'has __proto__ among labels',
      () => admin('POST', '/tenants', '{"id":"odd","labels":{"__proto__":"x"}}'),
    ],
    [
      'has 33 labels',
      () =>
        admin(
          'POST',
          '/tenants',
          JSON.stringify({
            id: 'odd',
            labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`l${i}`, ''])),
          }),
        ),
    ],
    [
      'has a list of 101',
      () =>
        admin(
          'POST',
          '/tenants',
          JSON.stringify({ id: 'odd', scopes: Array.from({ length: 101 }, (_, i) => `s${i}`) }),
        ),
    ],
    [
      'has a date that there is not',
      () => admin('POST', `/tenants/${tenant}/keys`, '{"expires_at":"2027-02-30T00:00:00Z"}'),
    ],
    [
      'has a date beyond all years',
      () => admin('POST', `/tenants/${tenant}/keys`, '{"expires_at":"9999-12-31T23:59:59Z"}'),
    ],
    [
      'has an offset beyond all offsets',
      () => admin('POST', `/tenants/${tenant}/keys`, '{"expires_at":"2027-01-01T00:00:00+99:99"}'),
    ],
  ])('%s', async (_, send) => {
    const { ms, result } = await timed(send)
    expectRefusal(result, 400)
    expect(ms).toBeLessThan(500 * BUSY)
    expect((await admin('GET', '/tenants/odd')).status).toBe(404)
  })
})

/** In the format of version 0.2, which was readable. */
const cursor = (path: string, place: string) =>
  Buffer.from(JSON.stringify([path, '', '{}', place])).toString('base64url')

describe('a path or query is rejected', () => {
  it.each([
    ['with a NUL', '/tenants/a%00b', 400],
    ['with a NUL in a name to make', '/models/a%00b', 400],
    ['with an invalid escape', '/tenants/%zz', 400],
    ['with bytes that are not UTF-8', '/tenants/%ff', 400],
    ['with an encoded lone surrogate', '/tenants/%ED%A0%80', 400],
    ['with dots that climb', '/tenants/..%2f..%2fetc%2fpasswd', 404],
    ['with the name of the prototype', '/tenants/__proto__', 404],
    ['with the name of the prototype, for a key', '/keys/constructor', 404],
    ['with a very long id', `/tenants/${'a'.repeat(4_000)}`, 404],
    ['with quotes and semicolons', "/tenants/';DROP%20TABLE%20tenants;--", 404],
    ['with a NUL in a filter', '/audit-events?actor=a%00b', 400],
    ['with a NUL in a cursor', `/audit-events/export?cursor=${cursor('/audit-events/export', '1-1\0')}`, 400],
    ['with a year that there is not', '/audit-events?from=0000-01-01T00:00:00Z', 400],
    ['with an offset into year 0', '/audit-events/export?to=0001-01-01T00:00:00%2B23:59', 400],
    ['with an offset beyond all years', '/audit-events?to=9999-12-31T23:59:59-23:59', 400],
    ['with an offset beyond all years, for keys', '/keys?unused_since=9999-12-31T23:59:59-23:59', 400],
    ['with a limit of text', '/tenants?limit=abc', 400],
    ['with a limit twice', '/tenants?limit=1&limit=2', 400],
    ['with a limit in brackets', '/tenants?limit[]=1', 400],
    ['with __proto__', '/tenants?__proto__=1', 400],
    ['with __proto__ in brackets', '/tenants?__proto__[polluted]=1', 400],
    ['with a cursor that is none', '/tenants?cursor=AAAA', 400],
    ['with a cursor with a NUL', `/tenants?cursor=${cursor('/tenants', '1\0')}`, 400],
    ['with a cursor of another list', `/tenants?cursor=${cursor('/keys', '1')}`, 400],
    ['with a cursor beyond bigint', `/tenants?cursor=${cursor('/tenants', '9'.repeat(30))}`, 400],
    ['with a cursor of SQL', `/tenants?cursor=${cursor('/tenants', '1 OR 1=1')}`, 400],
  ])('%s', async (_, path, status) => {
    const method = path.startsWith('/models') ? 'PUT' : 'GET'
    expectRefusal(await mintmark.admin(method, path, method === 'PUT' ? {} : undefined), status)
  })

  it.each([
    '/oauth/token?grant_type=client_credentials',
    '/oauth/token/',
    '/oauth//token',
    '/OAUTH/TOKEN',
    '/oauth/token;x',
    '/oauth/token%00',
    '/.well-known/jwks/%00.pem',
    '/.well-known/jwks/%zz.pem',
    '/.well-known/jwks/__proto__.pem',
  ])('at the public listener: %s', async path => {
    const post = path.toLowerCase().startsWith('/oauth')
    expectRefusal(await request(`${mintmark.service.urls.public}${path}`, { method: post ? 'POST' : 'GET' }))
  })
})

describe('the ops listener rejects', () => {
  it.each([
    ['an unknown path', 'GET', '/nothing-here', 404],
    ['a path with an invalid escape', 'GET', '/%zz', 404],
    ['another method', 'POST', '/livez', 405],
    ['another method for readiness', 'DELETE', '/readyz', 405],
    ['a trailing slash', 'GET', '/livez/', 404],
  ])('%s, in JSON that does not repeat it', async (_, method, path, status) => {
    const answer = await request(`${mintmark.service.urls.ops}${path}`, { method })
    expectRefusal(answer, status)
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
    expect(answer.text).not.toContain(path)
  })
})

describe('afterwards', () => {
  it('no prototype has changed', () => {
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    expect(Object.getOwnPropertyNames(Object.prototype).sort()).toEqual(PROTOTYPE)
  })

  it('no error was logged, and a valid exchange still succeeds', async () => {
    expect(faultsIn(mintmark.logs)).toEqual([])
    expect((await form(honest())).status).toBe(200)
  })
})
