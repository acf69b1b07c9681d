import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LONGEST_BODY_BYTES } from '../../src/gateway/headers.ts'
import { packageVersion } from '../../src/system/package-version.ts'
import { rawHttp } from '../support/raw-http.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** What all listeners have in common, whatever their application: one table with a row for each. */

interface Row {
  listener: 'public' | 'admin' | 'gateway' | 'ops'
  /** GET is answered 200 with this credential, DELETE is not allowed. */
  path: string
  credential?: 'root' | 'key'
  allow: string
  /** What follows "Not found.". */
  hint: string
  mediaType: string
  /** The body of an error. */
  refusal: (status: number, message: string) => object
}

const ADMIN_CODES: Record<number, string> = {
  400: 'bad_request',
  404: 'not_found',
  405: 'method_not_allowed',
}
const ROWS: Row[] = [
  {
    listener: 'public',
    path: '/.well-known/openid-configuration',
    allow: 'GET, HEAD',
    hint: '',
    mediaType: 'application/json; charset=utf-8',
    refusal: (_, message) => ({ error: 'invalid_request', error_description: message }),
  },
  {
    listener: 'admin',
    path: '/admin/v1/tenants',
    credential: 'root',
    allow: 'POST, GET, HEAD',
    hint: '',
    mediaType: 'application/problem+json; charset=utf-8',
    refusal: (status, detail) => ({ status, detail, code: ADMIN_CODES[status] }),
  },
  {
    listener: 'gateway',
    path: '/v1/models',
    credential: 'key',
    allow: 'GET, HEAD',
    hint: ' Use /check.',
    mediaType: 'application/json; charset=utf-8',
    refusal: (_, message) => ({
      type: 'error',
      error: { message, type: 'permission_error', code: 'invalid_request', param: null },
    }),
  },
  {
    listener: 'ops',
    path: '/livez',
    allow: 'GET, HEAD',
    hint: '',
    mediaType: 'application/json; charset=utf-8',
    refusal: (_, message) => ({ error: message }),
  },
]

const FIXED = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

let mintmark: TestService
let key: string
/** What each listener answers to headers that never end. It takes seconds, so all requests are sent at the start. */
const unfinished = new Map<Row['listener'], ReturnType<typeof send>>()
beforeAll(async () => {
  mintmark = await startTestService({ env: { MINTMARK_GATEWAY_MODEL: 'body' } })
  key = (await mintmark.tenantWithKey()).secret
  for (const { listener, path } of ROWS) {
    unfinished.set(listener, send(listener, `GET ${path} HTTP/1.1\r\nHost: x\r\nX-A: `))
  }
})
afterAll(() => mintmark.stop())

/** The responses to these bytes on one connection of the listener, until it is closed or silent for this long. */
async function send(listener: Row['listener'], bytes: string, of = mintmark, silenceMs?: number) {
  const { text } = await rawHttp(of.service.urls[listener], bytes, silenceMs)
  return answersIn(text)
}

function answersIn(text: string) {
  return text.split(/(?=HTTP\/1\.1 \d{3} )/).map(answer => {
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    const [line = '', ...fields] = head.split('\r\n')
    const headers = fields.map(field => [
      field.replace(/:.*/, '').toLowerCase(),
      field.replace(/^[^:]*: /, ''),
    ])
    return { status: Number(line.split(' ')[1]), headers: Object.fromEntries(headers), body }
  })
}

/** A request without a body. */
function request(
  row: Row,
  options: { method?: string; path?: string; more?: string[]; version?: string } = {},
) {
  const { method = 'GET', path = row.path, more = ['Connection: close'], version = '1.1' } = options
  const credential = row.credential === 'root' ? mintmark.rootToken : row.credential && key
  const head = [
    `${method} ${path} HTTP/${version}`,
    'Host: x',
    ...(credential ? [`Authorization: Bearer ${credential}`] : []),
    ...more,
  ]
  return `${head.join('\r\n')}\r\n\r\n`
}

describe.each(ROWS)('the listener $listener', row => {
  const { listener, path } = row
  const ask = async (options: Parameters<typeof request>[1] = {}, of = mintmark) => {
    const [answer] = await send(listener, request(row, options), of)
    if (!answer) throw new Error('no answer')
    return answer
  }
  const expectRefusal = async (options: Parameters<typeof request>[1], status: number, message: string) => {
    const answer = await ask(options)
    expect(answer.status).toBe(status)
    expect(answer.headers).toMatchObject({ ...FIXED, 'content-type': row.mediaType })
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    expect(JSON.parse(answer.body)).toMatchObject(row.refusal(status, message))
    return answer
  }

  it('has the fixed headers and a request id on every response, which its log line has too', async () => {
    const { 'cache-control': _, ...fixed } = FIXED
    const ids = []
    for (const options of [{}, {}, { path: '/nope' }, { method: 'DELETE' }, { more: ['Host: y'] }]) {
      const { headers } = await ask(options)
      expect(headers).toMatchObject({ ...fixed, 'cache-control': expect.any(String) })
      ids.push(headers['x-request-id'])
    }
    expect(new Set(ids).size).toBe(ids.length)
    // Successful probes are not logged at this level.
    const logged = listener === 'ops' ? [] : ids
    const line = (id: string) => mintmark.logs.find(text => JSON.parse(text).request_id === id)
    await until('they are logged', () => logged.every(line))
    for (const id of logged)
      expect(JSON.parse(line(id) ?? '')).toMatchObject({ listener, source: '127.0.0.1' })
  })

  it('answers HEAD as GET, without the body', async () => {
    const get = await ask()
    const head = await ask({ method: 'HEAD' })
    const stable = ({ date, 'x-request-id': id, ...headers }: Record<string, string>) => headers
    expect(get.status).toBe(200)
    expect(get.body.length).toBeGreaterThan(10)
    expect(head).toEqual({ status: 200, headers: expect.anything(), body: '' })
    expect(stable(head.headers)).toEqual(stable(get.headers))
  })

  it.each([
    ['an unknown path', '/nope'],
    ['no path', '/'],
    ['a trailing slash', `${path}/`],
    ['a doubled slash', `/${path}`],
    ['another case', path.toUpperCase()],
    ['an escaped letter', path.replace(/[a-z]/, letter => `%${letter.charCodeAt(0).toString(16)}`)],
    ['a dot segment', `/.${path}`],
    ['an escaped NUL', '/%00'],
    ['an escape that is none', '/%zz'],
  ])('answers 404 in its own words to %s', async (_, other) => {
    await expectRefusal({ path: other }, 404, `Not found.${row.hint}`)
  })

  it('matches a path with a query like the same path without', async () => {
    expect((await ask({ path: `${path}?limit=1` })).status).toBe(200)
  })

  it.each(['DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'])('answers 405 in its own words to %s', async method => {
    const { headers } = await expectRefusal({ method }, 405, `Method not allowed. Use ${row.allow}.`)
    expect(headers.allow).toBe(row.allow)
  })

  it.each([
    ['two Hosts', 'Host: x'],
    ['two Content-Types', 'Content-Type: a/b\r\nContent-Type: a/b'],
    ['two API keys', 'X-Api-Key: a\r\nX-Api-Key: a'],
    ['two Idempotency-Keys', 'Idempotency-Key: a\r\nIdempotency-Key: a'],
    ['two versions to match', 'If-Match: "1"\r\nIf-Match: "1"'],
  ])('rejects %s with 400, on a known or unknown path', async (_, more) => {
    const name = more.slice(0, more.indexOf(':')).toLowerCase()
    for (const where of [path, '/nope'])
      await expectRefusal({ path: where, more: [more] }, 400, `Duplicate header: ${name}. Send it once.`)
  })

  it('refuses a target in absolute form with 400', async () => {
    await expectRefusal({ path: `http://x${path}` }, 400, 'Invalid request target. Send a path.')
  })

  it('answers HTTP/1.0 and closes the connection, unless keep-alive is requested', async () => {
    const closed = await ask({ version: '1.0', more: [] })
    expect([closed.status, closed.headers.connection]).toEqual([200, 'close'])
    const kept = await ask({ version: '1.0', more: ['Connection: keep-alive'] })
    expect([kept.status, kept.headers.connection]).toEqual([200, 'keep-alive'])
  })

  it('answers pipelined requests in order, on a kept connection', async () => {
    const keep = request(row, { more: [] })
    const bytes = keep + request(row, { path: '/nope', more: [] }) + keep + request(row, { method: 'DELETE' })
    // The last answer closes the connection.
    const answers = await send(listener, bytes, mintmark, 30_000)
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 200, 405])
    expect(answers.map(({ headers }) => headers.connection)).toEqual([
      ...Array(3).fill('keep-alive'),
      'close',
    ])
    expect(answers[0]?.headers['keep-alive']).toBe('timeout=620')
  })

  it('answers 32 requests that were sent at once, and closes the connection', async () => {
    const answers = await send(listener, request(row, { path: '/nope', more: [] }).repeat(400))
    expect(answers.length).toBe(32)
    expect(answers.at(-1)).toMatchObject({ status: 404, headers: { connection: 'close' } })
  })

  it('rejects headers of more than 16 kB with 431', async () => {
    expect((await ask({ more: [`X-A: ${'v'.repeat(20_000)}`] })).status).toBe(431)
  })

  it('gives headers that do not come to an end up with 408', async () => {
    const [answer] = (await unfinished.get(listener)) ?? []
    expect(answer).toMatchObject({ status: 408, headers: { connection: 'close' } })
  })
})

describe('a body beyond the listener’s limit is rejected before all of it has arrived', () => {
  const announced = `Content-Length: ${64 * 2 ** 20}\r\n\r\n`
  const chunk = `10000\r\n${'a'.repeat(65_536)}\r\n`
  const chunked = (limit: number) => `Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(limit / 65_536 + 1)}`
  it.each<[Row['listener'], string, number, number]>([
    ['public', 'POST /oauth/token HTTP/1.1', 16_384, 413],
    ['admin', 'POST /admin/v1/tenants HTTP/1.1', 32_768, 413],
    // Gateways handle no other denial.
    ['gateway', 'POST /check/v1/chat/completions HTTP/1.1', LONGEST_BODY_BYTES, 403],
  ])('%s', async (listener, line, limit, status) => {
    // Of another type the gateway reads no body at all.
    const type = listener === 'gateway' ? 'Content-Type: application/json\r\n' : ''
    for (const body of [announced, chunked(limit)]) {
      const authorization = `Authorization: Bearer ${listener === 'admin' ? mintmark.rootToken : key}`
      const [answer] = await send(listener, `${line}\r\nHost: x\r\n${type}${authorization}\r\n${body}`)
      expect(answer?.status).toBe(status)
      expect(answer?.headers).toMatchObject(FIXED)
      expect(answer?.body).toContain('The request body is too large.')
    }
  })
})

describe('before the process is ready', () => {
  let starting: TestService
  beforeAll(async () => {
    starting = await startTestService({
      env: { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' },
      awaitReady: false,
    })
  })
  afterAll(() => starting.stop())

  it.each<[Row['listener'], string, string]>([
    ['public', 'POST', '/oauth/token'],
    ['public', 'GET', '/.well-known/jwks.json'],
    ['public', 'GET', '/.well-known/jwks/any.pem'],
    ['public', 'GET', '/.well-known/openid-configuration'],
    ['admin', 'GET', '/admin/v1/tenants'],
    ['gateway', 'GET', '/check/v1/models'],
    ['gateway', 'GET', '/v1/models'],
    ['ops', 'GET', '/readyz'],
  ])('the listener %s answers 503 with Retry-After: %s %s', async (listener, method, path) => {
    const bytes = `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
    const [answer] = await send(listener, bytes, starting)
    expect(answer?.status).toBe(503)
    expect(answer?.headers).toMatchObject({ ...FIXED, 'retry-after': '1' })
  })

  it('/readyz shows its version, as it does afterwards', async () => {
    const bytes = 'GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    for (const service of [starting, mintmark]) {
      const [answer] = await send('ops', bytes, service)
      expect(JSON.parse(answer?.body ?? '').version).toBe(packageVersion())
    }
  })

  it.each(ROWS)('the listener $listener answers 404 as usual', async row => {
    const [answer] = await send(row.listener, request(row, { path: '/nope' }), starting)
    expect(answer?.status).toBe(404)
  })
})
