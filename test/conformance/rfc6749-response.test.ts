import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { basic, basicOf, exchange, FORM, post } from '../oauth/token-post.ts'
import { anyText } from '../support/any-text.ts'
import { type JsonAnswer, request, startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let key: Awaited<ReturnType<TestService['tenantWithKey']>>
beforeAll(async () => {
  mintmark = await startTestService()
  key = await mintmark.tenantWithKey({ scopes: ['inference', 'batch'] }, { scopes: ['inference', 'batch'] })
})
afterAll(() => mintmark.stop())

const GRANT = 'grant_type=client_credentials'

describe('RFC 6749 §5.1: a token response', () => {
  it('has the four members that are defined, and no refresh token (§4.4.3)', async () => {
    const { status, body } = await exchange(mintmark, key.secret)
    expect(status).toBe(200)
    expect(body).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 300,
      scope: 'inference batch',
    })
  })

  it.each([
    ['all that is granted, when none was asked for', {}, 'inference batch'],
    ['what was requested', { scope: 'batch' }, 'batch'],
    ['what was requested, in that order and once', { scope: 'batch inference batch' }, 'batch inference'],
  ])('names the scope of the token (§3.3): %s', async (_, parameters, scope) => {
    expect((await exchange(mintmark, key.secret, parameters)).body.scope).toBe(scope)
  })
})

describe('RFC 6749 §5.1, §5.2: every response is JSON that is not cached', () => {
  const url = () => `${mintmark.service.urls.public}/oauth/token`
  it.each<[string, number, () => Promise<JsonAnswer>]>([
    ['a token', 200, () => exchange(mintmark, key.secret)],
    ['invalid_client', 401, () => exchange(mintmark, 'wrong')],
    ['invalid_client, after Basic', 401, () => post(mintmark, GRANT, { authorization: basic('a', 'wrong') })],
    ['invalid_request', 400, () => post(mintmark, '')],
    ['invalid_scope', 400, () => exchange(mintmark, key.secret, { scope: 'admin' })],
    ['invalid_target', 400, () => exchange(mintmark, key.secret, { audience: 'elsewhere' })],
    ['unsupported_grant_type', 400, () => exchange(mintmark, key.secret, { grant_type: 'password' })],
    ['a wrong method', 405, () => request(url())],
    [
      'a wrong media type',
      400,
      () => request(url(), { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } }),
    ],
    ['a body that is too large', 413, () => post(mintmark, `${GRANT}&x=${'x'.repeat(20_000)}`)],
    ['a compressed body', 415, () => post(mintmark, GRANT, { 'content-encoding': 'gzip' })],
  ])('%s', async (_, status, ask) => {
    const answer = await ask()
    const { headers } = answer
    expect(answer.status).toBe(status)
    expect(headers.get('content-type')).toMatch(/^application\/json\b/)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('pragma')).toBe('no-cache')
  })
})

describe('RFC 6749 §5.2: 401 challenges with Basic exactly when Basic was used', () => {
  it.each<[string, string, () => Promise<JsonAnswer>]>([
    [
      'a wrong secret in the header',
      'Basic realm="mintmark", charset="UTF-8"',
      () => post(mintmark, GRANT, { authorization: basic(key.keyId, 'wrong') }),
    ],
    [
      'a wrong client_id in the header',
      'Basic realm="mintmark", charset="UTF-8"',
      () => post(mintmark, GRANT, { authorization: basic('someone', key.secret) }),
    ],
    [
      'an empty header',
      'Basic realm="mintmark", charset="UTF-8"',
      () => post(mintmark, GRANT, { authorization: basicOf(':') }),
    ],
    ['a wrong secret in the body', 'none', () => exchange(mintmark, 'wrong')],
    ['no credentials', 'none', () => post(mintmark, GRANT)],
  ])('%s', async (_, challenge, ask) => {
    const { status, headers, body } = await ask()
    expect({ status, error: body.error, challenge: headers.get('www-authenticate') ?? 'none' }).toEqual({
      status: 401,
      error: 'invalid_client',
      challenge,
    })
  })
})

describe('RFC 6749 §5.2: error_description', () => {
  /** Occurs in none of our responses, so it is present only when echoed. */
  const MARK = 'qZ7'
  const text = anyText({ maxLength: 20 }).map(more => `${MARK}${more}${MARK}`)
  const parameters = [
    'grant_type',
    'client_id',
    'client_secret',
    'client_assertion',
    'scope',
    'audience',
    'resource',
  ]
  const form = fc.dictionary(fc.oneof(fc.constantFrom(...parameters), text), text, { noNullPrototype: true })

  const carriesNothing = ({ status, body, text: answer, headers }: JsonAnswer) => {
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
    expect(Object.keys(body)).toEqual(['error', 'error_description'])
    expect(body.error_description).toMatch(/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/)
    expect(`${answer}${JSON.stringify([...headers])}`).not.toContain(MARK)
  }

  it('never echoes a parameter, whatever it is', async () => {
    const ask = async (given: Record<string, string>) => carriesNothing(await mintmark.token(given))
    await fc.assert(fc.asyncProperty(form, ask))
  })

  it('never echoes a parameter of an otherwise valid request', async () => {
    const one = fc.tuple(fc.constantFrom('grant_type', 'client_id', 'scope', 'audience', 'resource'), text)
    const ask = async ([name, value]: [string, string]) =>
      carriesNothing(await exchange(mintmark, key.secret, { [name]: value }))
    await fc.assert(fc.asyncProperty(one, ask))
  })

  it('never echoes a header', async () => {
    const ascii = fc.string({ unit: 'grapheme-ascii', maxLength: 20 }).map(more => `${MARK}${more}${MARK}`)
    const names = fc.constantFrom('authorization', 'content-type', 'x-request-id')
    const ask = async ([name, value]: [string, string]) =>
      carriesNothing(await post(mintmark, GRANT, { 'content-type': FORM, [name]: value }))
    await fc.assert(fc.asyncProperty(fc.tuple(names, ascii), ask))
  })
})
