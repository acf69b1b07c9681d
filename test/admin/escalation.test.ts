import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'
import { type Caller, callerOf, issue } from './admins.ts'

/** What a tenant-admin may do with its own tenant's keys, and each attempt to escalate. */

let mintmark: TestService
let admin: TestService['admin']
let acme: Caller
let foreign: Awaited<ReturnType<TestService['tenantWithKey']>>
let foreignToken: Caller

beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  for (const name of ['small', 'large']) await admin('PUT', `/models/${name}`, {})
  for (const name of ['sql', 'chat', 'theirs'])
    await admin('PUT', `/adapters/${name}`, { base_model: 'small' })
  await admin('POST', '/tenants', {
    id: 'acme',
    tier: 'standard',
    allowed_tiers: ['standard', 'batch'],
    models: ['small'],
    adapters: ['sql', 'chat'],
    scopes: ['inference', 'embed'],
    audiences: ['vllm', 'other'],
    max_key_lifetime_seconds: 86_400,
  })
  acme = await issue(mintmark, 'tenant-admin', 'acme')
  foreign = await mintmark.tenantWithKey({ id: 'rival' })
  foreignToken = await issue(mintmark, 'tenant-admin', 'rival')
})
afterAll(() => mintmark.stop())

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString()
/** A key that root created and restricted. */
const restrictedKey = async (): Promise<string> => {
  const { body } = await admin('POST', '/tenants/acme/keys', {
    tier: 'batch',
    scopes: ['inference'],
    models: [],
    adapters: ['sql'],
    audiences: ['vllm'],
    token_ttl_seconds: 120,
    limits: { requests_per_minute: 10, tokens_per_day: 1000 },
    expires_at: inSeconds(3600),
  })
  return body.id
}

describe('A tenant-admin', () => {
  it('issues, reads, rotates, restricts, disables and revokes the keys of its tenant', async () => {
    const made = await acme.call('POST', '/tenants/acme/keys', { name: 'mine' })
    expect(made.status).toBe(201)
    const key = `/keys/${made.body.id}`
    const statuses = [
      await acme.call('GET', key),
      await acme.call('PATCH', key, { adapters: ['sql'], name: 'less' }),
      await acme.call('POST', `${key}/rotate`, {}),
      await acme.call('POST', `${key}/secrets/${made.body.secret_id}/revoke`),
      await acme.call('POST', `${key}/disable`),
      await acme.call('POST', `${key}/revoke`, { reason: 'done' }),
    ].map(({ status }) => status)
    expect(statuses).toEqual([200, 200, 201, 200, 200, 200])
  })

  it('issues tokens of its own role for its own tenant, which end no later than its own', async () => {
    const ends = inSeconds(7200)
    const bounded = await issue(mintmark, 'tenant-admin', 'acme', { expires_at: ends })
    const made = await bounded.call('POST', '/admin-tokens', { role: 'tenant-admin', tenant: 'acme' })
    expect([made.status, made.body.expires_at, made.body.created_by]).toEqual([201, ends, bounded.id])
    expect((await callerOf(mintmark, made.body).call('GET', '/tenants/acme')).status).toBe(200)
  })

  it('sees only its own tenant in lists', async () => {
    const tenants = await acme.call('GET', '/tenants')
    expect(tenants.body.data.map(({ id }: { id: string }) => id)).toEqual(['acme'])
    for (const list of ['/keys', '/admin-tokens']) {
      const { body } = await acme.call('GET', `${list}?limit=100`)
      expect(body.data.length).toBeGreaterThan(0)
      expect(new Set(body.data.map(({ tenant }: { tenant: string }) => tenant))).toEqual(new Set(['acme']))
    }
  })
})

describe('A tenant-admin cannot change its tenant:', () => {
  it.each<[string, string, string, object?]>([
    ['raise its limits', 'PATCH', '/tenants/acme', { limits: { requests_per_minute: 100_000 } }],
    ['raise the limits of its tier', 'PUT', '/tiers/standard', { priority: 0, limits: {} }],
    ['raise its tier', 'PATCH', '/tenants/acme', { tier: 'premium' }],
    ['allow itself a tier', 'PATCH', '/tenants/acme', { allowed_tiers: ['standard', 'premium'] }],
    ['grant itself an adapter', 'PATCH', '/tenants/acme', { adapters: ['theirs'] }],
    ['rename it', 'PATCH', '/tenants/acme', { name: 'x' }],
    ['lengthen its keys', 'PATCH', '/tenants/acme', { max_key_lifetime_seconds: null }],
    ['suspend it', 'POST', '/tenants/acme/suspend'],
    ['resume it', 'POST', '/tenants/acme/resume'],
    ['delete it', 'DELETE', '/tenants/acme?cascade=true'],
    ['create another tenant', 'POST', '/tenants', { id: 'acme-2' }],
    ['register a model', 'PUT', '/models/mine', {}],
    ['change a priority', 'PUT', '/tiers/batch', { priority: -100 }],
    ['rotate signing keys', 'POST', '/signing-keys/rotate'],
    ['read the installation', 'GET', '/installation'],
    ['read the adapters of others', 'GET', '/adapters'],
  ])('%s', async (_, method, path, body) => {
    const before = (await admin('GET', '/tenants/acme')).body
    expect((await acme.call(method, path, body)).status).toBe(403)
    expect((await admin('GET', '/tenants/acme')).body).toEqual(before)
  })

  it('resume it while it is suspended', async () => {
    await admin('POST', '/tenants/acme/suspend')
    expect((await acme.call('POST', '/tenants/acme/resume')).status).toBe(403)
    expect((await admin('POST', '/tenants/acme/resume')).body.state).toBe('active')
  })
})

describe('A tenant-admin cannot issue a key beyond its tenant:', () => {
  it.each<[string, object, string]>([
    ['a tier', { tier: 'premium' }, '/tier'],
    ['a model', { models: ['large'] }, '/models/0'],
    ['an adapter', { adapters: ['theirs'] }, '/adapters/0'],
    ['a scope', { scopes: ['admin'] }, '/scopes/0'],
    ['an audience', { audiences: ['elsewhere'] }, '/audiences/0'],
    ['a lifetime', { expires_at: inSeconds(86_400 + 120) }, '/expires_at'],
    ['no end', { expires_at: null }, '/expires_at'],
  ])('%s', async (_, body, pointer) => {
    const answer = await acme.call('POST', '/tenants/acme/keys', body)
    expect([answer.status, answer.body.errors?.[0].pointer]).toEqual([400, pointer])
  })
})

describe('A tenant-admin cannot extend a key, within its tenant’s rights or beyond:', () => {
  it.each<[string, object, string]>([
    ['another scope', { scopes: ['inference', 'embed'] }, 'scopes'],
    ['a model', { models: ['small'] }, 'models'],
    ['the tenant’s models', { models: null }, 'models'],
    ['another adapter', { adapters: ['sql', 'chat'] }, 'adapters'],
    ['the tenant’s adapters', { adapters: null }, 'adapters'],
    ['another audience', { audiences: ['vllm', 'other'] }, 'audiences'],
    ['the tenant’s audiences', { audiences: null }, 'audiences'],
    ['a sooner tier', { tier: 'standard' }, 'tier'],
    ['the tenant’s tier', { tier: null }, 'tier'],
    ['a longer token', { token_ttl_seconds: 121 }, 'token_ttl_seconds'],
    ['the tenant’s token lifetime', { token_ttl_seconds: null }, 'token_ttl_seconds'],
    ['more requests', { limits: { requests_per_minute: 11 } }, 'limits'],
    ['requests without a limit', { limits: { requests_per_minute: null } }, 'limits'],
    ['no limits', { limits: null }, 'limits'],
    ['one limit less and one more', { limits: { requests_per_minute: 1, tokens_per_day: 1001 } }, 'limits'],
    ['a later end', { expires_at: inSeconds(7200) }, 'expires_at'],
    ['one thing less and one more', { scopes: [], adapters: ['chat'] }, 'adapters'],
  ])('%s', async (_, patch, field) => {
    const id = await restrictedKey()
    const before = (await admin('GET', `/keys/${id}`)).body
    const answer = await acme.call('PATCH', `/keys/${id}`, patch)
    expect([answer.status, answer.body.detail]).toEqual([
      403,
      `A tenant-admin can only restrict a key. The request would extend: ${field}.`,
    ])
    expect((await admin('GET', `/keys/${id}`)).body).toEqual(before)
    expect((await admin('PATCH', `/keys/${id}`, patch)).status).toBe(200)
  })

  it('enable a key that was disabled', async () => {
    const id = await restrictedKey()
    await admin('POST', `/keys/${id}/disable`)
    expect((await acme.call('POST', `/keys/${id}/enable`)).status).toBe(403)
    expect((await admin('GET', `/keys/${id}`)).body.state).toBe('disabled')
  })

  it('restore a revoked key', async () => {
    const id = await restrictedKey()
    expect((await admin('POST', `/keys/${id}/revoke`, {})).status).toBe(200)
    expect((await acme.call('POST', `/keys/${id}/rotate`, {})).status).toBe(409)
    expect((await acme.call('PATCH', `/keys/${id}`, { name: 'x' })).status).toBe(409)
  })
})

describe('A tenant-admin cannot see another tenant:', () => {
  const paths: [string, () => [method: string, path: string, body?: object]][] = [
    ['read it', () => ['GET', '/tenants/rival']],
    ['list its keys', () => ['GET', '/tenants/rival/keys']],
    ['issue a key in it', () => ['POST', '/tenants/rival/keys', {}]],
    ['read a key', () => ['GET', `/keys/${foreign.keyId}`]],
    ['change a key', () => ['PATCH', `/keys/${foreign.keyId}`, { name: 'x' }]],
    ['change a key with a body that is wrong', () => ['PATCH', `/keys/${foreign.keyId}`, { nope: 1 }]],
    ['rotate a key', () => ['POST', `/keys/${foreign.keyId}/rotate`, {}]],
    ['disable a key', () => ['POST', `/keys/${foreign.keyId}/disable`]],
    ['revoke a key', () => ['POST', `/keys/${foreign.keyId}/revoke`, {}]],
    ['revoke a secret', () => ['POST', `/keys/${foreign.keyId}/secrets/${foreign.secretId}/revoke`]],
    ['read an admin token', () => ['GET', `/admin-tokens/${foreignToken.id}`]],
    ['revoke an admin token', () => ['POST', `/admin-tokens/${foreignToken.id}/revoke`, {}]],
  ]
  it.each(paths)('%s', async (_, ask) => {
    const [method, path, body] = ask()
    const answer = await acme.call(method, path, body)
    expect([answer.status, answer.body.code]).toEqual([404, 'not_found'])
    expect((await admin('GET', `/keys/${foreign.keyId}`)).body).toMatchObject({ state: 'active', name: '' })
    expect((await foreignToken.call('GET', '/tenants/rival')).status).toBe(200)
  })

  it('revoke a secret of another tenant under the name of a key of its own', async () => {
    const id = await restrictedKey()
    const answer = await acme.call('POST', `/keys/${id}/secrets/${foreign.secretId}/revoke`)
    expect(answer.status).toBe(404)
    expect((await admin('GET', `/keys/${foreign.keyId}`)).body.secrets[0].state).toBe('live')
  })

  it('use the cursor of root’s list', async () => {
    const { body } = await admin('GET', '/keys?limit=1')
    const answer = await acme.call('GET', `/keys?limit=100&cursor=${body.next_cursor}`)
    expect(answer.text).not.toContain('rival')
  })

  it('see an operator’s admin token, by its id or in a list', async () => {
    const operator = await issue(mintmark, 'operator')
    expect((await acme.call('GET', `/admin-tokens/${operator.id}`)).status).toBe(404)
    expect((await acme.call('POST', `/admin-tokens/${operator.id}/revoke`, {})).status).toBe(404)
    expect((await acme.call('GET', '/admin-tokens?limit=100')).text).not.toContain(operator.id)
  })
})

describe('A tenant-admin cannot issue an admin token above its own rights:', () => {
  const attempt = (body: object): Promise<JsonAnswer> => acme.call('POST', '/admin-tokens', body)
  it.each<[string, object]>([
    ['an owner', { role: 'owner' }],
    ['an operator', { role: 'operator' }],
    ['an auditor', { role: 'auditor' }],
    ['a tenant-admin of another tenant', { role: 'tenant-admin', tenant: 'rival' }],
    ['a tenant-admin of an unknown tenant', { role: 'tenant-admin', tenant: 'nobody' }],
    [
      'one that outlives it',
      { role: 'tenant-admin', tenant: 'acme', expires_at: inSeconds(365 * 86_400 + 30) },
    ],
  ])('%s', async (_, body) => {
    const answer = await attempt(body)
    expect([answer.status, answer.body.code]).toEqual([403, 'forbidden'])
  })

  it('another tenant gets the same response whether it exists or not', async () => {
    const details = [
      (await attempt({ role: 'tenant-admin', tenant: 'rival' })).body.detail,
      (await attempt({ role: 'tenant-admin', tenant: 'nobody' })).body.detail,
    ]
    expect(details[0]).toBe(details[1])
  })

  it.each(['operator', 'auditor'] as const)('an %s cannot issue any either', async role => {
    const caller = await issue(mintmark, role)
    expect((await caller.call('POST', '/admin-tokens', { role: 'auditor' })).status).toBe(403)
  })
})
