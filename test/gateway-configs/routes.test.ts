import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { rawHttp } from '../support/raw-http.ts'
import { chat, send } from './client.ts'
import { CLOSED_REQUESTS, CLOSED_ROUTES, OTHER_ROUTES } from './closed-routes.ts'
import { type Environment, GATEWAYS, startEnvironment } from './environment.ts'
import { noEnvoy } from './envoy.ts'

let environment: Environment
beforeAll(async () => {
  if (!noEnvoy) environment = await startEnvironment()
})
afterAll(() => environment?.stop())
beforeEach(() => environment?.upstream.forget())

describe.skipIf(noEnvoy).each(GATEWAYS)('%s keeps closed', name => {
  it.each(CLOSED_ROUTES)('%s %s', async (method, path) => {
    const body = method === 'POST' ? chat('llama-3-8b') : ''
    for (const token of [environment.tokens.acme, undefined]) {
      const answer = await send(environment.gateways[name].url, { method, path, body, token })
      expect(answer.status).toBeGreaterThanOrEqual(400)
      expect(answer.status).toBeLessThan(500)
    }
    expect(environment.upstream.requests).toHaveLength(0)
  })

  it('every other route of vLLM, and those of other engines', async () => {
    const opened: string[] = []
    for (const path of OTHER_ROUTES)
      for (const method of ['GET', 'POST', 'DELETE']) {
        const body = method === 'POST' ? chat('llama-3-8b') : ''
        const sent = { method, path, body, token: environment.tokens.acme }
        const { status } = await send(environment.gateways[name].url, sent)
        if (status < 400) opened.push(`${method} ${path} ${status}`)
      }
    expect(opened).toEqual([])
    expect(environment.upstream.requests).toHaveLength(0)
  })

  it.each(CLOSED_REQUESTS)('%s', async (_, line, header) => {
    const head = `${line}\r\nHost: inference.example.com\r\n${header}Authorization: Bearer ${environment.tokens.acme}\r\n`
    const { status } = await rawHttp(environment.gateways[name].url, `${head}Content-Length: 0\r\n\r\n`)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(environment.upstream.requests).toHaveLength(0)
  })
})

describe.skipIf(noEnvoy).each(GATEWAYS)(
  '%s normalizes before it compares, and passes on what it compared',
  name => {
    it.each([
      '/v1/./chat/completions?a=1',
      '/v1/x/../chat/completions?a=1',
      '/%2e%2e/v1/chat/completions?a=1',
    ])('%s', async path => {
      expect(
        await send(environment.gateways[name].url, { path, token: environment.tokens.acme }),
      ).toMatchObject({
        status: 200,
      })
      expect(environment.upstream.theRequest().path).toBe('/v1/chat/completions?a=1')
    })
  },
)
