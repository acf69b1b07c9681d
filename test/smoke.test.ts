import { createRemoteJWKSet, jwtVerify } from 'jose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestService, type TestService } from './support/test-service.ts'

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService()
})
afterAll(() => mintmark.stop())

it('exchanges a key for a token that jose verifies against the published JWKS', async () => {
  const { secret, keyId } = await mintmark.tenantWithKey({ tier: 'premium' })
  const { status, body } = await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
  expect(status).toBe(200)
  const keys = createRemoteJWKSet(new URL(`${mintmark.service.urls.public}/.well-known/jwks.json`))
  const { payload } = await jwtVerify(body.access_token, keys, {
    issuer: mintmark.service.issuer,
    audience: 'vllm',
    typ: 'at+jwt',
  })
  expect(payload).toMatchObject({ sub: keyId, priority: '-10', adapter_list: 'none', models: [] })
})
