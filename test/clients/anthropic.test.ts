import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import Anthropic from '@anthropic-ai/sdk'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { tokenProvider } from '../../clients/typescript/src/token-provider.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { FakeClock } from './fake-clock.ts'
import { lacksPython, scenario } from './python.ts'
import { startTokenServiceProxy, type TokenServiceProxy } from './token-service-proxy.ts'

/** Anthropic's clients with clients/ as their credentials, at a gateway that can reject the first token that it was shown. */
const QUESTION = {
  ...{ model: 'acme-sql', max_tokens: 8 },
  messages: [{ role: 'user' as const, content: 'Hello' }],
}
let mintmark: TestService
let tokenService: TokenServiceProxy
let gateway: Server
let baseURL: string
let key: string
/** The credentials of the requests. */
let shown: string[]
let rejectsFirst: boolean

beforeAll(async () => {
  mintmark = await startTestService()
  key = (await mintmark.tenantWithKey()).secret
  gateway = createServer((req, res) => {
    shown.push(String(req.headers.authorization))
    const isRejected = rejectsFirst && shown.at(-1) === shown[0]
    const body = isRejected
      ? { type: 'error', error: { type: 'authentication_error', message: 'The token is revoked.' } }
      : { type: 'message', role: 'assistant', content: [{ type: 'text', text: 'Hello' }] }
    res.writeHead(isRejected ? 401 : 200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    req.resume()
  })
  await new Promise<void>(resolve => gateway.listen(0, '127.0.0.1', resolve))
  baseURL = `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`
})
afterAll(async () => {
  gateway.closeAllConnections()
  await new Promise(resolve => gateway.close(resolve))
  await mintmark.stop()
})
beforeEach(async () => {
  shown = []
  rejectsFirst = false
  tokenService = await startTokenServiceProxy(mintmark.service.urls.public)
  return () => tokenService.stop()
})

function anthropic() {
  const clock = new FakeClock()
  const token = tokenProvider({ issuer: tokenService.url, apiKey: key, clock })
  const client = new Anthropic({ credentials: token.credentials, baseURL })
  return { clock, ask: async () => (await client.messages.create(QUESTION)).content[0] }
}

describe('new Anthropic({ credentials: token.credentials })', () => {
  it('sends one token with all requests', async () => {
    const { ask } = anthropic()
    for (let i = 0; i < 3; i++) expect(await ask()).toMatchObject({ text: 'Hello' })
    expect(new Set(shown)).toEqual(new Set([expect.stringMatching(/^Bearer eyJ/)]))
    expect(tokenService.exchanges()).toBe(1)
  })

  it('renews a rejected token once it is older than ten seconds, and the request is answered', async () => {
    rejectsFirst = true
    const { clock, ask } = anthropic()
    await expect(ask()).rejects.toBeInstanceOf(Anthropic.AuthenticationError)
    expect(tokenService.exchanges()).toBe(1)
    clock.advance(11)
    expect(await ask()).toMatchObject({ text: 'Hello' })
    expect(tokenService.exchanges()).toBe(2)
    expect(shown.at(-1)).not.toBe(shown[0])
  })
})

describe.skipIf(lacksPython())('Anthropic(credentials=anthropic_credentials(provider))', () => {
  const run = (name: string) =>
    scenario('anthropic_client.py', name, { issuer: tokenService.url, baseURL, key }).result

  it('sends one token with all requests, of Anthropic and AsyncAnthropic', async () => {
    expect(await run('answered')).toEqual(['Hello', 'Hello', 'Hello'])
    expect(new Set(shown)).toEqual(new Set([expect.stringMatching(/^Bearer eyJ/)]))
    expect(tokenService.exchanges()).toBe(1)
  })

  it('renews a rejected token once it is older than ten seconds, and the request is answered', async () => {
    rejectsFirst = true
    expect(await run('rejected')).toEqual({ raised: 'AuthenticationError', later: 'Hello' })
    expect(tokenService.exchanges()).toBe(2)
  })
})
