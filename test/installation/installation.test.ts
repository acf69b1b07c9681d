import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newPair } from '../identity-providers/assertions.ts'
import { withAnotherEnd } from '../support/altered.ts'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService, type TestService, testEnvironment } from '../support/test-service.ts'
import { until } from '../support/until.ts'

const secret = (id: string) => `${id}:${randomBytes(32).toString('base64url')}`

/** The first configuration of an installation; every replica has it by default. */
const first = { ...testEnvironment(), MINTMARK_PEPPERS: secret('p1'), MINTMARK_ENCRYPTION_KEYS: secret('e1') }
const P1 = first.MINTMARK_PEPPERS
const E1 = first.MINTMARK_ENCRYPTION_KEYS
const P2 = secret('p2')

let database: TestDatabase
const running: TestService[] = []

beforeEach(async () => {
  database = await createTestDatabase()
})
afterEach(async () => {
  for (const service of running.splice(0)) await service.stop()
  await database.drop()
})

async function replica(env: Record<string, string> = {}, awaitReady = true): Promise<TestService> {
  const service = await startTestService({ database, env: { ...first, ...env }, awaitReady })
  running.push(service)
  return service
}

const exchange = (service: TestService, key: string) =>
  service.token({ grant_type: 'client_credentials', client_secret: key })
const statusOf = async (service: TestService, key: string) => (await exchange(service, key)).status

/** Waits until the service reports why it is not ready. */
async function reasonOf({ service }: TestService): Promise<string> {
  const answer = await until(
    'it reports why it is not ready',
    () => request(`${service.urls.ops}/readyz`),
    ({ body }) => body.reason !== undefined && body.reason !== 'starting',
  )
  expect(answer.status).toBe(503)
  return answer.body.reason
}

describe('a replica is unready, names the cure, and issues nothing, when started with', () => {
  it.each([
    [
      'another issuer',
      { MINTMARK_ISSUER: 'https://other.example.test' },
      /belongs to the issuer "https:\/\/tokens\.example\.test".*MINTMARK_ISSUER is "https:\/\/other\.example\.test".*set it to the recorded issuer/,
    ],
    [
      'a pepper of its own instead of the recorded one',
      { MINTMARK_PEPPERS: secret('p2') },
      /pepper "p1", which MINTMARK_PEPPERS lacks: add it/,
    ],
    [
      'another pepper under the same id',
      { MINTMARK_PEPPERS: secret('p1') },
      /pepper "p1" in MINTMARK_PEPPERS differs.*restore the original value/,
    ],
    [
      'another pepper under the same id, and a new one',
      { MINTMARK_PEPPERS: `${secret('p2')},${secret('p1')}` },
      /pepper "p1" in MINTMARK_PEPPERS differs from the one/,
    ],
    [
      'an encryption key of its own instead of the recorded one',
      { MINTMARK_ENCRYPTION_KEYS: secret('e2') },
      /encryption key "e1", which MINTMARK_ENCRYPTION_KEYS lacks: add it/,
    ],
    [
      'another encryption key under the same id',
      { MINTMARK_ENCRYPTION_KEYS: secret('e1') },
      /encryption key "e1" in MINTMARK_ENCRYPTION_KEYS differs.*restore the original value/,
    ],
    [
      'several faults at once: all are named',
      {
        MINTMARK_PEPPERS: secret('p2'),
        MINTMARK_ENCRYPTION_KEYS: secret('e2'),
        MINTMARK_ISSUER: 'https://other.example.test',
      },
      /issuer.*pepper "p1".*encryption key "e1"/,
    ],
  ])('%s', async (_, env, reason) => {
    const good = await replica()
    const { secret: key } = await good.tenantWithKey()
    const before = await recorded()
    const bad = await replica(env, false)
    expect(await reasonOf(bad)).toMatch(reason)
    const answer = await exchange(bad, key)
    expect([answer.status, answer.headers.get('retry-after'), answer.body.error]).toEqual([
      503,
      '1',
      'temporarily_unavailable',
    ])
    for (const path of ['/.well-known/jwks.json', '/.well-known/openid-configuration']) {
      const published = await request(`${bad.service.urls.public}${path}`)
      expect([published.status, published.headers.get('retry-after')]).toEqual([503, '1'])
    }
    expect((await bad.admin('GET', '/tenants')).status).toBe(503)
    expect((await request(`${bad.service.urls.ops}/livez`)).status).toBe(200)
    expect(await statusOf(good, key)).toBe(200)
    expect(await recorded(), 'a refused replica leaves the record alone').toEqual(before)
  })
})

const recorded = () =>
  database.asOwner(
    'SELECT issuer, current_pepper, pepper_checks, current_encryption_key, encryption_key_checks FROM installation',
  )

describe('changing the pepper: append everywhere, move it to the front, drop the old', () => {
  it('finds keys stored under each at every step, and rejects dropping one that a live key needs', async () => {
    const a = await replica()
    const { secret: oldKey, keyId } = await a.tenantWithKey()

    const appended = await replica({ MINTMARK_PEPPERS: `${P1},${P2}` })
    expect(await statusOf(appended, oldKey)).toBe(200)

    const moved = await replica({ MINTMARK_PEPPERS: `${P2},${P1}` })
    const { secret: newKey } = await moved.tenantWithKey()
    for (const service of [appended, moved]) {
      expect([await statusOf(service, oldKey), await statusOf(service, newKey)]).toEqual([200, 200])
    }

    const hasty = await replica({ MINTMARK_PEPPERS: P2 }, false)
    expect(await reasonOf(hasty)).toMatch(/pepper "p1", which MINTMARK_PEPPERS lacks/)

    // Its new secret is stored under the new pepper.
    const rotated = await moved.admin('POST', `/keys/${keyId}/rotate`, { overlap_seconds: 0 })
    // The seals of the signing keys depend on the old one until then.
    await moved.admin('POST', '/signing-keys/rewrap')
    const dropped = await replica({ MINTMARK_PEPPERS: P2 })
    expect(await statusOf(dropped, rotated.body.secret)).toBe(200)
    expect(await statusOf(dropped, newKey)).toBe(200)
    expect(await statusOf(dropped, oldKey)).toBe(401)
    const checks = await database.asOwner<{ pepper_checks: object }>('SELECT pepper_checks FROM installation')
    expect(Object.keys(checks[0]?.pepper_checks ?? {})).toEqual(['p2'])
  })

  it('drops a pepper under which only keys were made that are revoked, expired, or deleted with their tenant', async () => {
    const before = await replica()
    const keys = await Promise.all([1, 2, 3].map(() => before.tenantWithKey()))
    const moved = await replica({ MINTMARK_PEPPERS: `${P2},${P1}` })
    await moved.admin('POST', '/signing-keys/rewrap')
    const ends = [
      (id: string) => moved.admin('POST', `/keys/${id}/revoke`, {}),
      (id: string) => database.asOwner('UPDATE api_keys SET expires_at = now() WHERE id = $1', [id]),
      (_: string, tenant: string) => moved.admin('DELETE', `/tenants/${tenant}?cascade=true`),
    ]
    for (const [index, { keyId, tenantId }] of keys.entries()) {
      // One is left that is live.
      const early = await replica({ MINTMARK_PEPPERS: P2 }, false)
      expect(await reasonOf(early)).toMatch(/pepper "p1", which MINTMARK_PEPPERS lacks/)
      await ends[index]?.(keyId, tenantId)
    }
    const after = await replica({ MINTMARK_PEPPERS: P2 })
    for (const { secret: key } of keys) expect(await statusOf(after, key)).toBe(401)
  })
})

describe('a replica that lacks a pepper which another adds later', () => {
  it('answers 503 and never 401 for keys that it cannot find, 200 for those that it can, 401 for malformed ones', async () => {
    const old = await replica()
    const { secret: known } = await old.tenantWithKey()
    const unknown = await keyOfDeletedTenant(old)
    expect(await statusOf(old, unknown)).toBe(401)

    const ahead = await replica({ MINTMARK_PEPPERS: `${secret('p9')},${P1}` })
    const { secret: foreign } = await ahead.tenantWithKey()
    for (const key of [foreign, unknown]) {
      const answer = await exchange(old, key)
      expect([answer.status, answer.headers.get('retry-after'), answer.body.error]).toEqual([
        503,
        '1',
        'temporarily_unavailable',
      ])
    }
    expect(await statusOf(old, known)).toBe(200)
    expect(await statusOf(old, withAnotherEnd(foreign))).toBe(401)
    expect([
      await statusOf(ahead, known),
      await statusOf(ahead, foreign),
      await statusOf(ahead, unknown),
    ]).toEqual([200, 200, 401])
    expect(old.logs.join('')).toMatch(/this process lacks p9/)
  })

  async function keyOfDeletedTenant(service: TestService): Promise<string> {
    const { tenantId, secret: key } = await service.tenantWithKey()
    expect((await service.admin('DELETE', `/tenants/${tenantId}?cascade=true`)).status).toBe(204)
    return key
  }
})

describe('an encryption key that only one seal depends on is not dropped, when it seals', () => {
  const { jwk } = newPair('one')
  const hash = 'ab'.repeat(32)
  it.each<[what: string, path: string, body: object]>([
    [
      'an identity provider',
      '/identity-providers',
      { kind: 'oidc', issuer: 'https://a.example.com', audiences: ['mintmark'], jwks: { keys: [jwk] } },
    ],
    [
      'a credential of a key',
      '/tenants/acme/workload-keys',
      { credential: { type: 'public_key', jwks: { keys: [jwk] } } },
    ],
    [
      'an imported secret',
      '/imported-clients',
      { clients: [{ client_id: 'legacy', tenant: 'acme', scheme: 'sha256', hash }] },
    ],
  ])('%s', async (_, path, body) => {
    const before = await replica()
    await before.tenantWithKey({ id: 'acme' })
    const E2 = secret('e2')
    const moved = await replica({ MINTMARK_ENCRYPTION_KEYS: `${E2},${E1}` })
    expect((await moved.admin('POST', '/signing-keys/rewrap')).status).toBe(200)
    // Made on a replica that is not replaced yet.
    const made = await before.admin('POST', path, body)
    expect(made.status, made.text).toBeLessThan(300)
    const early = await replica({ MINTMARK_ENCRYPTION_KEYS: E2 }, false)
    expect(await reasonOf(early)).toMatch(/encryption key "e1", which MINTMARK_ENCRYPTION_KEYS lacks/)
    expect((await moved.admin('POST', '/signing-keys/rewrap')).status).toBe(200)
    await replica({ MINTMARK_ENCRYPTION_KEYS: E2 })
  })
})

it('a replica with longer times lengthens those of the record, a shorter one does not, and its version stays', async () => {
  const shown = async (service: TestService) => {
    const { headers, body } = await service.admin('GET', '/installation')
    const { longest_token_ttl_seconds: ttl, longest_staleness_seconds: staleness } = body.policy
    return { etag: headers.get('etag'), ttl, staleness }
  }
  const first = await shown(await replica())
  expect(first).toMatchObject({ ttl: 300, staleness: 900 })
  const longer = { MINTMARK_TOKEN_TTL_SECONDS: '600', MINTMARK_STALENESS_SECONDS: '1800' }
  expect(await shown(await replica(longer))).toEqual({ ...first, ttl: 600, staleness: 1800 })
  expect(await shown(await replica())).toEqual({ ...first, ttl: 600, staleness: 1800 })
})

describe('three processes that start at once on a migrated, empty database', () => {
  let processes: ServiceProcess[] = []
  afterEach(async () => {
    for (const process of processes) await process.kill()
  })

  it('agree on one installation, one active and one standby key, and return byte-identical JWKS', async () => {
    const env = { ...first, DATABASE_URL: database.applicationUrl }
    processes = Array.from({ length: 3 }, () => startProcess(env))
    const urls = await Promise.all(processes.map(process => process.ready(30_000)))
    expect(await database.asOwner('SELECT state FROM signing_keys ORDER BY state')).toEqual([
      { state: 'active' },
      { state: 'standby' },
    ])
    expect(await database.asOwner('SELECT count(*)::int AS count FROM installation')).toEqual([{ count: 1 }])
    expect(
      await database.asOwner(
        "SELECT count(*)::int AS made FROM audit_events WHERE action = 'signing-key.create'",
      ),
    ).toEqual([{ made: 2 }])
    const published = await Promise.all(urls.map(url => request(`${url.public}/.well-known/jwks.json`)))
    expect(JSON.parse(published[0]?.text ?? '').keys).toHaveLength(2)
    expect(new Set(published.map(answer => answer.text)).size).toBe(1)
    expect(new Set(published.map(answer => answer.headers.get('cache-control'))).size).toBe(1)
  }, 60_000)
})

describe('one database role for the owner and the application', () => {
  it('is a warning in development', async () => {
    const service = await replica({ DATABASE_URL: database.ownerUrl })
    expect(
      service.logs.filter(line => /connects as the role that owns the tables.*mintmark_app/.test(line)),
    ).toHaveLength(1)
    expect(JSON.parse(service.logs.find(line => line.includes('connects as the role')) ?? '{}').level).toBe(
      'warn',
    )
  })

  it('keeps a replica unready in production, and names the cure', async () => {
    const service = await replica({ DATABASE_URL: database.ownerUrl, NODE_ENV: 'production' }, false)
    expect(await reasonOf(service)).toMatch(
      /DATABASE_URL connects as the role that owns the tables: use a login role that is a member of mintmark_app/,
    )
  })

  it('is accepted in production with the application role', async () => {
    const service = await replica({ NODE_ENV: 'production' })
    expect((await request(`${service.service.urls.ops}/readyz`)).status).toBe(200)
  })
})
