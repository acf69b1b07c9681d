import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cancelled, startUsageEngine, type UsageEngine } from '../limits/usage-engine.ts'
import type { TestService } from '../support/test-service.ts'
import { makeReporter } from '../usage/reports.ts'
import { notCounted, sendAnonymousRequests } from './anonymous-requests.ts'
import { chat, send } from './client.ts'
import { startMintmark } from './environment.ts'
import { type Envoy, noEnvoy, startEnvoy } from './envoy.ts'

const MODEL = 'llama-3-8b'

interface Reporting {
  /** Of this test's engine, Mintmark and receiver; `secret`: of the reporter. */
  config(ports: { engine: number; mintmark: TestService; secret: string }): Promise<string>
  /** It takes API keys too. */
  takesKeys: boolean
}

/** A gateway on a stock Envoy that reports usage over gRPC, in front of an engine that counts as vLLM does. */
export function checkReportedUsage(name: string, { config, takesKeys }: Reporting): void {
  describe.skipIf(noEnvoy)(`${name} reports usage`, () => {
    let mintmark: TestService
    let engine: UsageEngine
    let envoy: Envoy
    let token: string
    let key: string
    beforeAll(async () => {
      mintmark = await startMintmark({ MINTMARK_OTLP_GRPC_PORT: '0' })
      const { secret } = await mintmark.tenantWithKey({ id: 'acme', models: [MODEL] })
      key = secret
      token = (await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })).body
        .access_token
      const reporter = await makeReporter(mintmark)
      engine = await startUsageEngine()
      envoy = await startEnvoy(await config({ engine: engine.port, mintmark, secret: reporter.secret }))
    })
    afterAll(async () => {
      await envoy?.stop()
      await engine?.stop()
      await mintmark?.stop()
    })

    it('as the engine counts, refused and cancelled requests too', async () => {
      const sent: [path: string, more: object][] = [
        ['/v1/chat/completions', {}],
        ['/v1/chat/completions', { stream: true }],
        ['/v1/messages', { stream: true }],
        ['/v1/responses', { input: 'a', stream: true }],
        ['/v1/embeddings', { input: 'a' }],
      ]
      for (const [index, [path, more]] of sent.entries()) {
        const credential = takesKeys && index === 0 ? key : token
        expect((await send(envoy.url, { path, token: credential, body: chat(MODEL, more) })).status).toBe(200)
      }
      expect((await send(envoy.url, { token, body: chat('other') })).status).toBe(403)
      await sendAnonymousRequests(envoy.url)
      // No inference.
      await send(envoy.url, { method: 'GET', path: '/v1/models', token })
      engine.plan({ completion: 1_000, pausesAfter: 3 })
      await cancelled(`${envoy.url}/v1/chat/completions`, token, 3)
      const usage = async () =>
        (await mintmark.admin('GET', '/usage?group_by=tenant,model')).body.data as Record<string, number>[]
      const total = async () =>
        (await usage()).reduce((sum, row) => sum + Number(row.requests) + Number(row.refused_requests), 0)
      await expect.poll(total, { timeout: 30_000 }).toBe(7)
      // Nothing of requests without a verified token.
      expect(await notCounted(mintmark)).toEqual({})
      expect(await usage()).toMatchObject([
        { tenant: 'acme', model: null, requests: 0, refused_requests: 1 },
        {
          ...{ tenant: 'acme', model: MODEL, requests: 6, refused_requests: 0, estimated_requests: 0 },
          // Four answers of 11 and 5, an embedding of 11, and a cancelled one of 11 and 3.
          ...{ input_tokens: 66, cached_input_tokens: 20, output_tokens: 23 },
        },
      ])
    })
  })
}
