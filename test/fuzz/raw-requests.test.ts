import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { INTERNALS } from '../support/internals.ts'
import { rawHttp } from '../support/raw-http.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

/** Requests that no HTTP client sends: bytes on a socket. test/http/listeners.test.ts has what all listeners reject alike. */

let mintmark: TestService
let key: string
/** The answer to a body of which a part does not come. It takes seconds, so it is asked for at the beginning. */
let unfinished: ReturnType<typeof rawHttp>

beforeAll(async () => {
  mintmark = await startTestService()
  key = (await mintmark.tenantWithKey()).secret
  const head = lines('POST /oauth/token HTTP/1.1', 'Host: x', FORM, 'Content-Length: 100')
  unfinished = rawHttp(mintmark.service.urls.public, `${head}grant`)
})
afterAll(() => mintmark.stop())

const lines = (...text: string[]) => `${text.join('\r\n')}\r\n\r\n`
const FORM = 'Content-Type: application/x-www-form-urlencoded'
const body = () => `grant_type=client_credentials&client_secret=${key}`
const post = (...headers: string[]) =>
  lines(
    'POST /oauth/token HTTP/1.1',
    'Host: x',
    'Connection: close',
    ...headers,
    FORM,
    `Content-Length: ${body().length}`,
  ) + body()

describe('an ambiguous request is rejected with 400', () => {
  const jwks = (...headers: string[]) =>
    lines('GET /.well-known/jwks.json HTTP/1.1', ...headers, 'Connection: close')
  const cases: Record<string, () => string> = {
    'Content-Length and Transfer-Encoding': () =>
      `${lines(
        'POST /oauth/token HTTP/1.1',
        'Host: x',
        FORM,
        'Content-Length: 4',
        'Transfer-Encoding: chunked',
      )}0\r\n\r\n`,
    'two Content-Lengths that differ': () =>
      lines('POST /oauth/token HTTP/1.1', 'Host: x', FORM, 'Content-Length: 4', 'Content-Length: 5') +
      'a=b&c',
    'two Content-Lengths that agree': () =>
      `${lines('POST /oauth/token HTTP/1.1', 'Host: x', FORM, 'Content-Length: 4', 'Content-Length: 4')}a=bb`,
    'a Content-Length with a sign': () =>
      `${lines('POST /oauth/token HTTP/1.1', 'Host: x', FORM, 'Content-Length: +4')}a=bb`,
    'an unknown transfer coding': () =>
      `${lines('POST /oauth/token HTTP/1.1', 'Host: x', FORM, 'Transfer-Encoding: xchunked')}0\r\n\r\n`,
    'chunked, but not last': () =>
      lines('POST /oauth/token HTTP/1.1', 'Host: x', FORM, 'Transfer-Encoding: chunked, identity') +
      '0\r\n\r\n',
    'a chunk size that is none': () =>
      lines('POST /oauth/token HTTP/1.1', 'Host: x', FORM, 'Transfer-Encoding: chunked') +
      'zz\r\nab\r\n0\r\n\r\n',
    'bare LF between headers': () => 'GET /.well-known/jwks.json HTTP/1.1\nHost: x\nConnection: close\n\n',
    'a header folded over two lines': () => jwks('Host: x', 'X-A: 1', ' folded'),
    'a space before the colon': () => jwks('Host: x', 'X-A : 1'),
    'a NUL in a header': () => jwks('Host: x', 'X-A: 1\0 2'),
    'a header without a name': () => jwks('Host: x', ': 1'),
    'no Host': () => jwks(),
    'two Hosts that differ': () => jwks('Host: x', 'Host: y'),
    'a target in absolute form, for another host': () =>
      lines('GET http://evil.example/.well-known/jwks.json HTTP/1.1', 'Host: x', 'Connection: close'),
    'a target in asterisk form': () => lines('OPTIONS * HTTP/1.1', 'Host: x', 'Connection: close'),
    'two Authorizations': () => post('Authorization: Basic YTpi', 'Authorization: Basic YTpi'),
    'two Content-Encodings': () => post('Content-Encoding: identity', 'Content-Encoding: gzip'),
    'bytes that are no HTTP': () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    'a method that is none': () => lines('G\x00T / HTTP/1.1', 'Host: x'),
    'HTTP/2 with prior knowledge': () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'a version that is none': () => lines('GET / HTTP/9.9', 'Host: x'),
  }
  it.each(Object.keys(cases))('%s', async name => {
    const { status, text } = await rawHttp(mintmark.service.urls.public, cases[name]?.() ?? '')
    expect(status).toBe(400)
    expect(text).not.toMatch(INTERNALS)
  })
})

describe('a request that is too large is rejected', () => {
  const many = (count: number, header: (index: number) => string) =>
    lines(
      'GET /.well-known/jwks.json HTTP/1.1',
      'Host: x',
      'Connection: close',
      ...Array.from({ length: count }, (_, index) => header(index)),
    )

  it.each([
    ['3,000 headers', () => many(3_000, index => `X-H-${index}: v`)],
    ['3,000 headers of four bytes', () => many(3_000, () => 'a:')],
    ['a target of 20 kB', () => lines(`GET /${'a'.repeat(20_000)} HTTP/1.1`, 'Host: x', 'Connection: close')],
  ])('%s: 431', async (_, request) => {
    expect((await rawHttp(mintmark.service.urls.public, request())).status).toBe(431)
  })

  it.each([
    ['public', '/oauth/token', 400],
    ['admin', '/admin/v1/tenants', 401],
    ['gateway', '/check/v1/models', 401],
    ['gateway', '/check/v1/chat/completions', 401],
  ] as const)(
    'no body, and none announced, on the %s listener: an answer, and no timeout, to %s',
    async (of, path, status) => {
      const head = lines(`POST ${path} HTTP/1.1`, 'Host: x', FORM)
      // A listener that waited for a body would answer 408.
      expect((await rawHttp(mintmark.service.urls[of], head)).status).toBe(status)
    },
  )

  it('CONNECT, TRACE and an upgrade: no tunnel, no echo', async () => {
    const connect = await rawHttp(
      mintmark.service.urls.public,
      lines('CONNECT evil.example:443 HTTP/1.1', 'Host: evil.example:443'),
    )
    expect(connect.status === 0 || connect.status >= 400).toBe(true)
    const trace = await rawHttp(
      mintmark.service.urls.public,
      lines('TRACE /oauth/token HTTP/1.1', 'Host: x', 'X-Mine: echo-me', 'Connection: close'),
    )
    expect(trace.status).toBe(405)
    expect(trace.text).not.toContain('echo-me')
    const upgrade = await rawHttp(
      mintmark.service.urls.public,
      lines('GET /.well-known/jwks.json HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket'),
    )
    expect(upgrade.status).toBe(200)
  })
})

it('a body that does not come is given up', async () => {
  expect([0, 408]).toContain((await unfinished).status)
})

it('afterwards a valid request over a raw socket still succeeds', async () => {
  const { status, text } = await rawHttp(mintmark.service.urls.public, post())
  expect(status).toBe(200)
  expect(text).toContain('"access_token"')
})
