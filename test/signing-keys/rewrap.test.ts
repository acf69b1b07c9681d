import { randomBytes } from 'node:crypto'
import { decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rewriteSigningKeys } from '../support/sealed-rows.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService, type TestService, testEnvironment } from '../support/test-service.ts'
import { until } from '../support/until.ts'

const secret = (id: string) => `${id}:${randomBytes(32).toString('base64url')}`
const [E1, E2, E3] = [secret('e1'), secret('e2'), secret('e3')] as const
const shared = testEnvironment()

let database: TestDatabase
let old: TestService
const started: TestService[] = []

beforeAll(async () => {
  database = await createTestDatabase()
  old = await replica(E1)
})
afterAll(async () => {
  for (const service of started) await service.stop()
  await database.drop()
})

async function replica(keys: string, awaitReady = true): Promise<TestService> {
  const env = { ...shared, MINTMARK_ENCRYPTION_KEYS: keys }
  const service = await startTestService({ database, env, awaitReady })
  started.push(service)
  return service
}

/** Unready with this reason; a busy machine may have had another one before. */
const expectReason = async ({ service }: TestService, expected: RegExp) => {
  const unready = () => request(`${service.urls.ops}/readyz`)
  const { status } = await until('the reason', unready, ({ body }) => expected.test(body.reason))
  expect(status).toBe(503)
}
/** The rows are sealed with their change: otherwise no replica would use them. */
const rewrite = (statement: string, keys: string, values: unknown[] = []) =>
  rewriteSigningKeys(database, { ...shared, MINTMARK_ENCRYPTION_KEYS: keys }, statement, values)
const rewrap = (service: TestService) => service.admin('POST', '/signing-keys/rewrap')
const left = async (service: TestService) =>
  (await service.admin('GET', '/installation')).body.encryption_keys
const signs = async (service: TestService, key: string) => {
  const { status, body } = await service.token({ grant_type: 'client_credentials', client_secret: key })
  return status === 200 ? decodeProtectedHeader(body.access_token).kid : status
}

describe('changing the encryption key without interruption', () => {
  it('append it everywhere, move it to the front, rewrap, drop the old one', async () => {
    const { secret: key } = await old.tenantWithKey()
    const kid = await signs(old, key)
    await replica(`${E1},${E2}`)
    const moved = await replica(`${E2},${E1}`)
    expect(await left(moved)).toEqual({ current: 'e2', left_on_others: { e1: 2 } })

    const behind = await rewrap(old)
    expect([behind.status, behind.body.code]).toEqual([409, 'another_encryption_key'])
    expect((await rewrap(moved)).body).toEqual({ encryption_key: 'e2', rewrapped: 2, resealed: 2 })
    expect((await rewrap(moved)).body).toEqual({ encryption_key: 'e2', rewrapped: 0, resealed: 0 })
    expect(await left(moved)).toEqual({ current: 'e2', left_on_others: {} })

    const dropped = await replica(E2)
    for (const service of [old, moved, dropped]) expect(await signs(service, key)).toBe(kid)
    const audited = await database.asOwner("SELECT FROM audit_events WHERE action = 'signing-key.rewrap'")
    expect(audited).toHaveLength(2)
  })
})

describe('a key that does not decrypt', () => {
  const tamper: [string, string, string, RegExp][] = [
    [
      'a flipped bit',
      E2,
      "UPDATE signing_keys SET private_encrypted = set_byte(private_encrypted, 40, get_byte(private_encrypted, 40) # 1) WHERE state = 'active'",
      /^Signing key [\w-]{43} cannot be decrypted with the encryption key "e2": .* the row was altered/,
    ],
    [
      'a row moved onto another kid',
      E2,
      `UPDATE signing_keys AS one SET private_encrypted = other.private_encrypted FROM signing_keys AS other
        WHERE one.state = 'active' AND other.state = 'standby'`,
      /^Signing key [\w-]{43} cannot be decrypted with the encryption key "e2": .* the row was altered/,
    ],
    [
      'a missing key',
      E3,
      'SELECT 1',
      /uses the encryption key "e2", which MINTMARK_ENCRYPTION_KEYS lacks: add it/,
    ],
    [
      'another key under the same id',
      secret('e2'),
      'SELECT 1',
      /"e2" in MINTMARK_ENCRYPTION_KEYS differs from the one/,
    ],
  ]
  it.each(tamper)(
    '%s: a new replica is unready with the reason, the others continue to sign',
    async (_, keys, statement, reason) => {
      const serving = started.at(0) as TestService
      const { secret: key } = await serving.tenantWithKey()
      const before = await database.asOwner<{ kid: string; private_encrypted: Buffer }>(
        'SELECT kid, private_encrypted FROM signing_keys',
      )
      const kid = await signs(serving, key)
      await rewrite(statement, E2)
      const unready = await replica(keys, false)
      await expectReason(unready, reason)
      expect((await request(`${unready.service.urls.public}/.well-known/jwks.json`)).status).toBe(503)
      // They reload the keys as well, and keep what they have.
      await serving.admin('POST', `/signing-keys/${kid}/hold`)
      await serving.admin('POST', `/signing-keys/${kid}/release`)
      expect(await signs(serving, key)).toBe(kid)
      for (const row of before) {
        const values = [row.kid, row.private_encrypted]
        await rewrite('UPDATE signing_keys SET private_encrypted = $2 WHERE kid = $1', E2, values)
      }
    },
  )

  it('stops a rewrap, which then changes nothing', async () => {
    const both = await replica(`${E3},${E2}`)
    const [row] = await database.asOwner<{ kid: string; private_encrypted: Buffer }>(
      "SELECT kid, private_encrypted FROM signing_keys WHERE state = 'standby'",
    )
    await rewrite("UPDATE signing_keys SET private_encrypted = '\\x00' WHERE state = 'standby'", E2)
    const { status, body } = await rewrap(both)
    expect([status, body.code]).toEqual([409, 'signing_key_not_opened'])
    expect(body.detail).toContain(row?.kid)
    expect(await left(both)).toEqual({ current: 'e3', left_on_others: { e2: 2 } })
    const values = [row?.kid, row?.private_encrypted]
    await rewrite('UPDATE signing_keys SET private_encrypted = $2 WHERE kid = $1', E2, values)
    expect((await rewrap(both)).body.rewrapped).toBe(2)
  })
})

describe('peppers', () => {
  it('the record counts the secrets that are stored under others', async () => {
    const moved = await startTestService({
      database,
      env: {
        ...shared,
        MINTMARK_ENCRYPTION_KEYS: E3,
        MINTMARK_PEPPERS: `${secret('p2')},${shared.MINTMARK_PEPPERS}`,
      },
    })
    started.push(moved)
    const before = (await moved.admin('GET', '/installation')).body.peppers
    expect(before.current).toBe('p2')
    expect(before.left_on_others.p1).toBeGreaterThan(0)
    const { keyId } = await moved.tenantWithKey()
    expect(keyId).toMatch(/^key_/)
    expect((await moved.admin('GET', '/installation')).body.peppers).toEqual(before)
  })
})
