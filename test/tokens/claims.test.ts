import { decodeProtectedHeader, type JWTPayload } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exchange } from '../oauth/token-post.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { externalVerifier } from './external-verifier.ts'

const AUDIENCE = 'https://models.example.test/eu'

let mintmark: TestService
let key: Awaited<ReturnType<TestService['tenantWithKey']>>
let beforeAnyModel: JWTPayload
let jwt: string
let claims: JWTPayload
beforeAll(async () => {
  mintmark = await startTestService()
  const early = await mintmark.tenantWithKey()
  beforeAnyModel = await claimsFor(early.secret)
  for (const model of ['llama-3-8b', 'meta-llama/Llama-3.1-70B'])
    await mintmark.admin('PUT', `/models/${encodeURIComponent(model)}`, {})
  for (const adapter of ['acme-sql', 'acme-chat'])
    await mintmark.admin('PUT', `/adapters/${adapter}`, { base_model: 'llama-3-8b' })
  key = await mintmark.tenantWithKey(
    {
      tier: 'premium',
      allowed_tiers: ['premium', 'batch'],
      adapters: ['acme-sql', 'acme-chat'],
      scopes: ['inference', 'embed'],
      audiences: ['vllm', AUDIENCE],
    },
    { scopes: ['inference', 'embed'] },
  )
  jwt = (await exchange(mintmark, key.secret)).body.access_token
  claims = (await externalVerifier(mintmark)(jwt)).payload
})
afterAll(() => mintmark.stop())

async function claimsFor(secret: string, parameters: Record<string, string> = {}): Promise<JWTPayload> {
  const { status, text, body } = await exchange(mintmark, secret, parameters)
  if (status !== 200) throw new Error(text)
  return (await externalVerifier(mintmark, parameters.audience ?? 'vllm')(body.access_token)).payload
}

/** Claims for a key of a new tenant. */
async function claimsOf(
  tenant: object,
  settings: object = {},
  parameters: Record<string, string> = {},
): Promise<JWTPayload> {
  const { secret } = await mintmark.tenantWithKey({ ...tenant }, { ...settings })
  return claimsFor(secret, parameters)
}

it('the header has alg, kid and typ, and nothing else', () => {
  expect(decodeProtectedHeader(jwt)).toEqual({
    alg: 'ES256',
    kid: expect.stringMatching(/^[\w-]{43}$/),
    typ: 'at+jwt',
  })
})

it('the payload has these claims, of these JSON types, and no other: no nbf', () => {
  expect(claims).toEqual({
    iss: 'https://tokens.example.test',
    sub: key.keyId,
    client_id: key.keyId,
    aud: 'vllm',
    iat: expect.any(Number),
    exp: expect.any(Number),
    jti: expect.any(String),
    scope: 'inference embed',
    tenant: key.tenantId,
    key_epoch: expect.stringMatching(/^[0-9A-Za-z]{8}$/),
    tenant_epoch: expect.stringMatching(/^[0-9A-Za-z]{8}$/),
    tier: 'premium',
    priority: '-10',
    models: ['llama-3-8b', 'meta-llama/Llama-3.1-70B'],
    adapters: ['acme-sql', 'acme-chat'],
    adapter_list: 'acme-sql acme-chat',
  })
})

it('names are flat, and no claim but limits is an object, a boolean or a number other than a time', () => {
  for (const [name, value] of Object.entries(claims)) {
    expect(name).toMatch(/^[a-z_]+$/)
    const isText =
      typeof value === 'string' || (Array.isArray(value) && value.every(entry => typeof entry === 'string'))
    expect([name, isText]).toEqual([name, !['iat', 'exp'].includes(name)])
  }
})

describe('limits', () => {
  const minute = (requests_per_unit: number) => ({ requests_per_unit, unit: 'MINUTE' })
  const daily = (requests_per_unit: number) => ({ requests_per_unit, unit: 'DAY' })
  const ALL = {
    requests_per_minute: 600,
    requests_per_day: 100_000,
    tokens_per_minute: 90_000,
    tokens_per_day: 4_294_967_295,
  }
  beforeAll(() =>
    mintmark.admin('PUT', '/tiers/limited', { priority: 0, limits: { requests_per_minute: 5 } }),
  )

  it.each([
    ['absent when nothing is limited', {}, {}, undefined],
    [
      'each limit that is set, as a number with a unit',
      { limits: ALL },
      {},
      {
        tenant: {
          requests: minute(600),
          requests_daily: daily(100_000),
          tokens: minute(90_000),
          tokens_daily: daily(4_294_967_295),
        },
      },
    ],
    ["the tier's where the tenant has none", { tier: 'limited' }, {}, { tenant: { requests: minute(5) } }],
    [
      "the tenant's instead of its tier's, higher or lower",
      { tier: 'limited', limits: { requests_per_minute: 7 } },
      {},
      { tenant: { requests: minute(7) } },
    ],
    [
      "not the tier's of the key: all keys share the tenant's bucket",
      { allowed_tiers: ['standard', 'limited'] },
      { tier: 'limited' },
      undefined,
    ],
    [
      "the key's own as a second bucket, at most the tenant's",
      { limits: { requests_per_minute: 600, tokens_per_day: 10 } },
      { limits: { requests_per_minute: 60, tokens_per_day: 11, requests_per_day: 12 } },
      {
        tenant: { requests: minute(600), tokens_daily: daily(10) },
        key: { requests: minute(60), requests_daily: daily(12), tokens_daily: daily(10) },
      },
    ],
    ["the key's alone", {}, { limits: { tokens_per_minute: 1 } }, { key: { tokens: minute(1) } }],
  ])('are %s', async (_, tenant, settings, limits) => {
    expect((await claimsOf(tenant, settings)).limits).toEqual(limits)
  })

  it('of a changed tier are in the next token', async () => {
    await mintmark.admin('PUT', '/tiers/changing', { priority: 0, limits: { tokens_per_minute: 5 } })
    const { secret } = await mintmark.tenantWithKey({ tier: 'changing' })
    expect((await claimsFor(secret)).limits).toEqual({ tenant: { tokens: minute(5) } })
    await mintmark.admin('PUT', '/tiers/changing', { priority: 0 })
    expect((await claimsFor(secret)).limits).toBeUndefined()
  })
})

it('sub has the form of a key id, without a slash', () => {
  expect(claims.sub).toMatch(/^key_[0-9A-Za-z]{16}$/)
})

it('sub is the same before and after a rotation, with either secret', async () => {
  const { secret, keyId } = await mintmark.tenantWithKey()
  const before = await claimsFor(secret)
  const rotated = await mintmark.admin('POST', `/keys/${keyId}/rotate`)
  const after = await Promise.all([claimsFor(secret), claimsFor(rotated.body.secret)])
  expect([before, ...after].map(({ sub, client_id }) => [sub, client_id])).toEqual(
    Array(3).fill([keyId, keyId]),
  )
})

it('iat and exp are whole seconds, and expires_in is the difference', async () => {
  const { body } = await exchange(mintmark, key.secret)
  const { payload } = await externalVerifier(mintmark)(body.access_token)
  expect(payload.iat).toSatisfy(Number.isInteger)
  expect(payload.exp).toBe(Number(payload.iat) + body.expires_in)
})

it('jti is 128 bits in base64url, and new each time', async () => {
  const again = await claimsFor(key.secret)
  for (const { jti } of [claims, again]) expect(jti).toMatch(/^[\w-]{21}[AQgw]$/)
  expect(again.jti).not.toBe(claims.jti)
})

describe('priority is a string holding a decimal integer', () => {
  it.each([
    ['premium', '-10'],
    ['standard', '0'],
    ['batch', '10'],
  ])('of the tier %s: "%s"', async (tier, priority) => {
    expect(await claimsOf({ tier })).toMatchObject({ tier, priority })
  })

  it.each([-1_000_000_000, 1_000_000_000])(
    'of a tier at the end of the range, without an exponent: %i',
    async priority => {
      const tier = `t${priority}`
      await mintmark.admin('PUT', `/tiers/${tier}`, { priority })
      expect(await claimsOf({ tier })).toMatchObject({ tier, priority: String(priority) })
    },
  )
})

describe('models', () => {
  it('is an empty list while none is registered', () => {
    expect(beforeAnyModel.models).toEqual([])
  })

  it.each([
    [
      'null stands for every registered base model, and no adapter',
      { models: null },
      {},
      ['llama-3-8b', 'meta-llama/Llama-3.1-70B'],
    ],
    ['a list is that list', { models: ['llama-3-8b'] }, {}, ['llama-3-8b']],
    ['an empty list is an empty list', { models: [] }, {}, []],
    ['a key restricts', {}, { models: ['meta-llama/Llama-3.1-70B'] }, ['meta-llama/Llama-3.1-70B']],
  ])('%s', async (_, tenant, settings, models) => {
    expect((await claimsOf(tenant, settings)).models).toEqual(models)
  })
})

describe('adapters and adapter_list are equal', () => {
  const granted = { adapters: ['acme-sql', 'acme-chat'] }
  it.each([
    ['"none" when there is none', {}, {}, [], 'none'],
    ['the tenant’s', granted, {}, ['acme-sql', 'acme-chat'], 'acme-sql acme-chat'],
    ['the key’s, where it restricts', granted, { adapters: ['acme-chat'] }, ['acme-chat'], 'acme-chat'],
    ['"none" when the key restricts it to nothing', granted, { adapters: [] }, [], 'none'],
    [
      'without a grant of the base model',
      { ...granted, models: [] },
      {},
      ['acme-sql', 'acme-chat'],
      'acme-sql acme-chat',
    ],
  ])('%s', async (_, tenant, settings, adapters, list) => {
    expect(await claimsOf(tenant, settings)).toMatchObject({ adapters, adapter_list: list })
  })

  it('and no adapter may have the name "none"', async () => {
    expect(await mintmark.admin('PUT', '/adapters/none', { base_model: 'llama-3-8b' })).toMatchObject({
      status: 400,
    })
  })
})

describe('aud', () => {
  it('is a list when several were requested', async () => {
    expect((await claimsFor(key.secret, { audience: 'vllm', resource: AUDIENCE })).aud).toEqual([
      'vllm',
      AUDIENCE,
    ])
  })

  it.each([
    ['the first of the tenant’s', { audiences: ['one', 'two'] }, {}, 'one'],
    ['the first of the key’s', { audiences: ['one', 'two'] }, { audiences: ['two', 'one'] }, 'two'],
  ])('is by default a plain string: %s', async (_, tenant, settings, audience) => {
    const { secret } = await mintmark.tenantWithKey(tenant, settings)
    const { body } = await exchange(mintmark, secret)
    expect((await externalVerifier(mintmark, audience)(body.access_token)).payload.aud).toBe(audience)
  })
})
