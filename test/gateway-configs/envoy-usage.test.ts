import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import type { UsageTransport } from '../../deploy/generate/envoy-parts/usage-report.ts'
import { cancelled, type Plan, startUsageEngine, type UsageEngine } from '../limits/usage-engine.ts'
import { newKey } from '../support/new-key.ts'
import type { TestService } from '../support/test-service.ts'
import { makeReporter, type UsageRow } from '../usage/reports.ts'
import { usageOf } from '../usage/usage-of.ts'
import { notCounted, sendAnonymousRequests } from './anonymous-requests.ts'
import { chat, send } from './client.ts'
import { startMintmark } from './environment.ts'
import { type Envoy, noEnvoy, startEnvoy, substitute } from './envoy.ts'

/** Envoy with `npm run generate -- --usage`, in front of an engine that counts as vLLM does and of the real receiver. */

const MODEL = 'llama-3-8b'
const PORTS: Record<UsageTransport, number> = { http: 8085, grpc: 8087 }
const CHAT = '/v1/chat/completions'

const once = (input: number, cached: number, output: number): UsageRow => ({
  requests: 1,
  refused_requests: 0,
  estimated_requests: 0,
  input_tokens: input,
  cached_input_tokens: cached,
  output_tokens: output,
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
  ['/v1/messages, streamed', '/v1/messages', { stream: true }, {}, once(11, 4, 5)],
  [
    '/v1/messages, streamed, in pieces of 5 bytes',
    '/v1/messages',
    { stream: true },
    { bytesAtATime: 5 },
    once(11, 4, 5),
  ],
  ['/v1/responses', '/v1/responses', { input: 'a' }, {}, once(11, 4, 5)],
  ['/v1/responses, streamed', '/v1/responses', { input: 'a', stream: true }, {}, once(11, 4, 5)],
  [
    '/v1/responses, streamed, in pieces of 5 bytes',
    '/v1/responses',
    { input: 'a', stream: true },
    { bytesAtATime: 5 },
    once(11, 4, 5),
  ],
  ['an error of the engine', CHAT, {}, { status: 400 }, REFUSED],
  ['a model that is not allowed', CHAT, { model: 'other' }, {}, REFUSED],
]
/** The tokens of the prompt, where the engine said them before the client left, and those of the answer so far. */
const CANCELLED: [path: string, counted: Partial<UsageRow>][] = [
  [CHAT, { estimated_requests: 0, input_tokens: 11, cached_input_tokens: 4, output_tokens: 3 }],
  ['/v1/messages', { estimated_requests: 1, input_tokens: 11, cached_input_tokens: 4, output_tokens: 3 }],
  ['/v1/responses', { estimated_requests: 1, cached_input_tokens: 0, output_tokens: 3 }],
]

describe.skipIf(noEnvoy).each(['http', 'grpc'] as const)('Envoy reports usage over %s', transport => {
  let mintmark: TestService
  let engine: UsageEngine
  let envoy: Envoy
  let reporter: { id: string; secret: string }
  beforeAll(async () => {
    mintmark = await startMintmark({ MINTMARK_OTLP_HTTP_PORT: '0', MINTMARK_OTLP_GRPC_PORT: '0' })
    await mintmark.admin('POST', '/tenants', { id: 'acme', models: [MODEL] })
    reporter = await makeReporter(mintmark)
    engine = await startUsageEngine()
    const { public: jwks, otlpHttp, otlpGrpc } = mintmark.service.addresses
    const receiver = transport === 'http' ? otlpHttp : otlpGrpc
    const file = deployFiles(undefined, undefined, transport)['deploy/envoy/envoy.yaml'] ?? ''
    envoy = await startEnvoy(
      substitute(file, [
        ['Bearer mmr_REPORTER', `Bearer ${reporter.secret}`],
        ['address: mintmark, port_value: 8080', `address: 127.0.0.1, port_value: ${jwks?.port}`],
        [
          `address: mintmark, port_value: ${PORTS[transport]}`,
          `address: 127.0.0.1, port_value: ${receiver?.port}`,
        ],
        ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${engine.port}`],
        ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
        ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
      ]),
    )
  })
  afterAll(async () => {
    await envoy?.stop()
    await engine?.stop()
    await mintmark?.stop()
  })

  it('as the engine counts, request by request', async () => {
    const keys: string[] = []
    for (const [, path, sent, plan] of CASES) {
      const key = await newKey(mintmark, 'acme')
      keys.push(key.id)
      engine.plan(plan)
      const body = path === CHAT ? chat(MODEL, sent) : JSON.stringify({ model: MODEL, messages: [], ...sent })
      // The same from every client, as a client may.
      const headers: [string, string][] = [
        ['x-request-id', 'always-the-same'],
        ['accept-encoding', 'gzip'],
      ]
      await send(envoy.url, { path, token: key.token, body, headers })
    }
    engine.plan()
    const found: [string, object][] = []
    for (const [index, [name, , , , counted]] of CASES.entries()) {
      const row = await usageOf(mintmark, keys[index] ?? '')
      found.push([
        name,
        Object.fromEntries(Object.keys(counted).map(field => [field, row[field as keyof UsageRow]])),
      ])
    }
    expect(found).toEqual(CASES.map(([name, , , , counted]) => [name, counted]))
  })

  it.each(CANCELLED)(
    'a cancelled stream of %s as far as the engine said, the rest estimated',
    async (path, counted) => {
      const key = await newKey(mintmark, 'acme')
      engine.plan({ completion: 1_000, pausesAfter: 3 })
      await cancelled(`${envoy.url}${path}`, key.token, 3)
      engine.plan()
      const row = await usageOf(mintmark, key.id)
      expect(row).toMatchObject({ requests: 1, refused_requests: 0, ...counted })
      expect(row.input_tokens).toBeGreaterThan(0)
      expect(row.output_tokens).toBeGreaterThan(0)
    },
  )

  it('nothing of requests without a verified token', async () => {
    await sendAnonymousRequests(envoy.url)
    const key = await newKey(mintmark, 'acme')
    // Reported after them.
    expect((await send(envoy.url, { token: key.token })).status).toBe(200)
    expect(await usageOf(mintmark, key.id)).toMatchObject({ requests: 1 })
    expect(await notCounted(mintmark)).toEqual({})
  })
})
