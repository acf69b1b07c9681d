import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminRoutes } from '../../src/admin/admin-app.ts'
import { EXAMPLE_JWKS } from '../../src/admin/bodies/identity-body.ts'
import { repeatedWhileUnavailable } from '../support/repeated-while-unavailable.ts'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'
import { issue } from './admins.ts'

let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  await mintmark.tenantWithKey({ id: 'acme' })
})
afterAll(() => mintmark.stop())

let count = 0
const newKey = () => `request-${++count}`
const post = (path: string, body: unknown, key: string) =>
  admin('POST', path, body, { 'idempotency-key': key })
const shown = ({ status, body, headers }: JsonAnswer) => ({ status, body, location: headers.get('location') })
const audited = async (id: string) =>
  (await mintmark.database.asOwner('SELECT action FROM audit_events WHERE target_id = $1', [id])).length

const reporter = async (): Promise<string> =>
  (await admin('POST', '/usage-reporters', { audiences: ['vllm'] })).body.id

async function deletedReporter(): Promise<string> {
  const id = await reporter()
  await admin('DELETE', `/usage-reporters/${id}`)
  return id
}

describe('A POST with an Idempotency-Key', () => {
  it('is executed once, and replayed unchanged, whatever has changed since', async () => {
    const key = newKey()
    const first = await post('/tenants', { id: 'once' }, key)
    expect(first.status).toBe(201)
    await admin('PATCH', '/tenants/once', { name: 'changed' })
    const second = await post('/tenants', { id: 'once' }, key)
    expect(shown(second)).toEqual(shown(first))
    expect(first.headers.get('idempotency-replayed')).toBeNull()
    expect(second.headers.get('idempotency-replayed')).toBe('true')
    expect(await audited('once')).toBe(2)
  })

  it.each([
    ['a new key', '/tenants/acme/keys', { name: 'x' }, /Rotate the key/],
    ['a new admin token', '/admin-tokens', { role: 'auditor' }, /Create a new token/],
  ])('tells the secret of %s once, and then how to get another', async (_, path, body, advice) => {
    const key = newKey()
    const first = await post(path, body, key)
    const { secret, ...metadata } = first.body
    const second = await post(path, body, key)
    expect(second.body).toEqual({
      ...metadata,
      secret_available: false,
      secret_advice: expect.stringMatching(advice),
    })
    expect([second.status, second.headers.get('location')]).toEqual([201, first.headers.get('location')])
    const rows = await mintmark.database.asOwner('SELECT FROM idempotency_keys AS k WHERE k::text LIKE $1', [
      `%${secret.slice(21)}%`,
    ])
    expect(rows).toEqual([])
  })

  it('rotates once', async () => {
    const { keyId } = await mintmark.tenantWithKey()
    const key = newKey()
    const first = await post(`/keys/${keyId}/rotate`, {}, key)
    const second = await post(`/keys/${keyId}/rotate`, {}, key)
    expect(second.body).toMatchObject({ secret_id: first.body.secret_id, secret_available: false })
    expect((await admin('GET', `/keys/${keyId}`)).body.secrets).toHaveLength(2)
  })

  it.each<[string, (key: string) => Promise<JsonAnswer>]>([
    ['body', key => post('/tenants/acme/keys', { name: 'other' }, key)],
    ['query', key => post('/tenants/acme/keys?nope=1', { name: 'given' }, key)],
  ])('is 422 with another %s, and nothing is executed', async (_, again) => {
    const key = newKey()
    const { status } = await post('/tenants/acme/keys', { name: 'given' }, key)
    const answer = await again(key)
    expect(status).toBe(201)
    expect([answer.status, answer.body.code]).toEqual([422, 'idempotency_key_reused'])
    expect((await admin('GET', '/tenants/acme/keys')).text).not.toContain('other')
  })

  it('is separate for each actor and path', async () => {
    const key = newKey()
    const operator = await issue(mintmark, 'operator')
    await post('/tenants', { id: 'mine' }, key)
    const theirs = await operator.call('POST', '/tenants', { id: 'theirs' }, { 'idempotency-key': key })
    const elsewhere = await post('/tenants/acme/keys', { name: 'elsewhere' }, key)
    expect([theirs.status, theirs.body.id, elsewhere.status]).toEqual([201, 'theirs', 201])
  })

  it('may be repeated by an actor only while it has the right', async () => {
    const key = newKey()
    const operator = await issue(mintmark, 'operator')
    const again = () => operator.call('POST', '/tenants', { id: 'lost' }, { 'idempotency-key': key })
    expect((await again()).status).toBe(201)
    await admin('POST', `/admin-tokens/${operator.id}/revoke`, {})
    expect((await again()).status).toBe(401)
  })

  it('that was rejected may be repeated, and then succeeds', async () => {
    const key = newKey()
    const ask = () => post('/tenants', { id: 'later', tier: 'gold' }, key)
    expect((await ask()).status).toBe(400)
    await admin('PUT', '/tiers/gold', { priority: 5 })
    expect((await ask()).status).toBe(201)
  })

  it('is executed once when sent twenty times concurrently: the others are 409, or get the response', async () => {
    const key = newKey()
    const answers = await Promise.all(
      Array.from({ length: 20 }, () =>
        repeatedWhileUnavailable(() => post('/tenants/acme/keys', { name: 'raced' }, key)),
      ),
    )
    const rest = answers.filter(
      ({ headers, status }) => status !== 201 || headers.get('idempotency-replayed'),
    )
    expect(rest).toHaveLength(19)
    for (const { status, body } of rest) {
      if (status !== 201) expect([status, body.code]).toEqual([409, 'idempotency_key_in_flight'])
    }
    const { body } = await admin('GET', '/tenants/acme/keys?limit=100')
    expect(body.data.filter(({ name }: { name: string }) => name === 'raced')).toHaveLength(1)
  })

  it('is answered with the current object, when the process crashed before its response was stored', async () => {
    const key = newKey()
    const first = await post('/tenants/acme/keys', { name: 'orphan' }, key)
    await mintmark.database.asOwner(
      "UPDATE idempotency_keys SET answer = NULL, created_at = now() - interval '6 s' WHERE key = $1",
      [key],
    )
    const again = await post('/tenants/acme/keys', { name: 'orphan' }, key)
    expect(again.status).toBe(200)
    expect(again.body).toMatchObject({ id: first.body.id, name: 'orphan', secret_available: false })
    expect(again.body.secret).toBeUndefined()
  })

  it('that changed nothing is answered with its object too', async () => {
    const { keyId } = await mintmark.tenantWithKey()
    await post(`/keys/${keyId}/disable`, undefined, newKey())
    const key = newKey()
    await post(`/keys/${keyId}/disable`, undefined, key)
    await mintmark.database.asOwner(
      "UPDATE idempotency_keys SET answer = NULL, created_at = now() - interval '6 s' WHERE key = $1",
      [key],
    )
    const again = await post(`/keys/${keyId}/disable`, undefined, key)
    expect([again.status, again.body.id, again.body.state]).toEqual([200, keyId, 'disabled'])
  })

  it('is 400 with a malformed If-Match, also when repeated', async () => {
    const { keyId } = await mintmark.tenantWithKey()
    const key = newKey()
    expect((await post(`/keys/${keyId}/disable`, undefined, key)).status).toBe(200)
    const headers = { 'idempotency-key': key, 'if-match': 'latest' }
    expect(await admin('POST', `/keys/${keyId}/disable`, undefined, headers)).toMatchObject({ status: 400 })
  })

  it('is another request for another set, and with a header that names none', async () => {
    const key = newKey()
    const ask = (set?: string) => {
      const headers = { 'idempotency-key': key, ...(set !== undefined && { 'mintmark-set': set }) }
      return admin('POST', '/tenants', { id: 'of-a-set' }, headers)
    }
    expect((await ask('first/of-a-set')).status).toBe(201)
    const again = await ask('first/of-a-set')
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([201, 'true'])
    for (const set of [undefined, '', 'second/of-a-set', 'first/other'])
      expect(await ask(set), set).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } })
  })

  it('is a new request after a day', async () => {
    const key = newKey()
    const first = await post('/tenants/acme/keys', { name: 'daily' }, key)
    await mintmark.database.asOwner(
      "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second' WHERE key = $1",
      [key],
    )
    const next = await post('/tenants/acme/keys', { name: 'daily' }, key)
    expect(next.status).toBe(201)
    expect(next.body.id).not.toBe(first.body.id)
    expect(next.body.secret).toBeDefined()
  })

  it.each([
    ['empty', ''],
    ['with a space', 'a b'],
    ['of 256 characters', 'x'.repeat(256)],
    ['outside ASCII', 'schlüssel'],
  ])('is 400 when the key is %s', async (_, key) => {
    const answer = await post('/tenants', { id: 'never' }, key)
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid'])
  })
})

describe('Every POST', () => {
  const standby = async (): Promise<string> => {
    const { data } = (await admin('GET', '/signing-keys')).body
    return data.find(({ state }: { state: string }) => state === 'standby').kid
  }

  it.each(
    adminRoutes({} as never)
      .filter(({ method }) => method === 'post')
      .map(({ path }) => path),
  )('%s is executed once, and replayed afterwards', async path => {
    const { keyId, secret, secretId, tenantId } = await mintmark.tenantWithKey()
    const token = await issue(mintmark, 'auditor')
    const place = path
      .replace('/usage-reporters/:id/rotate', `/usage-reporters/${await reporter()}/rotate`)
      .replace('/usage-reporters/:id', `/usage-reporters/${await deletedReporter()}`)
      .replace('/admin-tokens/:id', `/admin-tokens/${token.id}`)
      .replace('/tenants/:id', `/tenants/${tenantId}`)
      .replace(':tenant', tenantId)
      .replace(':id', keyId)
      .replace(':secret', secretId)
      .replace(':kid', await standby())
    const imported = { client_id: tenantId, tenant: tenantId, scheme: 'sha256', hash: 'ab'.repeat(32) }
    const bodies: Record<string, object> = {
      '/tenants': { id: `every-${tenantId}` },
      '/admin-tokens': { role: 'auditor' },
      '/token-revocations': { key: keyId },
      '/keys/revoke': { filter: { tenant: tenantId } },
      '/keys/inspect': { key: secret },
      '/imported-clients': { clients: [imported] },
      '/usage-reporters': { audiences: ['vllm'] },
      '/usage-reporters/inspect': { secret: 'mmr_x' },
      '/usage-reporters/:id/void': { since: new Date().toISOString(), reason: 'stolen' },
      '/usage/close': { month: '2026-01' },
      '/identity-providers': {
        kind: 'oidc',
        issuer: 'https://issuer.example.com',
        audiences: [tenantId],
        jwks: EXAMPLE_JWKS,
      },
      '/identity-providers/explain': { assertion: 'x' },
      '/explain': { credential: 'x' },
      '/tenants/:tenant/workload-keys': { credential: { type: 'public_key', jwks: EXAMPLE_JWKS } },
      '/set-objects': { set: 'production', kind: 'tier', id: 'batch', name: 'batch' },
      '/set-objects/rename': { from: 'production', to: 'renamed' },
      '/keys/:id/credentials': { type: 'public_key', jwks: EXAMPLE_JWKS },
    }
    const key = newKey()
    const body = bodies[path] ?? {}
    const first = await post(place, body, key)
    expect([200, 201], first.text).toContain(first.status)
    const events = async () =>
      (await mintmark.database.asOwner("SELECT id FROM audit_events WHERE outcome <> 'refused'")).length
    const before = await events()
    const again = await post(place, body, key)
    expect(again.status).toBe(first.status)
    const { secret: issued, ...metadata } = first.body
    expect(again.body).toMatchObject(metadata)
    expect(again.body.secret_available).toBe(issued === undefined ? undefined : false)
    expect(await events()).toBe(before)
  })
})
