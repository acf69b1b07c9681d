import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MODEL_HEADER } from '../../src/gateway/headers.ts'
import { send } from './client.ts'
import { noEnvoy } from './envoy.ts'
import { type Gateways, startGateways } from './scene.ts'
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

/** Pieces that bodies are made of, right and wrong: names, values, ends, escapes. */
const piece = fc.constantFrom(
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    '\\"',
    '\\\\',
    '\\u006d',
    ' ',
    '\n',
    '\0',
    '\ufeff',
    '/**/',
    "'",
  ],
  ...[
    '"model"',
    '"model":',
    '"model":"llama-3-8b"',
    '"model":"globex-sql"',
    ',"model":"globex-sql"',
    '"m\\u006fdel":"globex-sql"',
  ],
  ...['"a":{"model":"globex-sql"}', '"a":"\\"}', '1', 'true', 'null', 'NaN', '"llama-3-8b"', '"globex-sql"'],
)
const pieces = fc.array(piece, { maxLength: 14 }).map(parts => parts.join(''))
const body = fc.oneof(
  pieces,
  pieces.map(text => `{${text}}`),
  pieces.map(text => `{"model":"llama-3-8b",${text}}`),
  pieces.map(text => `{${text},"model":"llama-3-8b"}`),
  fc.json().map(json => `{"x":${json},"model":"globex-sql"}`),
  fc.json().map(json => `{"model":"llama-3-8b","x":${json}}`),
)

describe.skipIf(noEnvoy)('a body of any make', () => {
  it('reaches the engine only if the model that a JSON parser finds in it (the last one) is the one checked', async () => {
    const token = await mint.sign()
    let passed = 0
    await fc.assert(
      fc.asyncProperty(body, async text => {
        gateways.upstream.forget()
        const { status } = await send(gateways.gateways['deploy/envoy'].url, { token, body: text || ' ' })
        expect([200, 400, 403]).toContain(status)
        for (const request of gateways.upstream.requests) {
          expect(request.headers[MODEL_HEADER]).toBe('llama-3-8b')
          expect(modelOf(request.body)).toBe('llama-3-8b')
          passed += 1
        }
      }),
      { numRuns: 1500 },
    )
    expect(passed).toBeGreaterThan(50)
  })
})

/** What an engine reads; a body that it refuses names the model that was checked as well as any. */
function modelOf(text: string): unknown {
  try {
    return JSON.parse(text.replaceAll(/\b(NaN|-?Infinity)\b/g, '0')).model
  } catch {
    return 'llama-3-8b'
  }
}
