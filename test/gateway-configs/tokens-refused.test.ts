import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { chat, type Sent, send } from './client.ts'
import { GATEWAYS, type Gateways, startGateways } from './environment.ts'
import { noEnvoy } from './envoy.ts'
import { now, startTestMint, type TestMint } from './test-mint.ts'

let mint: TestMint
let gateways: Gateways
beforeAll(async () => {
  if (noEnvoy) return
  mint = await startTestMint()
  gateways = await startGateways(mint.url)
})
afterAll(async () => {
  await gateways?.stop()
  await mint?.stop()
})
beforeEach(() => gateways?.upstream.forget())

const bearer = async (token: string | Promise<string>): Promise<Sent> => ({ token: await token })
const authorization = async (...values: (string | Promise<string>)[]): Promise<Sent> => ({
  headers: (await Promise.all(values)).map(value => ['Authorization', value]),
})

const SCOPES_LIKE_IT = 'inferences x-inference inference:read Inference inference,more'

/** With the gateway's status. Istio answers 403 without a token, by its policy, not by jwt_authn. */
const REFUSED: [what: string, sent: () => Promise<Sent>, status: number, inIstio?: number][] = [
  ['no token', async () => ({}), 401, 403],
  ['an empty Authorization', () => authorization(''), 401, 403],
  ['Bearer and nothing', () => authorization('Bearer '), 401, 403],
  ['Basic', () => authorization('Basic a2V5OnNlY3JldA=='), 401, 403],
  ['a tab after the scheme', async () => authorization(`Bearer\t${await mint.sign()}`), 401, 403],
  ['an API key', () => bearer(`mmk_7Hq2kd9XwP3mZt5B_${'x'.repeat(49)}`), 401],
  ['an sk- key of another service', () => bearer('sk-live-123456'), 401],
  ['a token of another issuer', () => bearer(mint.sign({ iss: 'https://tokens.example.org' })), 401],
  ['the issuer with a slash more', () => bearer(mint.sign({ iss: 'https://tokens.example.com/' })), 401],
  ['no issuer', () => bearer(mint.sign({ iss: undefined })), 401],
  ['a token signed with another key under our kid', () => bearer(mint.signWithOtherKey()), 401],
  ['a token with a kid that is not published', () => bearer(mint.sign({}, { kid: 'k2' })), 401],
  ['a token that expired 61 seconds ago', () => bearer(mint.sign({ exp: now() - 61 })), 401],
  ['a token that is not yet valid', () => bearer(mint.sign({ nbf: now() + 120 })), 401],
  ['alg none', () => bearer(mint.unsigned()), 401],
  ['HS256 with our public key in PEM as the secret', () => bearer(mint.hmacWith('pem')), 401],
  ['HS256 with our public JWK as the secret', () => bearer(mint.hmacWith('jwk')), 401],
  ['a token with its payload changed', async () => bearer(tampered(await mint.sign())), 401],
  ['a token with its signature cut off', async () => bearer((await mint.sign()).replace(/[^.]+$/, '')), 401],
  ['a token for another audience', () => bearer(mint.sign({ aud: 'billing' })), 403],
  ['a token for no audience', () => bearer(mint.sign({ aud: undefined })), 403],
  ['a token with another scope', () => bearer(mint.sign({ scope: 'usage.read' })), 403],
  ['a token with scopes that only contain it', () => bearer(mint.sign({ scope: SCOPES_LIKE_IT })), 403],
  ['a token with an empty scope', () => bearer(mint.sign({ scope: '' })), 403],
  ['a token without a scope', () => bearer(mint.sign({ scope: undefined })), 403],
  [
    'two tokens, one of them bad',
    async () => authorization(`Bearer ${await mint.sign()}`, 'Bearer sk-live-123456'),
    401,
  ],
  [
    'two tokens, both good',
    async () => authorization(`Bearer ${await mint.sign()}`, `Bearer ${await mint.sign()}`),
    401,
  ],
  [
    'a token in ?access_token= only',
    async () => ({ path: `/v1/chat/completions?access_token=${await mint.sign()}` }),
    401,
    403,
  ],
  ['a token in another header', async () => ({ headers: [['X-Api-Key', await mint.sign()]] }), 401, 403],
  [
    'a token in a cookie',
    async () => ({ headers: [['Cookie', `access_token=${await mint.sign()}`]] }),
    401,
    403,
  ],
]

function tampered(token: string): string {
  const [header, payload = '', signature] = token.split('.')
  const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), tenant: 'globex' }
  return [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
}

describe.skipIf(noEnvoy).each(GATEWAYS)('%s', name => {
  const gateway = () => gateways.gateways[name].url
  const isIstio = name !== 'deploy/envoy'

  it('admits the token that the rejected ones are variations of', async () => {
    expect(await send(gateway(), { token: await mint.sign() })).toMatchObject({ status: 200 })
  })

  it.each(REFUSED)('rejects %s', async (_, sent, status, inIstio = status) => {
    const answer = await send(gateway(), await sent())
    expect(answer.status).toBe(isIstio ? inIstio : status)
    expect(gateways.upstream.requests).toHaveLength(0)
  })

  it('allows 60 seconds of clock skew: a token that expired 30 seconds ago still passes', async () => {
    expect(await send(gateway(), { token: await mint.sign({ exp: now() - 30 }) })).toMatchObject({
      status: 200,
    })
  })

  it('takes one scope of several', async () => {
    const token = await mint.sign({ scope: `usage.read inference ${SCOPES_LIKE_IT}` })
    expect(await send(gateway(), { token })).toMatchObject({ status: 200 })
  })

  it('lists no models for a token without the scope', async () => {
    const token = await mint.sign({ scope: 'usage.read' })
    const answer = await send(gateway(), { token, method: 'GET', path: '/v1/models' })
    expect(answer.status).toBe(403)
    expect(gateways.upstream.requests).toHaveLength(0)
  })

  it('takes one audience of several', async () => {
    expect(await send(gateway(), { token: await mint.sign({ aud: ['billing', 'vllm'] }) })).toMatchObject({
      status: 200,
    })
  })

  it('ignores ?access_token= sent with a valid token', async () => {
    const path = '/v1/chat/completions?access_token=sk-live-123456'
    expect(await send(gateway(), { token: await mint.sign(), path })).toMatchObject({ status: 200 })
  })

  it('sends no request to Mintmark', async () => {
    const token = await mint.sign()
    await send(gateway(), { token })
    const before = mint.jwksRequests()
    for (let i = 0; i < 50; i += 1) expect(await send(gateway(), { token })).toMatchObject({ status: 200 })
    expect(mint.jwksRequests()).toBe(before)
  })

  it('names no engine, key or claim in a rejection', async () => {
    const { text } = await send(gateway(), { token: await mint.sign(), body: chat('globex-sql') })
    expect(text).not.toMatch(/127\.0\.0\.1|acme|llama|origins|kid/)
  })
})

describe.skipIf(noEnvoy)('deploy/envoy answers errors in the format of OpenAI clients', () => {
  it.each([
    ['no token', async () => ({}), 401, 'authentication_error', 'invalid_token'],
    ['another audience', () => bearer(mint.sign({ aud: 'billing' })), 403, 'permission_error', 'not_allowed'],
    [
      'a foreign model',
      async () => ({ token: await mint.sign(), body: chat('globex-sql') }),
      403,
      'permission_error',
      'not_allowed',
    ],
    [
      'a broken body',
      async () => ({ token: await mint.sign(), body: '{' }),
      400,
      'invalid_request_error',
      'invalid_body',
    ],
    [
      'a form',
      async () => ({ token: await mint.sign(), contentType: 'text/plain' }),
      415,
      'invalid_request_error',
      'invalid_body',
    ],
  ] as [string, () => Promise<Sent>, number, string, string][])('%s', async (_, sent, status, type, code) => {
    const answer = await send(gateways.gateways['deploy/envoy'].url, await sent())
    expect({ status: answer.status, ...JSON.parse(answer.text) }).toEqual({
      status,
      type: 'error',
      error: { message: expect.stringMatching(/^[A-Z].+/), type, code, param: null },
    })
    expect(answer.headers['content-type']).toBe('application/json')
    if (status === 401) expect(answer.headers['www-authenticate']).toMatch(/^Bearer /)
  })
})
