import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  cancelled,
  cancelledOverHttp2,
  type Plan,
  startUsageEngine,
  type UsageEngine,
} from '../limits/usage-engine.ts'
import { newKey } from '../support/new-key.ts'
import type { TestService } from '../support/test-service.ts'
import { makeReporter, type UsageRow } from '../usage/reports.ts'
import { usageOf } from '../usage/usage-of.ts'
import { notCounted, sendAnonymousRequests } from './anonymous-requests.ts'
import type { Behind, Gateway } from './check-environment.ts'
import { chat, send } from './client.ts'
import { type Collector, noCollector, startCollector } from './collector.ts'
import { startMintmark } from './environment.ts'
import { startHaproxy } from './haproxy.ts'
import { startNginx } from './nginx.ts'
import { isAbsent } from './program.ts'

/** nginx and HAProxy with `npm run generate -- --usage`, and deploy/otel-collector/ between them and the real receiver. */

const MODEL = 'llama-3-8b'
const CHAT = '/v1/chat/completions'

const once = (input: number, cached: number, output: number): UsageRow => ({
  ...{ requests: 1, refused_requests: 0, estimated_requests: 0 },
  ...{ input_tokens: input, cached_input_tokens: cached, output_tokens: output },
})
const REFUSED: UsageRow = { ...once(0, 0, 0), requests: 0, refused_requests: 1 }

/** The engine's own count of each: 11 of the prompt, 4 of them cached, and 5 for each choice. */
const CASES: [name: string, path: string, sent: object, plan: Partial<Plan>, counted: UsageRow][] = [
  ['chat', CHAT, {}, {}, once(11, 4, 5)],
  ['chat, in pieces of 1 byte', CHAT, {}, { bytesAtATime: 1 }, once(11, 4, 5)],
  ['chat, n = 3', CHAT, { n: 3 }, { choices: 3 }, once(11, 4, 15)],
  ['chat, streamed', CHAT, { stream: true }, {}, once(11, 4, 5)],
  ['chat, streamed, in pieces of 7 bytes', CHAT, { stream: true }, { bytesAtATime: 7 }, once(11, 4, 5)],
  ['chat, streamed, n = 3', CHAT, { stream: true, n: 3 }, { choices: 3 }, once(11, 4, 15)],
  ['chat, streamed without usage', CHAT, { stream: true }, { forcedUsage: false }, once(0, 0, 0)],
  ['embeddings', '/v1/embeddings', { input: 'a' }, {}, once(11, 0, 0)],
  ['/v1/messages', '/v1/messages', {}, {}, once(11, 4, 5)],
  ['/v1/messages, streamed', '/v1/messages', { stream: true }, { bytesAtATime: 5 }, once(11, 4, 5)],
  ['/v1/responses', '/v1/responses', { input: 'a' }, {}, once(11, 4, 5)],
  ['/v1/responses, streamed', '/v1/responses', { input: 'a', stream: true }, {}, once(11, 4, 5)],
  ['an error of the engine', CHAT, {}, { status: 400 }, REFUSED],
  ['a model that is not allowed', CHAT, { model: 'other' }, {}, REFUSED],
]
const CANCELLED: [path: string, counted: Partial<UsageRow>][] = [
  [CHAT, { estimated_requests: 0, input_tokens: 11, cached_input_tokens: 4, output_tokens: 3 }],
  ['/v1/messages', { estimated_requests: 1, input_tokens: 11, cached_input_tokens: 4, output_tokens: 3 }],
  ['/v1/responses', { estimated_requests: 1, cached_input_tokens: 0, output_tokens: 3 }],
]

const GATEWAYS: [name: string, start: (behind: Behind, collector: Collector) => Promise<Gateway>][] = [
  ['nginx', (behind, { nginxLog }) => startNginx(behind, [], undefined, nginxLog)],
  ['haproxy', (behind, { linePort }) => startHaproxy(behind, [], '', undefined, linePort)],
]

describe.each(GATEWAYS)('%s writes usage for a Collector', (name, start) => {
  const isMissing = noCollector || isAbsent(name)
  let mintmark: TestService
  let engine: UsageEngine
  let collector: Collector
  let gateway: Gateway
  beforeAll(async () => {
    if (isMissing) return
    mintmark = await startMintmark({ MINTMARK_OTLP_HTTP_PORT: '0', MINTMARK_SIGNING_ALG: 'RS256' })
    await mintmark.admin('POST', '/tenants', { id: 'acme', models: [MODEL] })
    const { secret } = await makeReporter(mintmark)
    engine = await startUsageEngine()
    collector = await startCollector({ url: mintmark.service.urls.otlpHttp ?? '', secret })
    const portOf = (url: string) => Number(new URL(url).port)
    const { urls } = mintmark.service
    const ports = {
      ...{ public: portOf(urls.public), gateway: portOf(urls.gateway) },
      ...{ gatewayGrpc: portOf(urls.gatewayGrpc), upstream: engine.port },
    }
    gateway = await start({ mintmark, ports }, collector)
  })
  afterAll(async () => {
    await gateway?.stop()
    await collector?.stop()
    await engine?.stop()
    await mintmark?.stop()
  })

  it.skipIf(isMissing)('as the engine counts, request by request', async () => {
    const keys: string[] = []
    for (const [, path, sent, plan] of CASES) {
      const key = await newKey(mintmark, 'acme')
      keys.push(key.id)
      engine.plan(plan)
      const body = path === CHAT ? chat(MODEL, sent) : JSON.stringify({ model: MODEL, messages: [], ...sent })
      await send(gateway.url, {
        path,
        token: key.token,
        body,
        headers: [['x-request-id', 'always-the-same']],
      })
    }
    engine.plan()
    const found: [string, object][] = []
    for (const [index, [each, , , , counted]] of CASES.entries()) {
      const row = await usageOf(mintmark, keys[index] ?? '')
      found.push([
        each,
        Object.fromEntries(Object.keys(counted).map(field => [field, row[field as keyof UsageRow]])),
      ])
    }
    expect(found).toEqual(CASES.map(([each, , , , counted]) => [each, counted]))
  })

  it.skipIf(isMissing).each(CANCELLED)(
    'a cancelled stream of %s as far as the engine said, the rest estimated',
    async (path, counted) => {
      const key = await newKey(mintmark, 'acme')
      engine.plan({ completion: 1_000, pausesAfter: 3 })
      await cancelled(`${gateway.url}${path}`, key.token, 3)
      engine.plan()
      const row = await usageOf(mintmark, key.id)
      expect(row).toMatchObject({ requests: 1, refused_requests: 0, ...counted })
      expect(row.input_tokens).toBeGreaterThan(0)
      expect(row.output_tokens).toBeGreaterThan(0)
    },
  )

  /** A quarter of its bytes, rounded up, is the estimate. */
  const prompt = Math.ceil(JSON.stringify({ model: MODEL, messages: [], stream: true }).length / 4)
  it.skipIf(isMissing)('the prompt of a cancelled request whose length has zeros in front', async () => {
    const key = await newKey(mintmark, 'acme')
    engine.plan({ completion: 1_000, pausesAfter: 3 })
    await cancelled(`${gateway.url}/v1/responses`, key.token, 3, MODEL, '0'.repeat(20))
    engine.plan()
    expect(await usageOf(mintmark, key.id)).toMatchObject({ estimated_requests: 1, input_tokens: prompt })
  })

  it.skipIf(isMissing || name === 'nginx')(
    'the prompt of a cancelled request over HTTP/2 without a length',
    async () => {
      const key = await newKey(mintmark, 'acme')
      engine.plan({ completion: 1_000, pausesAfter: 3 })
      await cancelledOverHttp2(`${gateway.url}/v1/responses`, key.token)
      engine.plan()
      expect(await usageOf(mintmark, key.id)).toMatchObject({ estimated_requests: 1, input_tokens: prompt })
    },
  )

  // HAProxy 2.6 loses lines while the Collector is down, although they are in its ring.
  const outcome = name === 'nginx' ? 'without a loss' : 'again, and no request failed meanwhile'
  it.skipIf(isMissing)(`after the Collector was killed, ${outcome}`, async () => {
    const key = await newKey(mintmark, 'acme')
    const ask = async (times: number) => {
      for (let count = 0; count < times; count++) {
        const { status } = await send(gateway.url, { path: CHAT, token: key.token, body: chat(MODEL) })
        expect(status).toBe(200)
      }
    }
    await ask(10)
    await collector.kill()
    await ask(10)
    await collector.start()
    const requests = async () => (await usageOf(mintmark, key.id)).requests
    if (name === 'nginx') return expect.poll(requests, { timeout: 30_000, interval: 300 }).toBe(20)
    await expect.poll(() => ask(1).then(requests), { timeout: 30_000, interval: 1_000 }).toBeGreaterThan(20)
  })

  it.skipIf(isMissing)('nothing of requests without a verified token', async () => {
    await sendAnonymousRequests(gateway.url)
    const key = await newKey(mintmark, 'acme')
    // Reported after them.
    expect((await send(gateway.url, { token: key.token })).status).toBe(200)
    expect(await usageOf(mintmark, key.id)).toMatchObject({ requests: 1 })
    expect(await notCounted(mintmark)).toEqual({})
  })
})
