import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { rawHttp } from '../support/raw-http.ts'
import { chat, send } from './client.ts'
import { CLOSED_REQUESTS, CLOSED_ROUTES } from './closed-routes.ts'
import { GATEWAYS, type Scene, startScene } from './environment.ts'
import { noEnvoy } from './envoy.ts'

let scene: Scene
beforeAll(async () => {
  if (!noEnvoy) scene = await startScene()
})
afterAll(() => scene?.stop())
beforeEach(() => scene?.upstream.forget())

describe.skipIf(noEnvoy).each(GATEWAYS)('%s keeps closed', name => {
  it.each(CLOSED_ROUTES)('%s %s', async (method, path) => {
    const body = method === 'POST' ? chat('llama-3-8b') : ''
    for (const token of [scene.tokens.acme, undefined]) {
      const answer = await send(scene.gateways[name].url, { method, path, body, token })
      expect(answer.status).toBeGreaterThanOrEqual(400)
      expect(answer.status).toBeLessThan(500)
    }
    expect(scene.upstream.requests).toHaveLength(0)
  })

  it.each(CLOSED_REQUESTS)('%s', async (_, line, header) => {
    const head = `${line}\r\nHost: inference.example.com\r\n${header}Authorization: Bearer ${scene.tokens.acme}\r\n`
    const { status } = await rawHttp(scene.gateways[name].url, `${head}Content-Length: 0\r\n\r\n`)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(scene.upstream.requests).toHaveLength(0)
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
      expect(await send(scene.gateways[name].url, { path, token: scene.tokens.acme })).toMatchObject({
        status: 200,
      })
      expect(scene.upstream.theRequest().path).toBe('/v1/chat/completions?a=1')
    })
  },
)
