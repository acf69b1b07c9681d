import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { send } from './client.ts'
import { GATEWAYS, type Gateways, startGateways } from './environment.ts'
import { envoyVersion, noEnvoy } from './envoy.ts'
import { startTestMint, type TestMint } from './test-mint.ts'

/**
 * Why the claims have their types: what Envoy does with others. These tests fail when Envoy changes, and print what it
 * did.
 */
let mint: TestMint
let gateways: Gateways
const seen: string[] = []
beforeAll(async () => {
  if (noEnvoy) return
  mint = await startTestMint()
  gateways = await startGateways(mint.url)
  seen.push(envoyVersion())
})
afterAll(async () => {
  if (!noEnvoy) console.log(seen.join('\n'))
  await gateways?.stop()
  await mint?.stop()
})
beforeEach(() => gateways?.upstream.forget())

const LIST = ['acme-sql', 'acme-chat']

describe.skipIf(noEnvoy).each(GATEWAYS)('%s makes a header', name => {
  it.each([
    ['a string "-10"', { priority: '-10' }, 'x-vllm-priority', '-10', -10],
    ['a string "0"', { priority: '0' }, 'x-vllm-priority', '0', 0],
    [
      'a number -10: vLLM cannot read it and obeys the body',
      { priority: -10 },
      'x-vllm-priority',
      '-10.000000',
      -999,
    ],
    ['a number 10', { priority: 10 }, 'x-vllm-priority', '10', 10],
    ['a number 1.5', { priority: 1.5 }, 'x-vllm-priority', '1.500000', -999],
    ['no claim at all: vLLM obeys the body', { priority: undefined }, 'x-vllm-priority', undefined, -999],
    ['an empty string: vLLM obeys the body', { priority: '' }, 'x-vllm-priority', undefined, -999],
    ['null', { priority: null }, 'x-vllm-priority', undefined, -999],
    ['a list: base64 of its JSON', { adapter_list: LIST }, 'x-lora-adapters', base64(LIST), -10],
    ['an object: base64 of its JSON', { adapter_list: { a: 1 } }, 'x-lora-adapters', base64({ a: 1 }), -10],
    ['an empty list', { adapter_list: [] }, 'x-lora-adapters', base64([]), -10],
    [
      'a space-delimited string',
      { adapter_list: LIST.join(' ') },
      'x-lora-adapters',
      'acme-sql acme-chat',
      -10,
    ],
    ['true', { adapter_list: true }, 'x-lora-adapters', 'true', -10],
  ])('of %s', async (what, claims, header, value, priority) => {
    const body = JSON.stringify({ model: 'llama-3-8b', priority: -999 })
    const answer = await send(gateways.gateways[name].url, { token: await mint.sign(claims), body })
    expect(answer.status).toBe(200)
    const request = gateways.upstream.theRequest()
    seen.push(
      `${name}: ${what} → ${header}: ${request.headers[header] ?? '(none)'}, scheduled with ${request.priority}`,
    )
    expect(request.headers[header]).toBe(value)
    expect(request.priority).toBe(priority)
  })
})

function base64(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64')
}
