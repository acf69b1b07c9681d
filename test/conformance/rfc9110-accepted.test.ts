import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rawHttp } from '../support/raw-http.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

/** What RFC 9110, 9112, 6749 and 3339 say that a server must accept, byte by byte as unusual clients send it. */
let mintmark: TestService
let key: Awaited<ReturnType<TestService['tenantWithKey']>>
beforeAll(async () => {
  mintmark = await startTestService()
  key = await mintmark.tenantWithKey()
})
afterAll(() => mintmark.stop())

const lines = (...text: string[]) => `${text.join('\r\n')}\r\n\r\n`
const basic = () => Buffer.from(`${key.keyId}:${key.secret}`).toString('base64')
/** The answer ends with the connection. */
const CLOSE = 'Connection: close'
const GRANT = 'grant_type=client_credentials'

/** Of every listener with HTTP/1.1: a resource, and the headers that it needs. */
const RESOURCES: [listener: 'public' | 'admin' | 'gateway' | 'ops', path: string, headers: () => string[]][] =
  [
    ['public', '/.well-known/jwks.json', () => []],
    ['admin', '/admin/v1/tenants', () => [`Authorization: Bearer ${mintmark.rootToken}`]],
    ['gateway', '/check', () => [`Authorization: Bearer ${key.secret}`]],
    ['ops', '/livez', () => []],
  ]

describe.each(RESOURCES)('The %s listener', (listener, path, needed) => {
  const send = (...text: string[]) =>
    rawHttp(mintmark.service.urls[listener], lines(...text, ...needed(), CLOSE))

  it.each<[title: string, request: () => string[]]>([
    ['GET', () => [`GET ${path} HTTP/1.1`, 'Host: a']],
    ['HEAD of what GET has (RFC 9110 §9.1)', () => [`HEAD ${path} HTTP/1.1`, 'Host: a']],
    ['an empty line before the request (RFC 9112 §2.2)', () => ['', `GET ${path} HTTP/1.1`, 'Host: a']],
    ['a query that it does not know', () => [`GET ${path}?limit=1 HTTP/1.1`, 'Host: a']],
    ['an empty query', () => [`GET ${path}? HTTP/1.1`, 'Host: a']],
    ['names in any case (RFC 9110 §5.1)', () => [`GET ${path} HTTP/1.1`, 'hOST: a', 'aCCEPT: */*']],
    ['no white space around a value (RFC 9112 §5)', () => [`GET ${path} HTTP/1.1`, 'Host:a', 'Accept:*/*']],
    ['white space around a value (RFC 9112 §5)', () => [`GET ${path} HTTP/1.1`, 'Host: \t a \t ']],
    ['an empty value', () => [`GET ${path} HTTP/1.1`, 'Host: a', 'Accept:', 'User-Agent:']],
    ['an empty Host (RFC 9112 §3.2)', () => [`GET ${path} HTTP/1.1`, 'Host:']],
    ['Host with a port', () => [`GET ${path} HTTP/1.1`, 'Host: tokens.example.com:8080']],
    ['Host as IPv6', () => [`GET ${path} HTTP/1.1`, 'Host: [::1]:8080']],
    ['HTTP/1.0 without Host', () => [`GET ${path} HTTP/1.0`]],
    [
      'list elements that are empty (RFC 9110 §5.6.1)',
      () => [`GET ${path} HTTP/1.1`, 'Host: a', 'Accept: , */*,,'],
    ],
    [
      'options of Connection that it does not know',
      () => [`GET ${path} HTTP/1.1`, 'Host: a', 'Connection: close, x'],
    ],
    [
      'an Upgrade that it does not know (RFC 9110 §7.8)',
      () => [`GET ${path} HTTP/1.1`, 'Host: a', 'Connection: Upgrade', 'Upgrade: h2c, websocket'],
    ],
    ['a Range (RFC 9110 §14.2)', () => [`GET ${path} HTTP/1.1`, 'Host: a', 'Range: bytes=0-1']],
    [
      'conditions that it does not support',
      () => [`GET ${path} HTTP/1.1`, 'Host: a', 'If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT'],
    ],
    [
      'an unknown header of 4 KiB',
      () => [`GET ${path} HTTP/1.1`, 'Host: a', `X-Unknown: ${'x'.repeat(4096)}`],
    ],
    [
      'bytes beyond ASCII in a value (RFC 9110 §5.5)',
      () => [`GET ${path} HTTP/1.1`, 'Host: a', 'User-Agent: caf\u00e9'],
    ],
  ])('accepts %s', async (_, request) => {
    const { status, text } = await send(...request())
    expect([200, text.slice(0, 300)]).toEqual([
      /^HTTP\/1\.1 (\d+)/.test(text) ? status : -1,
      text.slice(0, 300),
    ])
  })

  it('refuses a target in absolute form (docs/divergences.md)', async () => {
    expect((await send(`GET http://a${path} HTTP/1.1`, 'Host: a')).status).toBe(400)
  })
})

describe('The token endpoint', () => {
  const post = (headers: string[], body: string) =>
    rawHttp(
      mintmark.service.urls.public,
      `${lines('POST /oauth/token HTTP/1.1', 'Host: a', CLOSE, ...headers)}${body}`,
    )
  const form = (body: string, type = 'application/x-www-form-urlencoded', ...more: string[]) =>
    post([`Content-Type: ${type}`, `Content-Length: ${body.length}`, ...more], body)
  const FORM = 'Content-Type: application/x-www-form-urlencoded'
  const inBody = () => `${GRANT}&client_secret=${key.secret}`
  const chunked = (body: string, extension = '') =>
    `${body.length.toString(16).toUpperCase()}${extension}\r\n${body}\r\n0${extension}\r\n`

  it.each<[title: string, answer: () => Promise<{ status: number; text: string }>]>([
    ['a form', () => form(inBody())],
    [
      'the scheme in lower case (RFC 9110 §11.1)',
      () => form(GRANT, undefined, `Authorization: basic ${basic()}`),
    ],
    ['the scheme in upper case', () => form(GRANT, undefined, `Authorization: BASIC ${basic()}`)],
    [
      'two spaces after the scheme (RFC 9110 §11.4)',
      () => form(GRANT, undefined, `Authorization: Basic  ${basic()}`),
    ],
    ['a media type in any case (RFC 9110 §8.3.1)', () => form(inBody(), 'Application/X-WWW-Form-URLencoded')],
    [
      'white space around parameters (RFC 9110 §5.6.6)',
      () => form(inBody(), 'application/x-www-form-urlencoded ; charset=UTF-8'),
    ],
    ['a quoted parameter', () => form(inBody(), 'application/x-www-form-urlencoded;charset="utf-8"')],
    ['an empty parameter (RFC 9110 §5.6.6)', () => form(inBody(), 'application/x-www-form-urlencoded;')],
    [
      'ISO-8859-1, as Apache HttpClient 5 sends it',
      () => form(inBody(), 'application/x-www-form-urlencoded; charset=ISO-8859-1'),
    ],
    ['an empty parameter as if it were omitted (RFC 6749 §3.2)', () => form(`${inBody()}&scope=&audience=`)],
    ['a parameter that it does not know (RFC 6749 §3.2)', () => form(`${inBody()}&nonsense=1`)],
    ['percent-encoding of what needs none', () => form(inBody().replaceAll('_', '%5f'))],
    ['an empty pair', () => form(`&${inBody()}&&`)],
    [
      'a coding in any case (RFC 9112 §7)',
      () => post([FORM, 'Transfer-Encoding: CHUNKED'], `${chunked(inBody())}\r\n`),
    ],
    [
      'chunk extensions (RFC 9112 §7.1.1)',
      () => post([FORM, 'Transfer-Encoding: chunked'], `${chunked(inBody(), ';a=b;c="d"')}\r\n`),
    ],
    [
      'trailers (RFC 9112 §7.1.2)',
      () =>
        post(
          [FORM, 'Transfer-Encoding: chunked', 'Trailer: x-digest'],
          `${chunked(inBody())}X-Digest: 1\r\n\r\n`,
        ),
    ],
    ['identity as content coding', () => form(inBody(), undefined, 'Content-Encoding: identity')],
    ['Accept of another type', () => form(inBody(), undefined, 'Accept: text/html')],
  ])('accepts %s', async (_, answer) => {
    const { status, text } = await answer()
    expect([status, text.includes('"access_token"') || text]).toEqual([200, true])
  })

  it('accepts Expect: 100-continue (RFC 9110 §10.1.1)', async () => {
    const { text } = await form(inBody(), undefined, 'Expect: 100-continue')
    expect(text).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
  })
})

describe('The admin API', () => {
  const create = (expires_at: string, type = 'application/json') => {
    const body = JSON.stringify({ expires_at })
    const head = lines(
      `POST /admin/v1/tenants/${key.tenantId}/keys HTTP/1.1`,
      'Host: a',
      CLOSE,
      `Authorization: Bearer ${mintmark.rootToken}`,
      `Content-Type: ${type}`,
      `Content-Length: ${body.length}`,
    )
    return rawHttp(mintmark.service.urls.admin, head + body)
  }
  const soon = new Date(Date.now() + 5 * 86_400_000).toISOString().slice(0, 10)

  it.each([
    ['lower case', `${soon}t10:00:00z`],
    ['an offset', `${soon}T10:00:00+05:45`],
    ['an unknown offset', `${soon}T10:00:00-00:00`],
    ['one digit of a fraction', `${soon}T10:00:00.5Z`],
    ['nine digits of a fraction', `${soon}T10:00:00.123456789Z`],
  ])('accepts a time of RFC 3339 with %s', async (_, time) => {
    const { status, text } = await create(time)
    expect([status, text.slice(-300)]).toEqual([201, expect.any(String)])
  })

  it.each(['application/json; charset=utf8', 'application/json;', 'Application/JSON ; Charset="UTF-8"'])(
    'accepts the type %s',
    async type => {
      expect((await create(`${soon}T10:00:00Z`, type)).status).toBe(201)
    },
  )

  it.each([
    ['a list', (etag: string) => `"other", ${etag}`],
    ['a weak one', (etag: string) => `W/${etag.replace('W/', '')}`],
    ['empty elements', (etag: string) => `, ,${etag},`],
    ['any', () => '*'],
  ])('accepts If-None-Match with %s (RFC 9110 §13.1.2)', async (_, value) => {
    const get = (...more: string[]) =>
      rawHttp(
        mintmark.service.urls.public,
        lines('GET /.well-known/jwks.json HTTP/1.1', 'Host: a', CLOSE, ...more),
      )
    const [, etag = ''] = /\r\netag: ([^\r]+)/i.exec((await get()).text) ?? []
    expect((await get(`If-None-Match: ${value(etag)}`)).status).toBe(304)
  })
})
