import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exchange } from '../oauth/token-post.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

const DAY_MS = 86_400_000
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  for (const model of ['m1', 'm2']) await admin('PUT', `/models/${model}`, {})
  for (const adapter of ['a1', 'a2']) await admin('PUT', `/adapters/${adapter}`, { base_model: 'm1' })
  await admin('POST', '/tenants', {
    id: 'acme',
    tier: 'standard',
    allowed_tiers: ['standard', 'batch'],
    scopes: ['inference', 'embed'],
    adapters: ['a1'],
    audiences: ['vllm', 'eu'],
    token_ttl_seconds: 200,
  })
})
afterAll(() => mintmark.stop())

const NO_LIMITS = {
  requests_per_minute: null,
  requests_per_day: null,
  tokens_per_minute: null,
  tokens_per_day: null,
}

const create = (settings?: object) => admin('POST', '/tenants/acme/keys', settings)
const fromNow = (ms: number) => new Date(Date.now() + ms).toISOString()

describe('POST /tenants/{id}/keys', () => {
  it('creates a key that inherits all its tenant’s rights, for 365 days, and shows its secret', async () => {
    const { status, headers, body } = await create()
    expect(status).toBe(201)
    expect(headers.get('location')).toBe(`/admin/v1/keys/${body.id}`)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toEqual({
      id: expect.stringMatching(/^key_[0-9A-Za-z]{16}$/),
      tenant: 'acme',
      name: '',
      description: '',
      labels: {},
      state: 'active',
      tier: null,
      scopes: ['inference'],
      models: null,
      adapters: null,
      audiences: null,
      token_ttl_seconds: null,
      limits: NO_LIMITS,
      expires_at: TIME,
      contact: null,
      escalation: null,
      disabled_at: null,
      revoked_at: null,
      revoked_reason: null,
      created_by: 'root',
      created_at: TIME,
      updated_at: TIME,
      secrets: [
        {
          id: body.secret_id,
          state: 'live',
          created_by: 'root',
          created_at: TIME,
          ends_at: null,
          last_used_at: null,
          confirm_by: null,
          imported: null,
        },
      ],
      effective: {
        tier: 'standard',
        priority: 0,
        scopes: ['inference'],
        models: ['m1', 'm2'],
        adapters: ['a1'],
        audiences: ['vllm', 'eu'],
        token_ttl_seconds: 200,
        limits: { tenant: NO_LIMITS, key: NO_LIMITS },
      },
      secret_id: expect.stringMatching(/^sec_[0-9A-Za-z]{16}$/),
      secret: expect.stringMatching(/^mmk_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$/),
    })
    expect(body.secret.slice(4, 20)).toBe(body.id.slice(4))
    expect(Math.abs(Date.parse(body.expires_at) - Date.now() - 365 * DAY_MS)).toBeLessThan(60_000)
  })

  it('accepts every field, and GET returns the same without the secret', async () => {
    const fields = {
      name: 'ci',
      description: 'for CI',
      labels: { env: 'prod' },
      tier: 'batch',
      scopes: ['embed'],
      models: ['m2'],
      adapters: ['a1'],
      audiences: ['eu'],
      token_ttl_seconds: 100,
      limits: { ...NO_LIMITS, requests_per_minute: 5 },
      expires_at: fromNow(DAY_MS),
    }
    const { status, body } = await create(fields)
    expect({ status, body }).toMatchObject({ status: 201, body: fields })
    const { secret: _secret, secret_id: _secretId, ...shown } = body
    expect((await admin('GET', `/keys/${body.id}`)).body).toEqual(shown)
  })

  it('an end may have t and z in lower case (RFC 3339 §5.6)', async () => {
    const day = fromNow(30 * DAY_MS).slice(0, 10)
    const { body } = await create({ expires_at: `${day}t05:06:07z` })
    expect(body.expires_at).toBe(`${day}T05:06:07.000Z`)
  })

  it('two keys of the same name are two keys', async () => {
    const [one, two] = [await create({ name: 'twin' }), await create({ name: 'twin' })]
    expect(one.body.id).not.toBe(two.body.id)
    expect(one.body.secret).not.toBe(two.body.secret)
  })
})

describe('A key is rejected, with a pointer to the fault:', () => {
  const REFUSED: [string, object, string][] = [
    ['a tier that the tenant may not have', { tier: 'premium' }, '/tier'],
    ['a scope that the tenant has not', { scopes: ['inference', 'admin'] }, '/scopes/1'],
    ['a model that is not registered', { models: ['m3'] }, '/models/0'],
    ['an adapter as a model', { models: ['a1'] }, '/models/0'],
    ['an adapter that the tenant has not', { adapters: ['a2'] }, '/adapters/0'],
    ['an audience that the tenant has not', { audiences: ['us'] }, '/audiences/0'],
    ['an entry twice', { scopes: ['embed', 'embed'] }, '/scopes'],
    ['a lifetime out of bounds', { token_ttl_seconds: 59 }, '/token_ttl_seconds'],
    ['a limit of 0', { limits: { requests_per_minute: 0 } }, '/limits/requests_per_minute'],
    ['an end in the past', { expires_at: '2020-01-01T00:00:00Z' }, '/expires_at'],
    ['no end, which the policy does not allow', { expires_at: null }, '/expires_at'],
    ['an end beyond the policy', { expires_at: fromNow(366 * DAY_MS) }, '/expires_at'],
    ['an end without a time zone', { expires_at: '2099-01-01T00:00:00' }, '/expires_at'],
    ['an end that is no time', { expires_at: 'tomorrow' }, '/expires_at'],
    ['an end on a day that does not exist', { expires_at: '2027-02-30T00:00:00Z' }, '/expires_at'],
    ['a field that is not known', { staleness_seconds: 5 }, '/staleness_seconds'],
    ['a secret of the caller’s choice', { secret: 'mmk_x' }, '/secret'],
  ]

  it.each(REFUSED)('%s (POST)', async (_, fields, pointer) => {
    const { status, body } = await create(fields)
    expect({ status, errors: body.errors }).toEqual({
      status: 400,
      errors: [{ pointer, message: expect.any(String) }],
    })
  })

  it.each(REFUSED)('%s (PATCH)', async (_, fields, pointer) => {
    const { body: key } = await create()
    const { status, body } = await admin('PATCH', `/keys/${key.id}`, fields)
    expect({ status, errors: body.errors }).toEqual({
      status: 400,
      errors: [{ pointer, message: expect.any(String) }],
    })
  })
})

describe('PATCH /keys/{id} is a JSON Merge Patch', () => {
  it('changes the given fields and keeps the rest', async () => {
    const { body: key } = await create({
      name: 'old',
      labels: { a: '1', b: '2' },
      tier: 'batch',
      models: ['m1'],
    })
    const { status, body } = await admin('PATCH', `/keys/${key.id}`, {
      name: 'new',
      labels: { a: null },
      tier: null,
      models: null,
    })
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { name: 'new', labels: { b: '2' }, tier: null, models: null, expires_at: key.expires_at },
    })
  })

  it('sets another end, in any time zone', async () => {
    const { body: key } = await create()
    const day = fromNow(30 * DAY_MS).slice(0, 10)
    const { body } = await admin('PATCH', `/keys/${key.id}`, { expires_at: `${day}T01:00:00+01:00` })
    expect(body.expires_at).toBe(`${day}T00:00:00.000Z`)
  })

  it('makes an expired key active again', async () => {
    const { body: key } = await create()
    await mintmark.database.asOwner('UPDATE api_keys SET expires_at = now() WHERE id = $1', [key.id])
    expect((await admin('GET', `/keys/${key.id}`)).body.state).toBe('expired')
    expect(await admin('PATCH', `/keys/${key.id}`, { expires_at: fromNow(DAY_MS) })).toMatchObject({
      status: 200,
      body: { state: 'active' },
    })
    expect(await exchange(mintmark, key.secret)).toMatchObject({ status: 200 })
  })

  it('accepts a key without an end when the policy allows it', async () => {
    const { tenantId } = await mintmark.tenantWithKey()
    await mintmark.database.asOwner('UPDATE installation SET unending_keys_allowed = true')
    const unending = await admin('POST', `/tenants/${tenantId}/keys`, { expires_at: null })
    await mintmark.database.asOwner('UPDATE installation SET unending_keys_allowed = false')
    expect(unending).toMatchObject({ status: 201, body: { expires_at: null, state: 'active' } })
    expect(await exchange(mintmark, unending.body.secret)).toMatchObject({ status: 200 })
  })
})

describe('The state of a key', () => {
  it.each([
    ['disable', 'disabled'],
    ['enable', 'active'],
    ['revoke', 'revoked'],
  ])('%s is idempotent: the second response equals the first', async (action, state) => {
    const { body: key } = await create()
    const first = await admin('POST', `/keys/${key.id}/${action}`)
    expect(first).toMatchObject({ status: 200, body: { id: key.id, state } })
    const second = await admin('POST', `/keys/${key.id}/${action}`)
    expect(second).toMatchObject({ status: 200 })
    expect(second.body).toEqual(first.body)
  })

  it('revoke keeps the first reason', async () => {
    const { body: key } = await create()
    await admin('POST', `/keys/${key.id}/revoke`, { reason: 'leaked' })
    const { body } = await admin('POST', `/keys/${key.id}/revoke`, { reason: 'other' })
    expect(body).toMatchObject({ state: 'revoked', revoked_reason: 'leaked', revoked_at: TIME })
  })

  it.each<[string, string, object | undefined]>([
    ['enable', '/enable', undefined],
    ['disable', '/disable', undefined],
    ['rotate', '/rotate', {}],
    ['PATCH', '', { name: 'back' }],
  ])('%s of a revoked key is 409, because revocation is irreversible', async (name, path, body) => {
    const { body: key } = await create()
    await admin('POST', `/keys/${key.id}/revoke`)
    expect(await admin(name === 'PATCH' ? 'PATCH' : 'POST', `/keys/${key.id}${path}`, body)).toMatchObject({
      status: 409,
      body: { code: 'key_revoked' },
    })
  })

  it('removes its models, adapters and tier, which the audit trail keeps', async () => {
    await admin('PUT', '/models/short-lived', {})
    await admin('PUT', '/tiers/short-lived', { priority: 5 })
    const allowed = { allowed_tiers: ['standard', 'short-lived'] }
    await admin('POST', '/tenants', { id: 'lets-go', ...allowed })
    const settings = { models: ['short-lived'], tier: 'short-lived' }
    const { body: key } = await admin('POST', '/tenants/lets-go/keys', settings)
    expect(await admin('DELETE', '/models/short-lived')).toMatchObject({ status: 409 })
    await admin('POST', `/keys/${key.id}/revoke`)
    await admin('PATCH', '/tenants/lets-go', { allowed_tiers: ['standard'] })
    expect(await admin('DELETE', '/models/short-lived')).toMatchObject({ status: 204 })
    expect(await admin('DELETE', '/tiers/short-lived')).toMatchObject({ status: 204 })
    const [event] = await mintmark.database.asOwner(
      "SELECT changes FROM audit_events WHERE action = 'key.revoke' AND target_id = $1",
      [key.id],
    )
    expect(event?.changes).toMatchObject({
      models: { from: ['short-lived'], to: [] },
      tier: { from: 'short-lived' },
    })
  })
})

describe('a key of a tenant without the default scope', () => {
  it('is not created without an explicit list of scopes', async () => {
    await admin('POST', '/tenants', { id: 'embedder', scopes: ['embed'] })
    expect(await admin('POST', '/tenants/embedder/keys', {})).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/scopes/0' }] },
    })
    expect(await admin('POST', '/tenants/embedder/keys', { scopes: ['embed'] })).toMatchObject({
      status: 201,
    })
  })
})
