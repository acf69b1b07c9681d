import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { NO_SERVER, startReplica } from '../support/replicas.ts'
import { addRetiringKeys } from '../support/sealed-rows.ts'
import { type JsonAnswer, request, startTestService, type TestService } from '../support/test-service.ts'
import { BUSY, timed, until } from '../support/until.ts'

type Key = Awaited<ReturnType<TestService['tenantWithKey']>>

let a: TestService
let notified: TestService
let polling: TestService

beforeAll(async () => {
  a = await startTestService()
  await a.admin('PUT', '/models/llama', {})
  notified = await startReplica(a)
  polling = await startReplica(a, { DATABASE_URL_DIRECT: NO_SERVER })
})
afterAll(async () => {
  await polling.stop()
  await notified.stop()
  await a.stop()
})

const exchange = (service: TestService, { secret }: Key) =>
  service.token({ grant_type: 'client_credentials', client_secret: secret })
/** Well-formed and unknown. */
const unknownKey = () => formatCredential('mmk', randomId(systemRandom), systemRandom)
const claims = ({ body }: JsonAnswer) => decodeJwt(body.access_token)

/** Changes on one replica, and the responses of every other within a second. */
const CHANGES: [string, (key: Key) => Promise<JsonAnswer>, (answer: JsonAnswer) => boolean][] = [
  ['a revoked key', key => a.admin('POST', `/keys/${key.keyId}/revoke`), refused],
  ['a revoked secret', key => a.admin('POST', `/keys/${key.keyId}/secrets/${key.secretId}/revoke`), refused],
  ['the oldest of 500 keys that were revoked in one call', revokeWithOthers, refused],
  ['a disabled key', key => a.admin('POST', `/keys/${key.keyId}/disable`), blocked],
  ['a suspended tenant', key => a.admin('POST', `/tenants/${key.tenantId}/suspend`), blocked],
  ['a deleted tenant', key => a.admin('DELETE', `/tenants/${key.tenantId}?cascade=true`), refused],
  [
    'a restricted tenant',
    key => a.admin('PATCH', `/tenants/${key.tenantId}`, { models: [] }),
    answer => answer.status === 200 && (claims(answer).models as string[]).length === 0,
  ],
  [
    "a tenant's other tier",
    key => a.admin('PATCH', `/tenants/${key.tenantId}`, { tier: 'batch', allowed_tiers: ['batch'] }),
    answer => answer.status === 200 && claims(answer).priority === '10',
  ],
  [
    "a tier's other priority",
    () => a.admin('PUT', '/tiers/standard', { priority: 3 }),
    answer => answer.status === 200 && claims(answer).priority === '3',
  ],
  [
    'a new model',
    () => a.admin('PUT', '/models/mistral', {}),
    answer => answer.status === 200 && (claims(answer).models as string[]).includes('mistral'),
  ],
]
async function revokeWithOthers({ tenantId }: Key): Promise<JsonAnswer> {
  await a.database.asOwner(
    `INSERT INTO api_keys (id, tenant_id, name, scopes)
      SELECT 'key_' || substr(md5($1 || n), 1, 16), $1, '', '{inference}' FROM generate_series(1, 499) AS n`,
    [tenantId],
  )
  const answer = await a.admin('POST', '/keys/revoke', { filter: { tenant: tenantId } })
  expect(answer.body).toMatchObject({ revoked: 500, left: 0 })
  return answer
}
function refused({ status, body }: JsonAnswer): boolean {
  return status === 401 && body.error === 'invalid_client'
}
function blocked({ status, body }: JsonAnswer): boolean {
  return status === 400 && body.error === 'unauthorized_client'
}

const HOW: [string, () => TestService, number][] = [
  ['is notified', () => notified, 250 * BUSY],
  // Its poll is due every 500 ms, and takes time.
  ['only polls', () => polling, 1_000 * BUSY],
]

describe.each(HOW)('a replica that %s', (_, replica, withinMs) => {
  it.each(CHANGES)(`sees within ${withinMs} ms: %s`, async (_, change, holds) => {
    const key = await a.tenantWithKey()
    await until(
      'the replica knows the key',
      () => exchange(replica(), key),
      ({ status }) => status === 200,
    )
    expect((await change(key)).status).toBeLessThan(300)
    const { ms } = await timed(() => until('the change applies', () => exchange(replica(), key), holds))
    expect(ms).toBeLessThan(withinMs)
  })

  it('and all of it can be undone: a tenant is suspended and resumed', async () => {
    const key = await a.tenantWithKey()
    await a.admin('POST', `/tenants/${key.tenantId}/suspend`)
    await until('it is rejected', () => exchange(replica(), key), blocked)
    await a.admin('POST', `/tenants/${key.tenantId}/resume`)
    const { ms } = await timed(() =>
      until(
        'it is accepted',
        () => exchange(replica(), key),
        ({ status }) => status === 200,
      ),
    )
    expect(ms).toBeLessThan(withinMs)
  })

  it('exchanges a key at once that was created elsewhere a moment ago, and both of its secrets', async () => {
    for (let count = 0; count < 10; count++) {
      const key = await a.tenantWithKey()
      expect((await exchange(replica(), key)).status).toBe(200)
      const { body } = await a.admin('POST', `/keys/${key.keyId}/rotate`, {})
      expect((await exchange(replica(), { ...key, secret: body.secret })).status).toBe(200)
      expect((await exchange(replica(), key)).status).toBe(200)
    }
  })

  it(`publishes another signing key within ${withinMs} ms, with the same bytes`, async () => {
    const [kid = ''] = await addRetiringKeys(a.database, a.environment, 1)
    const jwks = (service: TestService) => request(`${service.service.urls.public}/.well-known/jwks.json`)
    const { ms } = await timed(() =>
      until(
        'it is published',
        () => jwks(replica()),
        ({ text }) => text.includes(kid),
      ),
    )
    expect(ms).toBeLessThan(withinMs)
    const own = await until(
      'it is published at the other',
      () => jwks(a),
      ({ text }) => text.includes(kid),
    )
    expect((await jwks(replica())).text).toBe(own.text)
  })
})

describe('the replica that made a change has applied it before it answers', () => {
  it.each(CHANGES.slice(0, 7))('%s, five times', async (_, change, holds) => {
    for (let count = 0; count < 5; count++) {
      const key = await a.tenantWithKey()
      expect((await exchange(a, key)).status).toBe(200)
      expect((await change(key)).status).toBeLessThan(300)
      expect(holds(await exchange(a, key))).toBe(true)
    }
  })

  it('also while others make changes concurrently', async () => {
    const one = async () => {
      const key = await a.tenantWithKey()
      expect((await exchange(a, key)).status).toBe(200)
      await a.admin('POST', `/keys/${key.keyId}/revoke`)
      expect(refused(await exchange(a, key))).toBe(true)
    }
    for (let round = 0; round < 5; round++) await Promise.all(Array.from({ length: 4 }, one))
  })
})

describe('a flood of well-formed unknown keys', () => {
  it('does not fail a known key, nor one that was just created elsewhere', async () => {
    const known = await a.tenantWithKey()
    let over = false
    let flooded = 0
    const flood = async () => {
      while (!over) {
        const made = Array.from({ length: 17 }, () =>
          a.token({ grant_type: 'client_credentials', client_secret: unknownKey() }),
        )
        for (const { status } of await Promise.all(made)) {
          expect([401, 503]).toContain(status)
          flooded++
        }
      }
    }
    const floods = Array.from({ length: 4 }, flood)
    for (let count = 0; count < 10; count++) {
      expect((await exchange(a, known)).status).toBe(200)
      const made = await notified.tenantWithKey()
      expect((await exchange(a, made)).status).toBe(200)
    }
    over = true
    await Promise.all(floods)
    expect(flooded).toBeGreaterThan(100)
  })
})
