import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ZodObject, ZodOptional } from 'zod'
import { adminRoutes } from '../../src/admin/admin-app.ts'
import { EXAMPLE_JWKS } from '../../src/admin/bodies/identity-body.ts'
import { makeAuthority } from '../support/certificates.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { issue } from './admins.ts'

/** null in a JSON Merge Patch (RFC 7396), on every field that the routes' schemas allow to change. */

let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService({ env: { MINTMARK_SHORT_PUBLISH_LEAD: 'allowed' } })
  ;({ admin } = mintmark)
  await admin('PUT', '/models/base', {})
  await admin('PUT', '/adapters/sql', { base_model: 'base' })
})
afterAll(() => mintmark.stop())

const LATER = new Date(Date.now() + 86_400_000).toISOString()

const LIMITS = {
  requests_per_minute: 600,
  requests_per_day: null,
  tokens_per_minute: 1,
  tokens_per_day: null,
}

/** A value for each field that is not its default. A missing field fails its test. */
const SET: Record<string, Record<string, unknown>> = {
  '/tenants/:id': {
    name: 'Set',
    description: 'set',
    labels: { set: 'yes' },
    tier: 'premium',
    allowed_tiers: ['standard', 'premium'],
    scopes: ['inference', 'embed'],
    models: ['base'],
    adapters: ['sql'],
    audiences: ['vllm', 'eu'],
    token_ttl_seconds: 60,
    staleness_seconds: 0,
    max_key_lifetime_seconds: 86_400_000,
    limits: LIMITS,
    contact: 'team@example.com',
    escalation: 'on-call@example.com',
  },
  '/keys/:id': {
    name: 'set',
    description: 'set',
    labels: { set: 'yes' },
    tier: 'premium',
    scopes: ['embed'],
    models: ['base'],
    adapters: ['sql'],
    audiences: ['eu'],
    token_ttl_seconds: 60,
    limits: LIMITS,
    expires_at: LATER,
    contact: 'person@example.com',
    escalation: 'team@example.com',
  },
  '/identity-providers/:id': {
    name: 'Set',
    audiences: ['set'],
    algorithms: ['EdDSA'],
    bounds: [{ tenant: 'set', subject: 'robot', claims: {} }],
    jwks: null,
    jwks_uri: 'https://issuer.example.com/keys',
    ca_pem: makeAuthority('authority').certificate,
    allow_addresses: ['10.0.0.0/8:443'],
    fetch_token: 'fetch-token-of-the-test',
    in_cluster: false,
    jwks_max_stale_seconds: 60,
  },
  '/installation': {
    signing_alg: 'ES256',
    signing_algs: ['ES256'],
    audience_signing_algs: { legacy: 'ES256' },
    rotation_interval_seconds: 2_000_000,
    publish_lead_seconds: 7000,
    max_key_lifetime_seconds: 30_000_000,
    unending_keys_allowed: true,
    max_live_keys_per_tenant: 5_000,
    tenant_writes_per_minute: 100_000,
    usage_dedup_seconds: 7200,
    usage_retention_days: 800,
    contact_required: true,
  },
}

const shapeOf = (schema: unknown) => (schema as ZodObject).shape
const patches = adminRoutes({} as never)
  .filter(({ method }) => method === 'patch')
  .map(({ path, body }) => {
    const shape = shapeOf(body)
    const policy = shape.policy as ZodOptional<ZodObject> | undefined
    const all = Object.keys(policy ? policy.unwrap().shape : shape)
    // What to do with issued tokens is no field of the object: test/token-revocations.
    return { path, fields: all.filter(field => field !== 'revoke_tokens') }
  })

it('covers every PATCH, and every field of each', () => {
  const known = Object.entries(SET).map(([path, fields]) => ({ path, fields: Object.keys(fields).sort() }))
  const there = patches.map(({ path, fields }) => ({ path, fields: fields.sort() }))
  expect(there.sort(byPath)).toEqual(known.sort(byPath))
})
const byPath = (a: { path: string }, b: { path: string }) => (a.path < b.path ? -1 : 1)

/** These have no default; `jwks` and `in_cluster` cannot be set together with `jwks_uri`, and `fetch_token` is never shown. */
const WITHOUT_DEFAULT: Record<string, string[]> = {
  '/keys/:id': ['expires_at'],
  '/identity-providers/:id': ['audiences', 'jwks', 'fetch_token', 'in_cluster'],
}

/** Who receives the fetch token of an identity provider, which is sent again when one changes. */
const DECIDES_RECEIVER = new Set(['jwks_uri', 'ca_pem', 'allow_addresses'])

let count = 0
/** A tenant, or a key of one, with these fields; the key's tenant has more rights than a key by default. */
async function make(path: string, fields: object): Promise<string> {
  const id = `merge-${++count}`
  if (path === '/identity-providers/:id') {
    const settings = { kind: 'oidc', issuer: `https://issuer-${count}.example.com`, audiences: ['x'] }
    const { body, text } = await admin('POST', '/identity-providers', { ...settings, ...fields })
    expect(body.id, text).toBeDefined()
    return `/identity-providers/${body.id}`
  }
  if (path === '/tenants/:id')
    return `/tenants/${(await admin('POST', '/tenants', { id, ...fields })).body.id}`
  await admin('POST', '/tenants', { id, ...SET['/tenants/:id'] })
  const made = await admin('POST', `/tenants/${id}/keys`, fields)
  return `/keys/${made.body.id}`
}

describe.each(patches.filter(({ path }) => path !== '/installation'))('PATCH $path', ({ path, fields }) => {
  let fresh: Record<string, unknown>
  beforeAll(async () => {
    fresh = (await admin('GET', await make(path, {}))).body
  })

  it.each(fields.filter(field => !WITHOUT_DEFAULT[path]?.includes(field)))(
    'null resets %s to its default',
    async field => {
      const place = await make(path, SET[path] ?? {})
      const before = (await admin('GET', place)).body
      expect(before[field]).toEqual(SET[path]?.[field])
      const again = DECIDES_RECEIVER.has(field) ? { fetch_token: SET[path]?.fetch_token } : {}
      const { status, body, text } = await admin('PATCH', place, { [field]: null, ...again })
      // The tier must be an allowed one: resetting only one of them is a fault with the field's name.
      if (field === 'allowed_tiers') expect([status, body.allowed_tiers]).toEqual([200, ['premium']])
      else {
        expect(status, text).toBe(200)
        expect(body[field]).toEqual(field === 'name' && path === '/tenants/:id' ? before.id : fresh[field])
        const { [field]: _own, updated_at: _at, effective: _e, fetch: _state, ...rest } = before
        expect(body).toMatchObject(rest)
      }
    },
  )

  it.runIf(fields.includes('labels'))('null for a label removes it', async () => {
    const place = await make(path, { labels: { a: '1', b: '2' } })
    expect((await admin('PATCH', place, { labels: { a: null } })).body.labels).toEqual({ b: '2' })
  })

  it.runIf(fields.includes('limits'))('null for a limit removes it, and the others are kept', async () => {
    const place = await make(path, { limits: LIMITS })
    const { body } = await admin('PATCH', place, { limits: { requests_per_minute: null, tokens_per_day: 9 } })
    expect(body.limits).toEqual({ ...LIMITS, requests_per_minute: null, tokens_per_day: 9 })
  })
})

describe('null for the keys of an identity provider', () => {
  it('means that they are fetched; its audiences have no default', async () => {
    const place = await make('/identity-providers/:id', { jwks: EXAMPLE_JWKS })
    expect((await admin('PATCH', place, { jwks: null })).body.jwks).toBeNull()
    const { status, body } = await admin('PATCH', place, { audiences: null })
    expect([status, body.errors?.[0]?.pointer]).toEqual([400, '/audiences'])
  })
})

describe('null for the end of a key', () => {
  it('means never: rejected with its name unless the policy allows it', async () => {
    const place = await make('/keys/:id', {})
    const refused = await admin('PATCH', place, { expires_at: null })
    expect([refused.status, refused.body.errors]).toMatchObject([400, [{ pointer: '/expires_at' }]])
    await admin('PATCH', '/installation', { policy: { unending_keys_allowed: true } })
    const tenant = (await admin('GET', place)).body.tenant
    await admin('PATCH', `/tenants/${tenant}`, { max_key_lifetime_seconds: null })
    expect((await admin('PATCH', place, { expires_at: null })).body.expires_at).toBeNull()
    await admin('PATCH', '/installation', { policy: { unending_keys_allowed: false } })
  })
})

it('null for the scopes of a key is rejected with its name where its tenant lacks the default scope', async () => {
  await admin('POST', '/tenants', { id: 'embedder', scopes: ['embed'] })
  const key = await admin('POST', '/tenants/embedder/keys', { scopes: ['embed'] })
  const { status, body } = await admin('PATCH', `/keys/${key.body.id}`, { scopes: null })
  expect([status, body.errors?.[0]?.pointer]).toEqual([400, '/scopes/0'])
})

it('null for the scopes of a key extends nothing for a tenant-admin', async () => {
  await admin('POST', '/tenants', { id: 'bound', scopes: ['inference', 'embed'] })
  const key = await admin('POST', '/tenants/bound/keys', { scopes: ['embed'] })
  const { call } = await issue(mintmark, 'tenant-admin', 'bound')
  expect(await call('PATCH', `/keys/${key.body.id}`, { scopes: null })).toMatchObject({ status: 403 })
})

describe('PATCH /installation', () => {
  const fields = patches.find(({ path }) => path === '/installation')?.fields ?? []

  it.each(fields)('null for %s is rejected with its name, or removes all entries', async field => {
    const set = await admin('PATCH', '/installation', { policy: { [field]: SET['/installation']?.[field] } })
    expect(set.status, set.text).toBe(200)
    const { status, body } = await admin('PATCH', '/installation', { policy: { [field]: null } })
    if (field === 'audience_signing_algs') expect([status, body.policy[field]]).toEqual([200, {}])
    else {
      expect([status, body.errors?.[0]?.pointer]).toEqual([400, `/policy/${field}`])
      expect((await admin('GET', '/installation')).body.policy[field]).toEqual(set.body.policy[field])
    }
  })

  it('null for the policy is rejected with its name', async () => {
    const { status, body } = await admin('PATCH', '/installation', { policy: null })
    expect([status, body.errors?.[0]?.pointer]).toEqual([400, '/policy'])
  })
})
