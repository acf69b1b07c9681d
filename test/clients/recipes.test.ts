import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { deployedEnvoy, startMintmark } from '../gateway-configs/environment.ts'
import { type Envoy, noEnvoy } from '../gateway-configs/envoy.ts'
import type { TestService } from '../support/test-service.ts'
import { headings, newReader, RECIPES, type Reader } from './recipes.ts'
import { ANSWER, startTalkingEngine, type TalkingEngine } from './talking-engine.ts'

/** The recipes of docs/guides/clients.md, through deploy/envoy/envoy-api-keys.yaml. `npm run engine -- recipes`: at a real vLLM. */
let mintmark: TestService
let engine: TalkingEngine
let envoy: Envoy
let reader: Reader
let tenantId: string

beforeAll(async () => {
  if (noEnvoy) return
  mintmark = await startMintmark()
  engine = await startTalkingEngine()
  const portOf = (url: string) => Number(new URL(url).port)
  const { urls } = mintmark.service
  envoy = await deployedEnvoy(
    { jwks: portOf(urls.public), upstream: engine.port },
    [['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${portOf(urls.gateway)}`]],
    'envoy-api-keys.yaml',
  )
  const tenant = await mintmark.tenantWithKey()
  tenantId = tenant.tenantId
  reader = await newReader({ issuer: urls.public, gateway: envoy.url, secret: tenant.secret })
})
afterAll(async () => {
  await envoy?.stop()
  await engine?.stop()
  await mintmark?.stop()
  await reader?.leave()
})
beforeEach(() => {
  engine?.requests.splice(0)
})

/** All requests were those of the tenant, and the engine received no credential. */
function expectServed(path: string): void {
  expect(engine.requests.length).toBeGreaterThan(0)
  for (const request of engine.requests) {
    expect(request.path.replace(/\?.*/, '')).toBe(path)
    expect(request.headers['x-tenant-id']).toBe(tenantId)
    expect(JSON.stringify(request)).not.toMatch(/mmk_|eyJ/)
  }
}

/** These programs load hundreds of modules: against tests that hang, on a busy machine. */
const PATIENCE = { timeout: 300_000 }

describe.skipIf(noEnvoy)('the recipe of docs/guides/clients.md for', PATIENCE, () => {
  for (const recipe of RECIPES)
    it.skipIf(recipe.lacks())(
      `${recipe.heading}${recipe.language ? `, in ${recipe.language}` : ''}`,
      async () => {
        expect(await recipe.ask(reader)).toBe(ANSWER)
        expectServed(recipe.path)
      },
    )
})

it('every recipe of the guide is run', () => {
  expect([...new Set(RECIPES.map(({ heading }) => heading))].toSorted()).toEqual(headings().toSorted())
})
