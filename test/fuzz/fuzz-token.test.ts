import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { anyText } from '../support/any-text.ts'
import { expectNoFault, faultsIn, hostileText, rawEscaped } from '../support/hostile-input.ts'
import { INTERNALS } from '../support/internals.ts'
import { rawHttp } from '../support/raw-http.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'

/** Arbitrary input for the public listener, and bytes for any: each failure prints the input that caused it. */

const RUNS = { numRuns: 150 }

let mintmark: TestService
let key: string

beforeAll(async () => {
  mintmark = await startTestService()
  key = (await mintmark.tenantWithKey()).secret
})
afterAll(() => mintmark.stop())

const exchange = (body: string, headers: Record<string, string> = {}) =>
  request(`${mintmark.service.urls.public}/oauth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body,
  })

describe('POST /oauth/token', () => {
  it('rejects every string as a key with 401, except the one that it issued', async () => {
    const mutated = fc
      .tuple(fc.nat(key.length - 1), fc.constantFrom(...'09AZaz_-=%+ \0é'))
      .map(([at, character]) => key.slice(0, at) + character + key.slice(at + 1))
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          mutated,
          hostileText,
          hostileText.map(text => key + text),
          hostileText.map(text => text + key),
        ),
        async presented => {
          const { status, text } = await exchange(
            new URLSearchParams({ grant_type: 'client_credentials', client_secret: presented }).toString(),
          )
          expect(text).not.toMatch(INTERNALS)
          if (presented === key) expect(status).toBe(200)
          // NUL is invalid, and an empty parameter counts as missing (RFC 6749 §3.2).
          else expect([400, 401]).toContain(status)
        },
      ),
      RUNS,
    )
  })

  it('answers every form', async () => {
    const name = fc.oneof(
      fc.constantFrom(
        'grant_type',
        'client_id',
        'client_secret',
        'scope',
        'audience',
        'resource',
        'client_assertion',
      ),
      hostileText,
    )
    const value = fc.oneof(
      fc.constantFrom('client_credentials', 'inference', 'vllm', 'https://a.example/'),
      fc.constant(0).map(() => key),
      hostileText,
    )
    const forms = fc
      .array(fc.tuple(name, value), { maxLength: 12 })
      .map(pairs => new URLSearchParams(pairs).toString())
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          forms,
          hostileText,
          fc.array(rawEscaped).map(parts => parts.join('&')),
        ),
        async body => expectNoFault(await exchange(body)),
      ),
      RUNS,
    )
  })

  it('answers every Authorization header', async () => {
    const basic = fc
      .tuple(hostileText, hostileText)
      .map(([id, secret]) => `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`)
    const printable = fc
      .string({ maxLength: 60 })
      .filter(text => /^[\x21-\x7e][\x20-\x7e]*[\x21-\x7e]$/.test(text))
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          basic,
          printable,
          printable.map(text => `Basic ${text}`),
          printable.map(text => `Bearer ${text}`),
        ),
        async authorization =>
          expectNoFault(await exchange('grant_type=client_credentials', { authorization })),
      ),
      RUNS,
    )
  })
})

it('every listener survives random bytes: a response below 500, or a closed connection', async () => {
  const { urls } = mintmark.service
  const start = fc.constantFrom(
    '',
    'GET ',
    'POST /oauth/token HTTP/1.1\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\n',
    'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n',
  )
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(urls.public, urls.admin, urls.ops),
      start,
      anyText({ maxLength: 200 }),
      async (url, head, rest) => {
        const { status, text } = await rawHttp(url, Buffer.from(`${head}${rest}\r\n\r\n\r\n\r\n\0`))
        expect(status).toBeLessThan(500)
        expect(text).not.toMatch(INTERNALS)
      },
    ),
    { numRuns: 80 },
  )
}, 60_000)

it('afterwards no error was logged, and the key still works', async () => {
  expect(faultsIn(mintmark.logs)).toEqual([])
  expect((await exchange(`grant_type=client_credentials&client_secret=${key}`)).status).toBe(200)
})
