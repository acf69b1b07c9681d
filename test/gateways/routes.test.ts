import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { rawHttp } from '../support/raw-http.ts'
import { chat, send } from './client.ts'
import { noEnvoy } from './envoy.ts'
import { GATEWAYS, type Scene, startScene } from './scene.ts'

let scene: Scene
beforeAll(async () => {
  if (!noEnvoy) scene = await startScene()
})
afterAll(() => scene?.stop())
beforeEach(() => scene?.upstream.forget())

/** vLLM's own and what else a path could be mistaken for. None may reach the engine, with a token or without. */
const CLOSED: [method: string, path: string][] = [
  ['GET', '/'],
  ['GET', '//'],
  ['GET', '///'],
  ['GET', '/%2e'],
  ['GET', '/health'],
  ['GET', '/metrics'],
  ['GET', '/version'],
  ['GET', '/docs'],
  ['GET', '/openapi.json'],
  ['POST', '/v1/load_lora_adapter'],
  ['POST', '/v1/unload_lora_adapter'],
  ['POST', '/invocations'],
  ['POST', '/inference/v1/generate'],
  ['POST', '/tokenize'],
  ['POST', '/score'],
  ['POST', '/pooling'],
  ['POST', '/pause'],
  ['POST', '/sleep'],
  ['POST', '/collective_rpc'],
  ['POST', '/v1/audio/transcriptions'],
  ['POST', '/v1/rerank'],
  ['POST', '/v1/messages'],
  ['GET', '/v1/realtime'],
  ['GET', '/v1/responses/resp_1'],
  ['POST', '/v1/responses/resp_1/cancel'],
  ['GET', '/v1/models/llama-3-8b'],
  ['GET', '/v1/models/'],
  ['POST', '/v1/models'],
  ['GET', '/v1/chat/completions'],
  ['PUT', '/v1/chat/completions'],
  ['DELETE', '/v1/models'],
  ['HEAD', '/v1/models'],
  ['TRACE', '/v1/models'],
  ['OPTIONS', '/v1/models'],
  ['OPTIONS', '*'],
  ['POST', '/V1/chat/completions'],
  ['POST', '/v1/chat/completions/'],
  ['POST', '/v1/chat/completions;x'],
  ['POST', '/v1/chat/completions%00'],
  ['POST', '/v1/chat/completions%3Fx'],
  ['POST', '/v1%2Fchat/completions'],
  ['POST', '/v1/chat%5Ccompletions'],
  ['POST', '/v1/chat/completions/..%2f..%2f/load_lora_adapter'],
  ['POST', '/v1/chat/completions/../../load_lora_adapter'],
  ['POST', '/v1/chat/completions/%2e%2e/%2e%2e/load_lora_adapter'],
  ['POST', '/v1/./load_lora_adapter'],
  ['POST', '/v1//load_lora_adapter'],
  ['POST', '/v1/load_lora_adapter#/v1/chat/completions'],
  ['POST', '/v1/load_lora_adapter?/v1/chat/completions'],
]

describe.skipIf(noEnvoy).each(GATEWAYS)('%s keeps closed', name => {
  it.each(CLOSED)('%s %s', async (method, path) => {
    const body = method === 'POST' ? chat('llama-3-8b') : ''
    for (const token of [scene.tokens.acme, undefined]) {
      const answer = await send(scene.gateways[name].url, { method, path, body, token })
      expect(answer.status).toBeGreaterThanOrEqual(400)
      expect(answer.status).toBeLessThan(500)
    }
    expect(scene.upstream.requests).toHaveLength(0)
  })

  it.each([
    ['an absolute-form target', 'POST http://inference.example.com/v1/load_lora_adapter HTTP/1.1', ''],
    ['CONNECT', 'CONNECT vllm:8000 HTTP/1.1', ''],
    [
      'x-envoy-original-path (CVE-2023-27487)',
      'POST /invocations HTTP/1.1',
      'x-envoy-original-path: /v1/chat/completions\r\n',
    ],
    ['X-HTTP-Method-Override', 'POST /v1/load_lora_adapter HTTP/1.1', 'X-HTTP-Method-Override: GET\r\n'],
    ['a websocket', 'GET /v1/models HTTP/1.1', 'Upgrade: websocket\r\nConnection: Upgrade\r\n'],
    [
      'a websocket with a body',
      'POST /v1/chat/completions HTTP/1.1',
      'Upgrade: websocket\r\nConnection: Upgrade\r\n',
    ],
    [
      'a CORS preflight',
      'OPTIONS /v1/chat/completions HTTP/1.1',
      'Origin: https://a\r\nAccess-Control-Request-Method: POST\r\n',
    ],
  ])('%s', async (_, line, header) => {
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
