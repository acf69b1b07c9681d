import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { basic, basicOf, FORM, post } from '../oauth/token-post.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let key: Awaited<ReturnType<TestService['tenantWithKey']>>
let other: typeof key
beforeAll(async () => {
  mintmark = await startTestService()
  key = await mintmark.tenantWithKey()
  other = await mintmark.tenantWithKey()
})
afterAll(() => mintmark.stop())

const GRANT = 'grant_type=client_credentials'

interface Sent {
  body: string
  headers?: Record<string, string>
}

const send = ({ body, headers }: Sent) => post(mintmark, body, headers)
const withBasic = (authorization: string, body = GRANT): Sent => ({ body, headers: { authorization } })
const percentEncodedWhole = (text: string) => Buffer.from(text).toString('hex').replace(/../g, '%$&')

describe('RFC 6749 §2.3.1: a client may authenticate', () => {
  it.each<[string, () => Sent]>([
    ['with Basic, as the key', () => withBasic(basic(key.keyId, key.secret))],
    ['with Basic, as the tenant', () => withBasic(basic(key.tenantId, key.secret))],
    [
      'with Basic whose every character is percent-encoded',
      () => withBasic(basicOf(`${percentEncodedWhole(key.keyId)}:${percentEncodedWhole(key.secret)}`)),
    ],
    [
      'with Basic and the same client_id in the body',
      () => withBasic(basic(key.keyId, key.secret), `${GRANT}&client_id=${key.keyId}`),
    ],
    [
      'with the scheme in any case (RFC 9110 §11.1)',
      () => withBasic(basic(key.keyId, key.secret).replace('Basic', 'bAsIc')),
    ],
    [
      'in the body, as the key',
      () => ({ body: `${GRANT}&client_id=${key.keyId}&client_secret=${key.secret}` }),
    ],
    [
      'in the body, as the tenant',
      () => ({ body: `${GRANT}&client_id=${key.tenantId}&client_secret=${key.secret}` }),
    ],
    [
      'in the body, without a client_id, because the key names itself',
      () => ({ body: `${GRANT}&client_secret=${key.secret}` }),
    ],
    [
      'in the body, percent-encoded',
      () => ({ body: `${GRANT}&client_secret=${percentEncodedWhole(key.secret)}` }),
    ],
  ])('%s', async (_, sent) => {
    expect(await send(sent())).toMatchObject({ status: 200, body: { token_type: 'Bearer' } })
  })
})

describe('RFC 6749 §3.2: a parameter', () => {
  it.each<[string, string]>([
    ['without a value is treated as omitted', '&scope=&audience=&resource=&client_id='],
    ['without a value or an equals sign is treated as omitted', '&scope&audience'],
    ['that is not known is ignored', '&nonsense=1&prompt=login'],
  ])('%s', async (_, more) => {
    expect(await send({ body: `${GRANT}&client_secret=${key.secret}${more}` })).toMatchObject({ status: 200 })
  })

  it.each(['grant_type', 'client_id', 'client_secret', 'scope', 'audience', 'nonsense'])(
    'must not be repeated: %s',
    async name => {
      const once = new URLSearchParams({
        grant_type: 'client_credentials',
        client_secret: key.secret,
        [name]: 'a',
      })
      expect(await send({ body: `${once}&${name}=a` })).toMatchObject({
        status: 400,
        body: { error: 'invalid_request' },
      })
    },
  )
})

describe('RFC 6749 refuses', () => {
  const authenticated = (more: string): Sent => ({ body: `client_secret=${key.secret}&${more}` })
  const right = () => basic(key.keyId, key.secret)
  it.each<[string, () => Sent, number, string]>([
    [
      '§2.3: the Authorization header and a secret in the body at once',
      () => withBasic(right(), `${GRANT}&client_secret=${key.secret}`),
      400,
      'invalid_request',
    ],
    [
      '§2.3: the Authorization header and an assertion at once',
      () => withBasic(right(), `${GRANT}&client_assertion=x`),
      400,
      'invalid_request',
    ],
    [
      '§2.3: a secret and an assertion at once',
      () => authenticated(`${GRANT}&client_assertion_type=x`),
      400,
      'invalid_request',
    ],
    [
      '§2.3.1: a client_id in the body that is not the one in the header',
      () => withBasic(right(), `${GRANT}&client_id=${other.keyId}`),
      400,
      'invalid_request',
    ],
    [
      '§2.3.1: Basic without its padding',
      () => withBasic(basicOf(`${key.keyId}:${key.secret} `).replace(/=*$/, '')),
      400,
      'invalid_request',
    ],
    [
      '§2.3.1: Basic with a line folded into it',
      () => withBasic(right().replace(/.{40}/, '$& ')),
      400,
      'invalid_request',
    ],
    [
      '§2.3.1: a Bearer token in place of client authentication',
      () => withBasic(`Bearer ${key.secret}`),
      400,
      'invalid_request',
    ],
    ['§3.2.1: no client authentication', () => ({ body: GRANT }), 401, 'invalid_client'],
    ['§3.2.1: a client_id alone', () => ({ body: `${GRANT}&client_id=${key.keyId}` }), 401, 'invalid_client'],
    ['§4.4.2: no grant_type', () => authenticated(''), 400, 'invalid_request'],
    ['§4.4.2: an empty grant_type', () => authenticated('grant_type='), 400, 'invalid_request'],
    [
      '§4.5: a grant that nobody offers',
      () => authenticated('grant_type=urn:example:nonsense'),
      400,
      'unsupported_grant_type',
    ],
    [
      '§4.3: the password grant (RFC 9700 §2.4)',
      () => authenticated('grant_type=password&username=a&password=b'),
      400,
      'unsupported_grant_type',
    ],
    [
      '§6: the refresh grant',
      () => authenticated('grant_type=refresh_token&refresh_token=x'),
      400,
      'unsupported_grant_type',
    ],
    [
      '§4.4.2: a grant type in another case',
      () => authenticated('grant_type=Client_Credentials'),
      400,
      'unsupported_grant_type',
    ],
    ['§3.3: a scope that is not granted', () => authenticated(`${GRANT}&scope=admin`), 400, 'invalid_scope'],
    [
      '§3.3: granted and other scopes together',
      () => authenticated(`${GRANT}&scope=inference+admin`),
      400,
      'invalid_scope',
    ],
    [
      'Appendix A.4: a scope with a quote',
      () => authenticated(`${GRANT}&scope=%22inference%22`),
      400,
      'invalid_scope',
    ],
    [
      'Appendix A.4: a scope with two spaces',
      () => authenticated(`${GRANT}&scope=inference++inference`),
      400,
      'invalid_scope',
    ],
    [
      'Appendix A.4: a scope outside ASCII',
      () => authenticated(`${GRANT}&scope=inf%C3%A9rence`),
      400,
      'invalid_scope',
    ],
  ])('%s', async (_, sent, status, error) => {
    expect(await send(sent())).toMatchObject({ status, body: { error } })
  })

  it.each([
    ['no Content-Type', undefined],
    ['JSON', 'application/json'],
    ['multipart', 'multipart/form-data; boundary=x'],
    ['another charset (§4.4.2: UTF-8)', `${FORM}; charset=iso-8859-1`],
  ])('Appendix B: %s', async (_, contentType) => {
    // Bytes, so that fetch adds no Content-Type of its own.
    const body = Buffer.from(`${GRANT}&client_secret=${key.secret}`)
    const headers: Record<string, string> = contentType ? { 'content-type': contentType } : {}
    const answer = await request(`${mintmark.service.urls.public}/oauth/token`, {
      method: 'POST',
      headers,
      body,
    })
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  it('§2.3: two Authorization headers, of which somebody would read the other one', async () => {
    const headers = [
      'Content-Type',
      FORM,
      'Authorization',
      basic(key.keyId, key.secret),
      'Authorization',
      basic(other.keyId, other.secret),
    ]
    const status = await new Promise((resolve, reject) => {
      const sent = httpRequest(
        `${mintmark.service.urls.public}/oauth/token`,
        { method: 'POST', headers },
        answer => resolve(answer.resume().statusCode),
      )
      sent.on('error', reject).end(GRANT)
    })
    expect(status).toBe(400)
  })
})

it.each([
  ['an explicit UTF-8', `${FORM}; charset=UTF-8`],
  ['another case', 'Application/X-WWW-Form-Urlencoded'],
])('Appendix B: the Content-Type may have %s', async (_, contentType) => {
  const sent = { body: `${GRANT}&client_secret=${key.secret}`, headers: { 'content-type': contentType } }
  expect(await send(sent)).toMatchObject({ status: 200 })
})

describe('RFC 6749 §3.2: the token endpoint takes POST only', () => {
  it.each(['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('%s is 405 with Allow', async method => {
    const { status, headers } = await request(`${mintmark.service.urls.public}/oauth/token`, { method })
    expect({ status, allow: headers.get('allow') }).toEqual({ status: 405, allow: 'POST' })
  })
})

describe('RFC 6749 §2.3.1: credentials in the request URI', () => {
  it.each([
    ['POST', 400],
    ['GET', 405],
  ])('are refused with %s, and no log line has them', async (method, status) => {
    const query = new URLSearchParams({
      grant_type: 'client_credentials',
      client_secret: key.secret,
      client_id: key.keyId,
    })
    const init = method === 'POST' ? { method, headers: { 'content-type': FORM }, body: GRANT } : { method }
    const answer = await request(`${mintmark.service.urls.public}/oauth/token?${query}`, init)
    expect(answer).toMatchObject({ status, body: { error: 'invalid_request' } })
    expect(mintmark.logs.join('')).not.toContain(key.secret.slice(22))
  })
})
