import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { lacksPython, scenario } from './python.ts'
import { notNow, startTokenServiceProxy, type TokenServiceProxy } from './token-service-proxy.ts'

/** clients/python with a real Mintmark, with the rules of token-provider.test.ts. */
const skipped = lacksPython()
let mintmark: TestService
let tokenService: TokenServiceProxy
let made: Awaited<ReturnType<TestService['tenantWithKey']>>

beforeAll(async () => {
  if (!skipped) mintmark = await startTestService()
})
afterAll(() => mintmark?.stop())
beforeEach(async () => {
  if (skipped) return
  tokenService = await startTokenServiceProxy(mintmark.service.urls.public)
  made = await mintmark.tenantWithKey({ audiences: ['vllm', 'other'] })
  return () => tokenService.stop()
})

const started = (name: string, more: object = {}) =>
  scenario('token_provider.py', name, { issuer: tokenService.url, key: made.secret, ...more })
const run = (name: string, more?: object) => started(name, more).result

describe.skipIf(skipped)('TokenProvider in Python', () => {
  it('requests the given audience and scope', async () => {
    const token = await run('audience')
    const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString('utf8'))
    expect(claims).toMatchObject({ aud: 'other', scope: 'inference' })
  })

  it('returns the same token up to 60 % of its lifetime, fetches the next in the background, and detects a clock that was set back', async () => {
    const [atOnce, at178, at181, at284, renewed, at1000, setBack] = await run('life')
    expect([atOnce, at178, at181]).toEqual([0, 0, 0])
    expect([0, 3]).toContain(at284)
    expect([3, 4]).toContain(renewed)
    expect([at1000, setBack]).toEqual([5, 6])
    expect(tokenService.exchanges()).toBe(4)
  })

  it('gives up within the given time', async () => {
    tokenService.answerNext(...Array.from({ length: 9 }, () => notNow()))
    const { seconds, ...failure } = await run('gives_up')
    expect(failure).toEqual({
      code: 'unavailable',
      temporary: true,
      message: `The token service at ${tokenService.url}/oauth/token is not available (503): The token service is temporarily unavailable. Retry.`,
    })
    expect(seconds).toBeGreaterThan(0.4)
    expect(tokenService.exchanges()).toBeGreaterThan(1)
    // With no limit it would have gone on to the tenth, which is answered.
    expect(tokenService.exchanges()).toBeLessThan(9)
  })

  it.each([
    ['as seconds', () => 40],
    ['as a date', () => new Date(Date.now() + 40_000).toUTCString()],
  ])('gives up at once when Retry-After is later than that, %s', async (_, later) => {
    tokenService.answerNext(notNow(later()))
    const { seconds } = await run('gives_up')
    expect(seconds).toBeLessThan(40)
    expect(tokenService.exchanges()).toBe(1)
  })

  it('is rejected once for fifty calls, and never shows the key', async () => {
    await mintmark.admin('POST', `/keys/${made.keyId}/revoke`, { reason: 'test' })
    const { failures, after_the_pause, seen } = await run('refused')
    expect(new Set(failures.map((failure: object) => JSON.stringify(failure)))).toHaveLength(1)
    expect(failures[0]).toMatchObject({ code: 'invalid_client', temporary: false })
    expect(failures[0].message).toMatch(/Invalid API key\. It is mistyped, expired or revoked/)
    expect(after_the_pause).toEqual(failures[0])
    expect(tokenService.exchanges()).toBe(2)
    expect(seen).toContain('TokenProvider(')
    expect(seen).not.toContain(made.secret)
  })

  it('keeps using its token while the service is down, until the token expires', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mintmark-python-'))
    const { said, result } = started('outlives_the_service', { while: folder })
    await said
    await tokenService.stop()
    await rm(folder, { recursive: true })
    expect(await result).toMatchObject({ still: true, failure: { code: 'unavailable' } })
  })

  it('cancels only the task that is cancelled', async () => {
    const release = tokenService.hold()
    const { result } = started('cancelled')
    await until('the exchange is asked for', tokenService.exchanges, count => count === 1)
    setTimeout(release, 400)
    expect(await result).toEqual({ impatient: true, patient: 'eyJ' })
    expect(tokenService.exchanges()).toBe(1)
  })

  it('works in a child that was forked during an exchange', async () => {
    const release = tokenService.hold()
    const { result } = started('forked')
    await until('parent and child ask', tokenService.exchanges, count => count === 2)
    release()
    expect(await result).toEqual({ child: 'eyJ', parent: 'eyJ' })
  })

  it('reads the key again at each exchange, and reports when it cannot', async () => {
    const other = await mintmark.tenantWithKey()
    expect(await run('reads_key', { other: other.secret })).toEqual({
      renewed: true,
      failure: {
        code: 'api_key_unreadable',
        temporary: false,
        message: 'The API key cannot be read: api_key() failed.',
      },
    })
  })

  it.each([
    ['a redirect, which is not followed', { status: 307, headers: { location: 'http://127.0.0.1:9/' } }],
    ['a page', { status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Welcome</h1>' }],
    ['nothing there', { status: 404, body: 'Not Found' }],
    ['JSON that is no object', { status: 400, body: 'null' }],
  ])('reports a wrong issuer at %s', async (_, answer) => {
    tokenService.answerNext(answer)
    expect(await run('once')).toMatchObject({ code: 'unexpected_answer', temporary: false })
    expect(tokenService.exchanges()).toBe(1)
  })

  it('keeps the key out of errors when the response echoes it', async () => {
    const body = JSON.stringify({ error: `bad ${made.secret}`, error_description: made.secret })
    tokenService.answerNext({ status: 400, body })
    expect(JSON.stringify(await run('once'))).not.toContain(made.secret)
  })

  it('rejects invalid options, when it is created', async () => {
    const wrong = [
      { issuer: 'tokens.example.com' },
      { issuer: 'file:///etc/passwd' },
      { issuer: 'https://me:secret@tokens.example.com' },
      { issuer: 'https://tokens.example.com/?a=b' },
      { api_key: ' ' },
      { api_key: null },
    ]
    const faults: string[] = await run('options', { wrong })
    expect(faults).toHaveLength(wrong.length)
    expect(faults.join()).not.toContain('secret@')
  })
})
