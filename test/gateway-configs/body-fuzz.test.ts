import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MODEL_HEADER } from '../../src/gateway/headers.ts'
import { anyBody, modelOf } from './any-body.ts'
import { send } from './client.ts'
import { type Gateways, startGateways } from './environment.ts'
import { noEnvoy } from './envoy.ts'
import { startTestMint, type TestMint } from './test-mint.ts'

let mint: TestMint
let gateways: Gateways
beforeAll(async () => {
  if (noEnvoy) return
  mint = await startTestMint()
  gateways = await startGateways(mint.url)
})
afterAll(async () => {
  await gateways?.stop()
  await mint?.stop()
})

describe.skipIf(noEnvoy)('any body', () => {
  it('reaches the engine only if the model that a JSON parser finds in it (the last one) is the one checked', async () => {
    const token = await mint.sign()
    let passed = 0
    await fc.assert(
      fc.asyncProperty(anyBody, async text => {
        gateways.upstream.forget()
        const { status } = await send(gateways.gateways['deploy/envoy'].url, { token, body: text || ' ' })
        expect([200, 400, 403]).toContain(status)
        for (const request of gateways.upstream.requests) {
          expect(request.headers[MODEL_HEADER]).toBe('llama-3-8b')
          expect(modelOf(request.body)).toBe('llama-3-8b')
          passed += 1
        }
      }),
      { numRuns: 600 },
    )
    expect(passed).toBeGreaterThan(20)
  })
})
