import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { basic, basicOf, FORM, post } from '../oauth/token-post.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'

type Key = Awaited<ReturnType<TestService['tenantWithKey']>>

let mintmark: TestService
let key: Key
let other: Key
beforeAll(async () => {
  mintmark = await startTestService()
  key = await mintmark.tenantWithKey()
  other = await mintmark.tenantWithKey()
})
afterAll(() => mintmark.stop())

const GRANT = 'grant_type=client_credentials'
const inBody = (parameters: string) => post(mintmark, `${GRANT}&${parameters}`)
const inHeader = (authorization: string, more = '') => post(mintmark, GRANT + more, { authorization })
const percentEncoded = (text: string) => Buffer.from(text).toString('hex').replace(/../g, '%$&')

describe('RFC 6749 §2.3.1: a client may authenticate', () => {
  it.each<[string, (key: Key) => ReturnType<typeof post>]>([
    ['with Basic, as the key', ({ keyId, secret }) => inHeader(basic(keyId, secret))],
    ['with Basic, as the tenant', ({ tenantId, secret }) => inHeader(basic(tenantId, secret))],
    [
      'with Basic that is percent-encoded throughout',
      ({ keyId, secret }) => inHeader(basicOf(`${percentEncoded(keyId)}:${percentEncoded(secret)}`)),
    ],
    [
      'with Basic and the same client_id in the body',
      ({ keyId, secret }) => inHeader(basic(keyId, secret), `&client_id=${keyId}`),
    ],
    [
      'with Basic in any case (RFC 9110 §11.1)',
      ({ keyId, secret }) => inHeader(basic(keyId, secret).replace('Basic', 'bAsIc')),
    ],
    ['in the body, as the key', ({ keyId, secret }) => inBody(`client_id=${keyId}&client_secret=${secret}`)],
    [
      'in the body, as the tenant',
      ({ tenantId, secret }) => inBody(`client_id=${tenantId}&client_secret=${secret}`),
    ],
    [
      'in the body, without a client_id, because the key names itself',
      ({ secret }) => inBody(`client_secret=${secret}`),
    ],
    [
      'in the body, percent-encoded throughout',
      ({ secret }) => inBody(`client_secret=${percentEncoded(secret)}`),
    ],
  ])('%s', async (_, ask) => {
    expect(await ask(key)).toMatchObject({ status: 200, body: { token_type: 'Bearer' } })
  })
})

describe('RFC 6749 rejects', () => {
  it.each<[string, (right: string, key: Key) => ReturnType<typeof post>]>([
    [
      '§2.3: the Authorization header and a secret in the body at once',
      (right, { secret }) => inHeader(right, `&client_secret=${secret}`),
    ],
    [
      '§2.3: the Authorization header and an assertion at once',
      right => inHeader(right, '&client_assertion=x'),
    ],
    [
      '§2.3: a secret and an assertion at once',
      (_, { secret }) => inBody(`client_secret=${secret}&client_assertion_type=x`),
    ],
    [
      '§2.3.1: a client_id in the body that is not the one in the header',
      right => inHeader(right, `&client_id=${other.keyId}`),
    ],
    ['§2.3.1: Basic without its padding', right => inHeader(`${right.replace(/=*$/, '')}A`)],
    ['§2.3.1: Basic with a space in it', right => inHeader(right.replace(/.{40}/, '$& '))],
    [
      '§2.3.1: a Bearer token in place of client authentication',
      (_, { secret }) => inHeader(`Bearer ${secret}`),
    ],
  ])('%s', async (_, ask) => {
    const answer = await ask(basic(key.keyId, key.secret), key)
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  it.each([
    ['§3.2.1: no client authentication', () => post(mintmark, GRANT)],
    ['§3.2.1: a client_id alone', () => inBody(`client_id=${key.keyId}`)],
    [
      '§2.3: a kind of client authentication that is not offered',
      () => inBody('client_assertion=x&client_assertion_type=y'),
    ],
  ])('%s', async (_, ask) => {
    expect(await ask()).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
  })

  it('§2.3: two Authorization headers, of which another parser would read the other one', async () => {
    const twice = [key, other].flatMap(({ keyId, secret }) => ['Authorization', basic(keyId, secret)])
    const options = { method: 'POST', headers: ['Content-Type', FORM, ...twice] }
    const status = await new Promise((resolve, reject) => {
      const sent = httpRequest(`${mintmark.service.urls.public}/oauth/token`, options, answer =>
        resolve(answer.resume().statusCode),
      )
      sent.on('error', reject).end(GRANT)
    })
    expect(status).toBe(400)
  })
})

describe('RFC 6749 §2.3.1: credentials in the request URI', () => {
  it.each([
    ['POST', 400],
    ['GET', 405],
  ])('are rejected with %s, and are in no log line', async (method, status) => {
    const query = new URLSearchParams({
      grant_type: 'client_credentials',
      client_secret: key.secret,
      client_id: key.keyId,
    })
    const init = method === 'POST' ? { method, headers: { 'content-type': FORM }, body: GRANT } : { method }
    const answer = await request(`${mintmark.service.urls.public}/oauth/token?${query}`, init)
    expect(answer).toMatchObject({ status, body: { error: 'invalid_request' } })
    expect(mintmark.logs.join('')).not.toContain(key.secret.slice(-49))
  })
})
