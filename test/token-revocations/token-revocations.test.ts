import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { createLogger } from '../../src/system/logger.ts'
import { DenyList } from '../../src/token-revocations/deny-list.ts'
import { deniedPage, newestRevocation } from '../../src/token-revocations/token-revocation-repository.ts'
import { issue } from '../admin/admins.ts'
import { admitted, ask, bearer, deniedAs, tokenFor } from '../gateway/check-client.ts'
import { scrape } from '../observability/metrics-text.ts'
import { PATIENT } from '../support/patient.ts'
import { startTwoReplicas, type TwoReplicas } from '../support/replicas.ts'
import type { TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** Issued tokens end before they expire: at the check of every replica, whatever the state of their key is afterwards. */

let replicas: TwoReplicas
let mintmark: TestService
let other: TestService

beforeAll(async () => {
  replicas = await startTwoReplicas()
  ;({ mintmark, other } = replicas)
})
afterAll(() => replicas.stop())

const check = (jwt: string, replica = mintmark) => ask(replica, { headers: bearer(jwt) })
const isAllowed = async (jwt: string, replica = mintmark) => (await check(jwt, replica)).status === 200
const revoke = (body: object) => mintmark.admin('POST', '/token-revocations', body)
const keyWith = (mine: { tenantId: string }) => mintmark.admin('POST', `/tenants/${mine.tenantId}/keys`, {})

/** A token, that of another key of the tenant, and that of another tenant. */
async function tokens() {
  const mine = await mintmark.tenantWithKey()
  const sibling = (await keyWith(mine)).body
  const stranger = await mintmark.tenantWithKey()
  return {
    ...mine,
    siblingId: sibling.id as string,
    jwt: await tokenFor(mintmark, mine.secret),
    another: await tokenFor(mintmark, mine.secret),
    ofSibling: await tokenFor(mintmark, sibling.secret),
    ofStranger: await tokenFor(mintmark, stranger.secret),
  }
}

describe('a token', () => {
  it('carries the epochs of its key and its tenant, which stay the same', async () => {
    const { jwt, another, ofSibling, ofStranger } = await tokens()
    const claims = decodeJwt(jwt)
    expect(claims.key_epoch).toMatch(/^[0-9A-Za-z]{8}$/)
    expect(claims.tenant_epoch).toMatch(/^[0-9A-Za-z]{8}$/)
    expect(decodeJwt(another)).toMatchObject({
      key_epoch: claims.key_epoch,
      tenant_epoch: claims.tenant_epoch,
    })
    expect(decodeJwt(ofSibling).tenant_epoch).toBe(claims.tenant_epoch)
    expect(decodeJwt(ofSibling).key_epoch).not.toBe(claims.key_epoch)
    expect(decodeJwt(ofStranger).tenant_epoch).not.toBe(claims.tenant_epoch)
  })
})

describe('a key that is disabled with its tokens', () => {
  it('has them ended once, however often that is repeated', async () => {
    const { keyId, jwt } = await tokens()
    const disable = () => mintmark.admin('POST', `/keys/${keyId}/disable`, { revoke_tokens: true })
    const entries = async () => {
      const { body } = await mintmark.admin('GET', '/token-revocations?limit=100')
      return body.data.filter(({ key }: { key: string }) => key === keyId).length
    }
    expect((await mintmark.admin('POST', `/keys/${keyId}/disable`)).status).toBe(200)
    for (let count = 0; count < 3; count++) expect((await disable()).status).toBe(200)
    expect(await entries()).toBe(1)
    await mintmark.admin('POST', `/keys/${keyId}/enable`)
    expect(deniedAs(await check(jwt))).toBe('401 invalid_token')
    expect((await disable()).status).toBe(200)
    expect(await entries()).toBe(2)
  })
})

describe('POST /admin/v1/token-revocations', () => {
  it('ends all tokens of a key, and no other; the key gets new ones with another epoch', async () => {
    const { keyId, tenantId, secret, jwt, another, ofSibling, ofStranger } = await tokens()
    const { status, headers, body } = await revoke({ key: keyId, reason: 'laptop stolen' })
    expect(status).toBe(201)
    expect(body).toMatchObject({
      claim: 'key_epoch',
      value: decodeJwt(jwt).key_epoch,
      key: keyId,
      tenant: tenantId,
      reason: 'laptop stolen',
    })
    expect(headers.get('location')).toBe(`/admin/v1/token-revocations/${body.id}`)
    for (const ended of [jwt, another]) expect(deniedAs(await check(ended))).toBe('401 invalid_token')
    expect(await isAllowed(ofSibling)).toBe(true)
    expect(await isAllowed(ofStranger)).toBe(true)
    const next = await tokenFor(mintmark, secret)
    expect(decodeJwt(next).key_epoch).not.toBe(decodeJwt(jwt).key_epoch)
    expect(await isAllowed(next)).toBe(true)
  })

  it('ends all tokens of a tenant, and no other', async () => {
    const { tenantId, secret, jwt, ofSibling, ofStranger } = await tokens()
    expect((await revoke({ tenant: tenantId })).body).toMatchObject({
      claim: 'tenant_epoch',
      key: null,
      reason: null,
    })
    for (const ended of [jwt, ofSibling]) expect(deniedAs(await check(ended))).toBe('401 invalid_token')
    expect(await isAllowed(ofStranger)).toBe(true)
    expect(await isAllowed(await tokenFor(mintmark, secret))).toBe(true)
  })

  it('ends one token, and no other of the key', async () => {
    const { jwt, another } = await tokens()
    const { jti } = decodeJwt(jwt)
    const first = await revoke({ jti })
    expect(first.body).toMatchObject({ claim: 'jti', value: jti, key: null, tenant: null })
    expect((await revoke({ jti })).body.id).toBe(first.body.id)
    expect(deniedAs(await check(jwt))).toBe('401 invalid_token')
    expect(await isAllowed(another)).toBe(true)
    expect(mintmark.logs.some(line => line.includes('"reason":"token_revoked"'))).toBe(true)
  })

  it('reaches the other replicas', async () => {
    const { keyId, jwt } = await tokens()
    await until(
      'followed',
      () => isAllowed(jwt, other),
      allowed => allowed,
    )
    await revoke({ key: keyId })
    await until(
      'the refusal',
      () => check(jwt, other),
      ({ status }) => status === 401,
    )
  })

  it('makes the check forget the token that it issued for the API key', async () => {
    const { secret } = await mintmark.tenantWithKey()
    const kept = async () => admitted(await ask(mintmark, { headers: bearer(secret) })).jwt
    const before = await kept()
    expect(await kept()).toBe(before)
    await revoke({ jti: decodeJwt(before).jti })
    const after = await kept()
    expect(after).not.toBe(before)
    expect(await isAllowed(after)).toBe(true)
  })

  it('lives for the longest lifetime, the staleness window and the clock skew, and is listed that long', async () => {
    const { keyId } = await mintmark.tenantWithKey()
    const { id, created_at, ends_at } = (await revoke({ key: keyId })).body
    expect((Date.parse(ends_at) - Date.parse(created_at)) / 1000).toBeCloseTo(300 + 900 + 60, 0)
    const listed = async () => (await mintmark.admin('GET', '/token-revocations')).body.data
    expect((await listed())[0]).toMatchObject({ id })
    await mintmark.database.asOwner('UPDATE token_revocations SET ends_at = now() WHERE id = $1', [id])
    expect((await listed()).map((entry: { id: string }) => entry.id)).not.toContain(id)
    expect((await mintmark.admin('GET', `/token-revocations/${id}`)).status).toBe(404)
  })

  it('is in the audit trail with what was named', async () => {
    const { keyId, tenantId } = await mintmark.tenantWithKey()
    const { id } = (await revoke({ key: keyId, reason: 'test' })).body
    const { data } = (await mintmark.admin('GET', '/audit-events?action=token-revocation.create')).body
    expect(data.find((event: { target_id: string }) => event.target_id === id)).toMatchObject({
      actor: 'root',
      tenant: tenantId,
      target_kind: 'token-revocation',
      changes: { key: { to: keyId }, reason: { to: 'test' } },
    })
  })

  it.each([
    ['nothing', {}, 400],
    ['two things', { jti: 'a', tenant: 'acme' }, 400],
    ['an unknown key', { key: 'key_0000000000000000' }, 404],
    ['an unknown tenant', { tenant: 'no-such-tenant' }, 404],
    ['a jti that no token has', { jti: 'a b' }, 400],
  ])('rejects %s', async (_, body, status) => {
    expect((await revoke(body)).status).toBe(status)
  })

  it('lets a tenant-admin end and see the tokens of its own tenant only', async () => {
    const { keyId, tenantId, jwt } = await tokens()
    const stranger = await mintmark.tenantWithKey()
    const { call } = await issue(mintmark, 'tenant-admin', tenantId)
    const own = (body: object) => call('POST', '/token-revocations', body)
    expect((await own({ key: stranger.keyId })).status).toBe(404)
    expect((await own({ tenant: stranger.tenantId })).status).toBe(404)
    expect((await own({ jti: decodeJwt(jwt).jti })).status).toBe(403)
    const foreign = (await revoke({ key: stranger.keyId })).body
    const made = await own({ key: keyId })
    expect(made.status).toBe(201)
    expect((await own({ tenant: tenantId })).status).toBe(201)
    // Which gateways there are is not for it to see.
    const path = `/token-revocations/${made.body.id}`
    for (const asked of [made.body, (await call('GET', path)).body]) expect(asked.enforced_by).toBeUndefined()
    expect((await mintmark.admin('GET', path)).body.enforced_by).toEqual([])
    const { data } = (await call('GET', '/token-revocations')).body
    expect(data.map(({ tenant }: { tenant: string }) => tenant)).toEqual([tenantId, tenantId])
    expect(data.every((entry: object) => !('enforced_by' in entry))).toBe(true)
    expect((await call('GET', `/token-revocations/${foreign.id}`)).status).toBe(404)
  })
})

describe('issued tokens end', () => {
  const post = (path: string, body?: object) => mintmark.admin('POST', path, body)

  it('when their tenant is suspended, also after it is resumed', async () => {
    const { tenantId, secret, jwt } = await tokens()
    await post(`/tenants/${tenantId}/suspend`)
    await post(`/tenants/${tenantId}/suspend`)
    await post(`/tenants/${tenantId}/resume`)
    expect(deniedAs(await check(jwt))).toBe('401 invalid_token')
    expect(await isAllowed(await tokenFor(mintmark, secret))).toBe(true)
  })

  it('when their key is disabled with "revoke_tokens", also after it is enabled; without it they come back', async () => {
    const { keyId, siblingId, jwt, ofSibling } = await tokens()
    await post(`/keys/${keyId}/disable`, { revoke_tokens: true })
    await post(`/keys/${siblingId}/disable`)
    for (const id of [keyId, siblingId]) await post(`/keys/${id}/enable`)
    expect(deniedAs(await check(jwt))).toBe('401 invalid_token')
    expect(await isAllowed(ofSibling)).toBe(true)
  })

  it('when rights are taken with "revoke_tokens", of a key or of a tenant', async () => {
    const { tenantId, keyId, jwt, ofSibling } = await tokens()
    const limits = { requests_per_minute: 1 }
    await mintmark.admin('PATCH', `/keys/${keyId}`, { limits })
    expect(await isAllowed(jwt)).toBe(true)
    const { status, body } = await mintmark.admin('PATCH', `/keys/${keyId}`, { limits, revoke_tokens: true })
    expect([status, body.limits.requests_per_minute]).toEqual([200, 1])
    expect(deniedAs(await check(jwt))).toBe('401 invalid_token')
    expect(await isAllowed(ofSibling)).toBe(true)
    await mintmark.admin('PATCH', `/tenants/${tenantId}`, { models: [], revoke_tokens: true })
    expect(deniedAs(await check(ofSibling))).toBe('401 invalid_token')
  })

  it.each([
    ['their key is revoked', ({ keyId }) => post(`/keys/${keyId}/revoke`, { reason: 'test' }), 'key_epoch'],
    [
      'keys are revoked by a filter',
      ({ tenantId }) => post('/keys/revoke', { filter: { tenant: tenantId } }),
      'key_epoch',
    ],
    [
      'their tenant is deleted',
      ({ tenantId }) => mintmark.admin('DELETE', `/tenants/${tenantId}?cascade=true`),
      'tenant_epoch',
    ],
  ] satisfies [string, (ended: Awaited<ReturnType<typeof tokens>>) => Promise<unknown>, string][])(
    'when %s, by the list of revoked tokens',
    async (_, ending, claim) => {
      const made = await tokens()
      await ending(made)
      const { data } = (await mintmark.admin('GET', '/token-revocations?limit=100')).body
      const values = data.flatMap((entry: { claim: string; value: string }) =>
        entry.claim === claim ? entry.value : [],
      )
      expect(values).toContain(decodeJwt(made.jwt)[claim])
      expect(deniedAs(await check(made.jwt))).toBe('401 invalid_token')
    },
  )
})

/** Entries of the tenant. */
const fill = (tenantId: string, claim: 'jti' | 'key_epoch', count: number) =>
  mintmark.database.asOwner(
    `INSERT INTO token_revocations (claim, value, key_id, tenant_id, ends_at)
     SELECT $2, $1 || n, 'key_0000000000000000', $1, now() + interval '1 hour' FROM generate_series(1, $3::int) AS n`,
    [tenantId, claim, count],
  )

describe('administrators of a tenant', () => {
  const MOST = 20
  const codeOf = ({ status, body }: { status: number; body: { code?: string } }) => [status, body.code]
  const REFUSED = [429, 'too_many_token_revocations']

  it('end the tokens of a key so often, then are refused until an entry ends; revoking it is never refused', async () => {
    const { tenantId, keyId, siblingId } = await tokens()
    const { call } = await issue(mintmark, 'tenant-admin', tenantId)
    const end = (key: string) => call('POST', '/token-revocations', { key })
    for (let count = 0; count < MOST - 1; count++) expect((await end(keyId)).status).toBe(201)
    // The other ways to do it count as well.
    expect((await call('POST', `/keys/${keyId}/disable`, { revoke_tokens: true })).status).toBe(200)
    const refused = await end(keyId)
    expect(codeOf(refused)).toEqual(REFUSED)
    const seconds = Number(refused.headers.get('retry-after'))
    expect(seconds).toBeGreaterThan(300)
    expect(seconds).toBeLessThanOrEqual(300 + 900 + 60)
    // What the message names as the cure is accepted.
    expect(refused.body.detail).toContain('disable it without `revoke_tokens`')
    expect((await call('POST', `/keys/${keyId}/disable`, {})).status).toBe(200)
    expect(codeOf(await call('PATCH', `/keys/${keyId}`, { name: 'x', revoke_tokens: true }))).toEqual(REFUSED)
    expect((await end(siblingId)).status).toBe(201)
    expect((await revoke({ key: keyId })).status).toBe(201)
    expect((await call('POST', `/keys/${keyId}/revoke`, {})).status).toBe(200)
  })

  it('end the tokens of the tenant so often', async () => {
    const { tenantId, ofStranger } = await tokens()
    const { call } = await issue(mintmark, 'tenant-admin', tenantId)
    const end = () => call('POST', '/token-revocations', { tenant: tenantId })
    for (let count = 0; count < MOST; count++) expect((await end()).status).toBe(201)
    expect(codeOf(await end())).toEqual(REFUSED)
    expect((await revoke({ tenant: tenantId })).status).toBe(201)
    const stranger = decodeJwt(ofStranger).tenant as string
    const other = await issue(mintmark, 'tenant-admin', stranger)
    expect((await other.call('POST', '/token-revocations', { tenant: stranger })).status).toBe(201)
  })

  it('end the tokens of all its keys together so often', async () => {
    const { tenantId, keyId, siblingId } = await tokens()
    const { call } = await issue(mintmark, 'tenant-admin', tenantId)
    await fill(tenantId, 'key_epoch', 999)
    expect((await call('POST', '/token-revocations', { key: keyId })).status).toBe(201)
    expect(codeOf(await call('POST', '/token-revocations', { key: siblingId }))).toEqual(REFUSED)
    expect((await call('POST', '/token-revocations', { tenant: tenantId })).status).toBe(201)
    expect((await call('POST', `/keys/${siblingId}/revoke`, {})).status).toBe(200)
  })

  it('create no more keys after so many ends, because each is an entry once it is revoked', async () => {
    const { tenantId, keyId } = await tokens()
    const { call } = await issue(mintmark, 'tenant-admin', tenantId)
    await fill(tenantId, 'key_epoch', 19_999)
    const make = () => call('POST', `/tenants/${tenantId}/keys`, {})
    expect((await make()).status).toBe(201)
    expect((await call('POST', `/keys/${keyId}/revoke`, {})).status).toBe(200)
    expect(codeOf(await make())).toEqual(REFUSED)
    expect((await keyWith({ tenantId })).status).toBe(201)
  })
})

it('what changed here and could not be read is denied until it is read, or everything is', async () => {
  const { applicationUrl: url } = mintmark.database
  const logger = createLogger('silent')
  const database = new Database({ url: () => url, maxConnections: 1, logger, timeouts: PATIENT })
  const list = new DenyList({ database })
  const token = { jti: 'j', sub: 'key_1', tenant: 'acme' }
  const unread = { kind: 'key', id: 'key_1' } as const
  list.forget([unread])
  expect(list.denies(token)).toBe(true)
  ;(await database.readSnapshot(trx => list.read(trx, [unread])))()
  expect(list.denies(token)).toBe(false)
  list.forget([unread])
  ;(await list.load(new AbortController().signal))()
  expect(list.denies(token)).toBe(false)
  await database.close()
})

it('the newest of a tenant itself is not one of its keys, which came later', async () => {
  const { applicationUrl: url } = mintmark.database
  const logger = createLogger('silent')
  const database = new Database({ url: () => url, maxConnections: 1, logger, timeouts: PATIENT })
  const { tenantId: tenant, keyId: key } = await mintmark.tenantWithKey()
  const ofTenant = (await revoke({ tenant })).body.id
  const ofKey = (await revoke({ key })).body.id
  const newest = (of: { key: string } | { tenant: string }) =>
    database.run(db => newestRevocation(db, of)).then(found => found?.id)
  expect([await newest({ tenant }), await newest({ key })]).toEqual([ofTenant, ofKey])
  await database.close()
})

it('the list is read in pages without a gap, also where its numbers pass a power of ten', async () => {
  const { applicationUrl: url } = mintmark.database
  const logger = createLogger('silent')
  const database = new Database({ url: () => url, maxConnections: 1, logger, timeouts: PATIENT })
  const { tenantId } = await mintmark.tenantWithKey()
  await fill(tenantId, 'key_epoch', 120)
  const page = (after: string, limit: number) => database.run(db => deniedPage(db, after, limit))
  const all = await page('0', 100_000)
  const read = []
  for (let after: string | undefined = '0'; after !== undefined; ) {
    const { denied, last } = await page(after, Math.ceil(all.denied.length / 3))
    read.push(...denied)
    after = last
  }
  expect(read).toEqual(all.denied)
  await database.close()
})

it('a row that disappears from the database does not give a token back', async () => {
  const { keyId, jwt } = await tokens()
  await revoke({ key: keyId })
  await mintmark.database.asOwner('DELETE FROM token_revocations')
  const { series } = await scrape(mintmark.service.urls.ops)
  expect(series.get('mintmark_token_revocations')).toBeGreaterThan(0)
  // The position in the feed is lost, as after a restore: everything is read again.
  await mintmark.database.asOwner(
    'UPDATE change_feed SET id = gen_random_uuid() WHERE number = (SELECT max(number) FROM change_feed)',
  )
  await until(
    'reloaded',
    async () => mintmark.logs.some(line => line.includes('directory reloaded')),
    reloaded => reloaded,
  )
  expect(deniedAs(await check(jwt))).toBe('401 invalid_token')
})
