import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exchange } from '../oauth/token-post.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { externalVerifier } from './external-verifier.ts'

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService()
  for (const model of ['m1', 'm2']) await mintmark.admin('PUT', `/models/${model}`, {})
  for (const adapter of ['a1', 'a2'])
    await mintmark.admin('PUT', `/adapters/${adapter}`, { base_model: 'm1' })
})
afterAll(() => mintmark.stop())

async function issued(secret: string, audience = 'vllm') {
  const { status, text, body } = await exchange(mintmark, secret)
  if (status !== 200) throw new Error(text)
  return {
    expiresIn: body.expires_in as number,
    claims: (await externalVerifier(mintmark, audience)(body.access_token)).payload,
  }
}

describe('Rights are computed at each exchange: restricting a tenant restricts what its keys yield', () => {
  const all = {
    tier: 'standard',
    allowed_tiers: ['standard', 'premium'],
    models: ['m1', 'm2'],
    adapters: ['a1', 'a2'],
    audiences: ['vllm', 'eu'],
    scopes: ['inference', 'embed'],
  }
  const own = {
    tier: 'premium',
    models: ['m2', 'm1'],
    adapters: ['a1'],
    audiences: ['eu', 'vllm'],
    scopes: ['embed', 'inference'],
  }
  it.each([
    [
      'nothing',
      {},
      'eu',
      { tier: 'premium', priority: '-10', models: ['m2', 'm1'], adapters: ['a1'], scope: 'embed inference' },
    ],
    ['models', { models: ['m1'] }, 'eu', { models: ['m1'] }],
    ['all models', { models: [] }, 'eu', { models: [] }],
    ['adapters', { adapters: ['a2'] }, 'eu', { adapters: [], adapter_list: 'none' }],
    [
      'tiers: the tenant’s own takes over',
      { allowed_tiers: ['standard'] },
      'eu',
      { tier: 'standard', priority: '0' },
    ],
    ['scopes', { scopes: ['inference'] }, 'eu', { scope: 'inference' }],
    ['audiences: the next one becomes the default', { audiences: ['vllm'] }, 'vllm', { aud: 'vllm' }],
  ])('%s', async (_, restriction, audience, claims) => {
    const { tenantId, secret } = await mintmark.tenantWithKey(all, own)
    expect(await mintmark.admin('PATCH', `/tenants/${tenantId}`, restriction)).toMatchObject({ status: 200 })
    expect((await issued(secret, audience)).claims).toMatchObject(claims)
  })

  it.each([
    ['no scope is left', { scopes: ['embed'] }, { scopes: ['inference'] }, 'invalid_scope'],
    ['no audience is left', { audiences: ['eu'] }, { audiences: ['vllm'] }, 'invalid_target'],
  ])('nothing is issued when %s', async (_, restriction, settings, error) => {
    const { tenantId, secret } = await mintmark.tenantWithKey(all, settings)
    await mintmark.admin('PATCH', `/tenants/${tenantId}`, restriction)
    expect(await exchange(mintmark, secret)).toMatchObject({ status: 400, body: { error } })
  })

  it('a tier’s new priority applies from the next exchange on', async () => {
    await mintmark.admin('PUT', '/tiers/gold', { priority: -5 })
    const { secret } = await mintmark.tenantWithKey({ tier: 'gold' })
    expect((await issued(secret)).claims.priority).toBe('-5')
    await mintmark.admin('PUT', '/tiers/gold', { priority: -6 })
    expect((await issued(secret)).claims.priority).toBe('-6')
  })
})

describe('expires_in is the minimum of', () => {
  it.each([
    ['the policy’s', {}, {}, 300],
    [
      'the policy’s, when tenant and key have more',
      { token_ttl_seconds: 3600 },
      { token_ttl_seconds: 3600 },
      300,
    ],
    ['the tenant’s', { token_ttl_seconds: 120 }, { token_ttl_seconds: 200 }, 120],
    ['the key’s', { token_ttl_seconds: 200 }, { token_ttl_seconds: 60 }, 60],
  ])('%s', async (_, tenant, settings, seconds) => {
    const { secret } = await mintmark.tenantWithKey(tenant, settings)
    const { expiresIn, claims } = await issued(secret)
    expect([expiresIn, Number(claims.exp) - Number(claims.iat)]).toEqual([seconds, seconds])
  })
})

describe('exp is never after', () => {
  it('the end of the key', async () => {
    const end = Date.now() + 90_000
    const { secret } = await mintmark.tenantWithKey({}, { expires_at: new Date(end).toISOString() })
    const { claims, expiresIn } = await issued(secret)
    expect(claims.exp).toBe(Math.floor(end / 1000))
    expect(expiresIn).toBe(Number(claims.exp) - Number(claims.iat))
  })

  it('the end of the secret that was used; the new one has its full lifetime', async () => {
    const { secret, keyId } = await mintmark.tenantWithKey()
    const { body } = await mintmark.admin('POST', `/keys/${keyId}/rotate`, { overlap_seconds: 90 })
    const [newer, older] = body.secrets
    expect((await issued(secret)).claims.exp).toBe(Math.floor(Date.parse(older.ends_at) / 1000))
    expect(newer.ends_at).toBeNull()
    expect((await issued(body.secret)).expiresIn).toBe(300)
  })
})
