import { setImmediate as nextTick } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  TokenError,
  type TokenProviderOptions,
  tokenProvider,
} from '../../clients/typescript/src/token-provider.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { FakeClock } from './fake-clock.ts'
import { notNow, startTokenServiceProxy, type TokenServiceProxy } from './token-service-proxy.ts'

/** clients/typescript with a real Mintmark and tokens of 300 seconds: refreshed from 180 on, used until 285. */
let mintmark: TestService
let tokenService: TokenServiceProxy
let secret: string
let clock: FakeClock

beforeAll(async () => {
  mintmark = await startTestService()
  ;({ secret } = await mintmark.tenantWithKey({ audiences: ['vllm', 'other'] }))
})
afterAll(() => mintmark.stop())
beforeEach(async () => {
  tokenService = await startTokenServiceProxy(mintmark.service.urls.public)
  clock = new FakeClock()
  return () => tokenService.stop()
})

const provider = (options: Partial<TokenProviderOptions> = {}) =>
  tokenProvider({ issuer: tokenService.url, apiKey: secret, clock, ...options })

const errorOf = (work: Promise<unknown>): Promise<TokenError> =>
  work.then(
    () => expect.fail('it was not refused'),
    (error: TokenError) => error,
  )

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))

describe('a token provider', () => {
  it('returns Mintmark’s token, for the given audience and scope', async () => {
    const options = { issuer: `${tokenService.url}/`, audience: 'other', scope: 'inference' }
    expect(claimsOf(await provider(options)())).toMatchObject({ aud: 'other', scope: 'inference' })
  })

  it('sends one request for a hundred calls at once', async () => {
    const token = provider()
    const tokens = await Promise.all(Array.from({ length: 100 }, () => token()))
    expect(new Set(tokens).size).toBe(1)
    expect(tokenService.exchanges()).toBe(1)
  })

  it('returns the same token up to 60 % of its lifetime', async () => {
    const asked: unknown[] = []
    const counted: typeof fetch = (...request) => {
      asked.push(request)
      return fetch(...request)
    }
    const token = provider({ fetch: counted })
    const first = await token()
    clock.advance(179)
    expect(await token()).toBe(first)
    await nextTick()
    expect(asked).toHaveLength(1)
    clock.advance(1)
    expect(await token()).toBe(first)
    await nextTick()
    expect(asked).toHaveLength(2)
  })

  it('then fetches the next one once, while calls use the old one', async () => {
    const token = provider()
    const first = await token()
    clock.advance(180)
    const release = tokenService.hold()
    expect(await Promise.all([token(), token(), token()])).toEqual([first, first, first])
    await until('the refresh is asked for', tokenService.exchanges, count => count === 2)
    release()
    const next = await until('there is another token', token, value => value !== first)
    expect(claimsOf(next).jti).not.toBe(claimsOf(first).jti)
    expect(tokenService.exchanges()).toBe(2)
  })

  it('waits for a new one when the old one has expired', async () => {
    const token = provider()
    const first = await token()
    clock.advance(286)
    expect(await token()).not.toBe(first)
  })

  it('discards a token when the clock was set back', async () => {
    const token = provider()
    const first = await token()
    clock.advance(-3600)
    expect(await token()).not.toBe(first)
  })

  it('reads the key again at each exchange, as after a rotation', async () => {
    const made = await mintmark.tenantWithKey()
    let key = `\u{feff}${made.secret}\r\n`
    const token = provider({ apiKey: () => key })
    const first = await token()
    const rotated = await mintmark.admin('POST', `/keys/${made.keyId}/rotate`, { overlap_seconds: 0 })
    key = rotated.body.secret
    clock.advance(286)
    const second = await token()
    expect(claimsOf(second)).toMatchObject({ sub: claimsOf(first).sub })
    expect(second).not.toBe(first)
  })
})

describe('while the service is unavailable', () => {
  it('a call waits as long as Retry-After says, and gets its token', async () => {
    tokenService.answerNext(notNow(3), notNow(7))
    expect(claimsOf(await provider()())).toMatchObject({ aud: 'vllm' })
    expect(tokenService.exchanges()).toBe(3)
    expect(clock.slept.map(ms => Math.floor(ms / 1000))).toEqual([
      expect.toBeOneOf([3]),
      expect.toBeOneOf([7, 8]),
    ])
  })

  it('accepts a Retry-After date', async () => {
    tokenService.answerNext(notNow(new Date(Date.now() + 15_000).toUTCString()))
    await provider()()
    expect(clock.slept[0]).toBeGreaterThan(8_000)
    expect(clock.slept[0]).toBeLessThan(20_000)
  })

  it('doubles the pause each time when the service sends no Retry-After', async () => {
    tokenService.answerNext(notNow(), notNow(), notNow('soon'))
    await provider()()
    for (const [index, base] of [500, 1000, 2000].entries()) {
      expect(clock.slept[index]).toBeGreaterThanOrEqual(base)
      expect(clock.slept[index]).toBeLessThanOrEqual(1.25 * base)
    }
  })

  it('gives up within the given time', async () => {
    tokenService.answerNext(...Array.from({ length: 50 }, () => notNow(1)))
    const begun = clock.now()
    const error = await errorOf(provider({ retryForSeconds: 10 })())
    expect(error).toMatchObject({ code: 'unavailable', temporary: true })
    expect(error.message).toBe(
      `The token service at ${tokenService.url} is not available (503): The token service is temporarily unavailable. Retry.`,
    )
    expect(clock.now() - begun).toBeLessThanOrEqual(10_000)
    expect(tokenService.exchanges()).toBeGreaterThan(5)
  })

  it('gives up at once when Retry-After is later than that, and sends no request until then', async () => {
    tokenService.answerNext(notNow(40))
    const token = provider()
    expect(await errorOf(token())).toMatchObject({ temporary: true })
    expect(await errorOf(token())).toMatchObject({ temporary: true })
    expect(tokenService.exchanges()).toBe(1)
    expect(clock.slept).toEqual([])
  })

  it('a token is returned until it expires', async () => {
    const token = provider({ retryForSeconds: 0 })
    const first = await token()
    await tokenService.stop()
    clock.advance(284)
    expect(await token()).toBe(first)
    clock.advance(2)
    expect((await errorOf(token())).message).toMatch(/cannot be reached \(ECONNREFUSED\)\.$/)
  })

  it('a refresh sends no request for as long as Retry-After says', async () => {
    const calls: Promise<Response>[] = []
    /** An answer that was read to its end: the provider needs no further turn of the event loop for it. */
    const counted: typeof fetch = (...request) => {
      const call = fetch(...request).then(async answer => new Response(await answer.text(), answer))
      calls.push(call)
      return call
    }
    const token = provider({ fetch: counted })
    await token()
    clock.advance(200)
    tokenService.answerNext(notNow(30))
    await token()
    await nextTick()
    expect((await calls[1])?.status).toBe(503)
    await nextTick()
    for (let call = 0; call < 20; call += 1) await token()
    clock.advance(29)
    await token()
    await nextTick()
    expect(calls).toHaveLength(2)
    clock.advance(10)
    await token()
    await until('it is asked again', tokenService.exchanges, count => count === 3)
  })

  it('only the caller that aborts is cancelled', async () => {
    const release = tokenService.hold()
    const token = provider()
    const abort = new AbortController()
    const impatient = token({ signal: abort.signal })
    const patient = token()
    await until('the exchange is asked for', tokenService.exchanges, count => count === 1)
    abort.abort(new Error('enough'))
    await expect(impatient).rejects.toThrow('enough')
    release()
    expect(await patient).toMatch(/^eyJ/)
    expect(tokenService.exchanges()).toBe(1)
  })

  it('the pause between two attempts can be aborted, too', async () => {
    tokenService.answerNext(notNow(20))
    const inRealTime = tokenProvider({ issuer: tokenService.url, apiKey: secret })
    await expect(inRealTime({ signal: AbortSignal.timeout(200) })).rejects.toThrow(/timeout/)
  })
})

describe('a rejected key', () => {
  const revoked = async () => {
    const made = await mintmark.tenantWithKey()
    const token = provider({ apiKey: made.secret })
    await token()
    await mintmark.admin('POST', `/keys/${made.keyId}/revoke`, { reason: 'test' })
    clock.advance(286)
    return { token, secret: made.secret }
  }

  it('is reported in the words of the service, without the key', async () => {
    const { token, secret } = await revoked()
    const error = await errorOf(token())
    expect(error).toBeInstanceOf(TokenError)
    expect(error).toMatchObject({ code: 'invalid_client', temporary: false })
    expect(error.message).toBe(
      `The token service at ${tokenService.url} refuses the API key (invalid_client): Invalid API key. ` +
        'It is mistyped, expired or revoked: ask for a new one.',
    )
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(secret)
  })

  it('is not sent again for ten seconds, however often it is called', async () => {
    const { token } = await revoked()
    for (let call = 0; call < 50; call += 1) expect((await errorOf(token())).code).toBe('invalid_client')
    clock.advance(9)
    await errorOf(token())
    expect(tokenService.exchanges()).toBe(2)
    clock.advance(4)
    await errorOf(token())
    expect(tokenService.exchanges()).toBe(3)
  })

  it('of a suspended tenant works again after "resume"', async () => {
    const made = await mintmark.tenantWithKey()
    const token = provider({ apiKey: made.secret })
    await mintmark.admin('POST', `/tenants/${made.tenantId}/suspend`)
    expect(await errorOf(token())).toMatchObject({
      code: 'unauthorized_client',
      message: expect.stringContaining('The tenant is suspended.'),
    })
    await mintmark.admin('POST', `/tenants/${made.tenantId}/resume`)
    clock.advance(13)
    expect(claimsOf(await token())).toMatchObject({ tenant: made.tenantId })
  })

  it('cannot be read: the error says so', async () => {
    const cause = new Error('ENOENT')
    const failing = () => Promise.reject(cause)
    expect(await errorOf(provider({ apiKey: failing })())).toMatchObject({
      code: 'api_key_unreadable',
      cause,
    })
    expect(await errorOf(provider({ apiKey: () => ' \n' })())).toMatchObject({ code: 'api_key_unreadable' })
    expect(tokenService.exchanges()).toBe(0)
  })
})

describe('a response that is not Mintmark’s', () => {
  it.each([
    ['a redirect, which is not followed', { status: 307, headers: { location: 'http://127.0.0.1:9/' } }],
    ['a page', { status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Welcome</h1>' }],
    ['a token without an end', { status: 200, body: '{"access_token":"eyJ","token_type":"Bearer"}' }],
    ['nothing there', { status: 404, body: 'Not Found' }],
    ['JSON that is no object', { status: 400, body: 'null' }],
  ])('%s: the issuer is wrong', async (_, answer) => {
    tokenService.answerNext(answer)
    const error = await errorOf(provider()())
    expect(error).toMatchObject({ code: 'unexpected_answer', temporary: false })
    expect(error.message).toContain("is not Mintmark's token endpoint. Check the issuer.")
    expect(tokenService.exchanges()).toBe(1)
  })

  it('that echoes the key does not put it into an error', async () => {
    const body = JSON.stringify({ error: `bad ${secret}`, error_description: `what is ${secret}?` })
    tokenService.answerNext({ status: 400, body })
    const error = await errorOf(provider()())
    expect(inspect(error, { depth: 9 })).not.toContain(secret)
    expect(error.message).toContain('what is [redacted]?')
  })
})

describe('tokenProvider()', () => {
  it.each([
    ['an issuer that is no URL', { issuer: 'tokens.example.com' }],
    ['an issuer of another scheme', { issuer: 'file:///etc/passwd' }],
    ['an issuer with a password', { issuer: 'https://me:secret@tokens.example.com' }],
    ['an issuer with a query', { issuer: 'https://tokens.example.com/?a=b' }],
    ['no key', { apiKey: '' }],
    ['a key that is undefined, as an unset variable is', { apiKey: undefined as never }],
  ])('refuses %s, when it is made', (_, options) => {
    expect(() => provider(options)).toThrow(TypeError)
    expect(() => provider(options)).not.toThrow(/secret@/)
  })

  it('shows no secret when it is printed', async () => {
    const token = provider()
    const jwt = await token()
    const printed = inspect(token, { depth: 9, showHidden: true }) + JSON.stringify({ token })
    expect(printed).not.toContain(secret)
    expect(printed).not.toContain(jwt)
  })
})
