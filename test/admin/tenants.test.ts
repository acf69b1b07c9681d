import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  await admin('PUT', '/models/llama', {})
  await admin('PUT', '/adapters/sql', { base_model: 'llama' })
})
afterAll(() => mintmark.stop())

const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

describe('POST /tenants', () => {
  it('creates a tenant from only an id, with the defaults, and returns its location', async () => {
    const { status, headers, body } = await admin('POST', '/tenants', { id: 'plain' })
    expect(status).toBe(201)
    expect(headers.get('location')).toBe('/admin/v1/tenants/plain')
    expect(body).toEqual({
      id: 'plain',
      name: 'plain',
      description: '',
      labels: {},
      state: 'active',
      tier: 'standard',
      allowed_tiers: ['standard'],
      scopes: ['inference'],
      models: null,
      adapters: [],
      audiences: ['vllm'],
      token_ttl_seconds: null,
      staleness_seconds: null,
      max_key_lifetime_seconds: null,
      limits: {
        requests_per_minute: null,
        requests_per_day: null,
        tokens_per_minute: null,
        tokens_per_day: null,
      },
      contact: null,
      escalation: null,
      suspended_at: null,
      created_at: TIME,
      updated_at: TIME,
    })
    expect((await admin('GET', '/tenants/plain')).body).toEqual(body)
  })

  it('accepts every field', async () => {
    const fields = {
      id: 'full',
      name: 'Full GmbH & Co. ÄÖÜ 🔑',
      description: 'all of it',
      labels: { team: 'ml', 'cost.example/center': '42' },
      tier: 'premium',
      allowed_tiers: ['batch', 'premium'],
      scopes: ['inference', 'embed:write'],
      models: ['llama'],
      adapters: ['sql'],
      audiences: ['vllm', 'https://eu.example.test'],
      token_ttl_seconds: 60,
      staleness_seconds: 0,
      limits: {
        requests_per_minute: 1,
        requests_per_day: 4_294_967_295,
        tokens_per_minute: 2,
        tokens_per_day: null,
      },
    }
    expect(await admin('POST', '/tenants', fields)).toMatchObject({ status: 201, body: fields })
    expect((await admin('GET', '/tenants/full')).body).toMatchObject(fields)
  })

  it('allows the given tier by default', async () => {
    expect((await admin('POST', '/tenants', { id: 'prem', tier: 'premium' })).body.allowed_tiers).toEqual([
      'premium',
    ])
  })

  it('returns 409 for an id that is in use', async () => {
    await admin('POST', '/tenants', { id: 'taken' })
    expect(await admin('POST', '/tenants', { id: 'taken' })).toMatchObject({
      status: 409,
      body: { code: 'tenant_id_taken' },
    })
  })
})

describe('A tenant is rejected, with a pointer to the fault:', () => {
  it.each<[string, object, string]>([
    ['no id', { id: undefined }, '/id'],
    ['an id with upper case', { id: 'Acme' }, '/id'],
    ['an id that ends with a dash', { id: 'acme-' }, '/id'],
    ['an id of 64 characters', { id: 'a'.repeat(64) }, '/id'],
    ['an id that is no text', { id: 7 }, '/id'],
    ['a field that is not known', { nope: 1 }, '/nope'],
    ['a field with a slash and a tilde in its name (RFC 6901)', { 'a/b~c': 1 }, '/a~1b~0c'],
    ['a field that the service sets', { state: 'suspended' }, '/state'],
    ['a name with a line break', { name: 'a\nb' }, '/name'],
    ['a name that is too long', { name: 'x'.repeat(201) }, '/name'],
    ['a label with a space in its name', { labels: { 'a b': '' } }, '/labels/a b'],
    ['a label that is no text', { labels: { a: 1 } }, '/labels/a'],
    ['a tier that is not registered', { tier: 'gold' }, '/tier'],
    ['a tier that is not allowed', { tier: 'premium', allowed_tiers: ['batch'] }, '/tier'],
    ['a tier allowed twice', { allowed_tiers: ['standard', 'standard'] }, '/allowed_tiers'],
    ['a model that is not registered', { models: ['llama', 'gpt'] }, '/models/1'],
    ['an adapter as a model', { models: ['sql'] }, '/models/0'],
    ['a model as an adapter', { adapters: ['llama'] }, '/adapters/0'],
    ['"none" as an adapter', { adapters: ['none'] }, '/adapters/0'],
    ['a list that is null where null means nothing', { adapters: null }, '/adapters'],
    ['no audience at all', { audiences: [] }, '/audiences'],
    ['an audience with a comma', { audiences: ['a,b'] }, '/audiences/0'],
    [
      'audiences that are too long for a token',
      { audiences: ['a'.repeat(100), 'b'.repeat(100)] },
      '/audiences',
    ],
    ['a scope with a space', { scopes: ['a b'] }, '/scopes/0'],
    ['a lifetime under a minute', { token_ttl_seconds: 59 }, '/token_ttl_seconds'],
    ['a lifetime over an hour', { token_ttl_seconds: 3601 }, '/token_ttl_seconds'],
    ['a lifetime as text', { token_ttl_seconds: '60' }, '/token_ttl_seconds'],
    ['a limit of 0', { limits: { requests_per_minute: 0 } }, '/limits/requests_per_minute'],
    ['a limit over 32 bits', { limits: { tokens_per_day: 4_294_967_296 } }, '/limits/tokens_per_day'],
    ['half a request', { limits: { requests_per_day: 1.5 } }, '/limits/requests_per_day'],
    ['a limit as text', { limits: { tokens_per_minute: '5' } }, '/limits/tokens_per_minute'],
    ['a limit that is not known', { limits: { requests_per_hour: 5 } }, '/limits/requests_per_hour'],
    ['limits that are no object', { limits: 600 }, '/limits'],
    ['limits that are a list', { limits: [600] }, '/limits'],
    ['a staleness between 0 and 5', { staleness_seconds: 4 }, '/staleness_seconds'],
  ])('%s', async (_, fields, pointer) => {
    const { status, body } = await admin('POST', '/tenants', { id: 'refused', ...fields })
    expect(status).toBe(400)
    expect(body.errors).toEqual([{ pointer, message: expect.any(String) }])
  })

  it('all faults at once', async () => {
    const { body } = await admin('POST', '/tenants', { id: 'A', scopes: [''], nope: 1 })
    expect(body.errors.map((fault: { pointer: string }) => fault.pointer).sort()).toEqual([
      '/id',
      '/nope',
      '/scopes/0',
    ])
  })

  it('the first 100 faults of many', async () => {
    const unknown = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`unknown_${n}`, 1]))
    const { status, body } = await admin('POST', '/tenants', { id: 'many', ...unknown })
    expect(status).toBe(400)
    expect(body.errors).toHaveLength(100)
    expect(body.errors[0]).toEqual({ pointer: '/unknown_0', message: 'is not a known field' })
  })
})

describe('PATCH /tenants/{id} is a JSON Merge Patch (RFC 7396)', () => {
  it('changes the given fields and keeps the rest; a null label is removed', async () => {
    const made = await admin('POST', '/tenants', {
      id: 'patched',
      labels: { a: '1', b: '2' },
      models: ['llama'],
    })
    const patch = { description: 'new', labels: { a: null, c: '3' }, models: null }
    const { status, body } = await admin('PATCH', '/tenants/patched', patch, {
      'content-type': 'application/merge-patch+json',
    })
    expect(status).toBe(200)
    expect(body).toEqual({
      ...made.body,
      description: 'new',
      labels: { b: '2', c: '3' },
      models: null,
      updated_at: TIME,
    })
  })

  it.each([
    ['a tier outside allowed_tiers', { tier: 'premium' }, '/tier'],
    ['allowed_tiers without the tier', { allowed_tiers: ['premium'] }, '/tier'],
    ['the id', { id: 'other' }, '/id'],
  ])('rejects %s', async (_, patch, pointer) => {
    await admin('POST', '/tenants', { id: 'steady' })
    const { status, body } = await admin('PATCH', '/tenants/steady', patch)
    expect({ status, pointers: body.errors.map((fault: { pointer: string }) => fault.pointer) }).toEqual({
      status: 400,
      pointers: [pointer],
    })
  })

  it('can always restrict: the keys’ lists are kept, their effective rights shrink', async () => {
    await admin('POST', '/tenants', {
      id: 'narrow',
      tier: 'standard',
      allowed_tiers: ['standard', 'premium'],
      adapters: ['sql'],
      models: ['llama'],
    })
    const key = (
      await admin('POST', '/tenants/narrow/keys', { tier: 'premium', adapters: ['sql'], models: ['llama'] })
    ).body
    expect(
      await admin('PATCH', '/tenants/narrow', { allowed_tiers: ['standard'], adapters: [], models: [] }),
    ).toMatchObject({ status: 200 })
    expect((await admin('GET', `/keys/${key.id}`)).body).toMatchObject({
      tier: 'premium',
      adapters: ['sql'],
      models: ['llama'],
      effective: { tier: 'standard', priority: 0, adapters: [], models: [] },
    })
    expect(await admin('PATCH', `/keys/${key.id}`, { name: 'renamed' })).toMatchObject({
      status: 200,
      body: { name: 'renamed' },
    })
  })
})

describe('POST /tenants/{id}/suspend and /resume', () => {
  it('are idempotent, and the first instant of the suspension is kept', async () => {
    const made = await admin('POST', '/tenants', { id: 'pause' })
    const first = await admin('POST', '/tenants/pause/suspend')
    expect(first).toMatchObject({ status: 200, body: { state: 'suspended', suspended_at: TIME } })
    expect((await admin('POST', '/tenants/pause/suspend')).body).toEqual(first.body)
    for (const _ of [1, 2]) {
      const { status, body } = await admin('POST', '/tenants/pause/resume')
      expect({ status, body }).toEqual({ status: 200, body: { ...made.body, updated_at: TIME } })
    }
  })
})

describe('DELETE /tenants/{id}', () => {
  it.each<[string, object, (key: { id: string }) => Promise<unknown>]>([
    ['a live key', {}, async () => {}],
    ['a disabled key, which can be enabled again', {}, ({ id }) => admin('POST', `/keys/${id}/disable`)],
  ])('returns 409 while there is %s, unless it cascades', async (_, settings, prepare) => {
    const { tenantId, keyId } = await mintmark.tenantWithKey({}, { ...settings })
    await prepare({ id: keyId })
    expect(await admin('DELETE', `/tenants/${tenantId}`)).toMatchObject({
      status: 409,
      body: { code: 'tenant_has_live_keys' },
    })
    expect(await admin('DELETE', `/tenants/${tenantId}?cascade=true`)).toMatchObject({
      status: 204,
      text: '',
    })
    expect(await admin('GET', `/keys/${keyId}`)).toMatchObject({ status: 404 })
  })

  it.each<[string, (id: string) => Promise<unknown>]>([
    ['revoked', id => admin('POST', `/keys/${id}/revoke`)],
    [
      'expired',
      id => mintmark.database.asOwner('UPDATE api_keys SET expires_at = now() WHERE id = $1', [id]),
    ],
  ])('needs no cascade when all keys are %s', async (_, end) => {
    const { tenantId, keyId } = await mintmark.tenantWithKey()
    await end(keyId)
    expect(await admin('DELETE', `/tenants/${tenantId}`)).toMatchObject({ status: 204 })
  })

  it('deletes the tenant irreversibly: it is 404, and its id is never reused', async () => {
    await admin('POST', '/tenants', { id: 'gone' })
    await admin('DELETE', '/tenants/gone')
    expect(await admin('GET', '/tenants/gone')).toMatchObject({ status: 404 })
    expect(await admin('DELETE', '/tenants/gone')).toMatchObject({ status: 404 })
    expect(await admin('POST', '/tenants', { id: 'gone' })).toMatchObject({
      status: 409,
      body: { code: 'tenant_id_taken' },
    })
  })

  it('does not assign the id to another tenant during the deletion', async () => {
    await admin('POST', '/tenants', { id: 'going' })
    const client = new pg.Client({ connectionString: mintmark.database.ownerUrl })
    await client.connect()
    try {
      await client.query(
        "BEGIN; DELETE FROM tenants WHERE id = 'going'; INSERT INTO deleted_tenants (id) VALUES ('going')",
      )
      const asked = admin('POST', '/tenants', { id: 'newer', name: 'to see that others are not held up' })
      const same = mintmark.admin('POST', '/tenants', { id: 'going' })
      expect(await asked).toMatchObject({ status: 201 })
      await client.query('COMMIT')
      expect(await same).toMatchObject({ status: 409, body: { code: 'tenant_id_taken' } })
    } finally {
      await client.end()
    }
  })

  it('rejects a cascade that is neither true nor false', async () => {
    await admin('POST', '/tenants', { id: 'maybe' })
    const { status, body } = await admin('DELETE', '/tenants/maybe?cascade=maybe')
    expect({ status, errors: body.errors }).toEqual({
      status: 400,
      errors: [{ pointer: '/cascade', message: 'must be true or false' }],
    })
  })
})
